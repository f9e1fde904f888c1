"""OAuth 2.1 resource server: access tokens of one issuer, verified with its published keys."""

import hashlib
import json
import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import httpx2
import jwt
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Scope

from memory.errors import Unavailable
from memory.model import Owner
from server.http.principal import RIGHTS, Principal, known_rights

log = logging.getLogger("backstory.oauth")
ALGORITHMS = ("RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "PS256", "EdDSA")
KEYS_SECONDS = 600.0
REFETCH_SECONDS = 20.0
TIMEOUT_SECONDS = 5.0
LEEWAY_SECONDS = 30
OWNER_SECONDS = 5.0
MAX_OWNERS = 20_000
MAX_DOCUMENT = 1_000_000
ENDPOINTS = ("/mcp", "/sse", "/api/v1")
METADATA_PATH = "/.well-known/oauth-protected-resource"
FALLBACKS = frozenset({"/authorize", "/token", "/register"})

Fetch = Callable[[str], Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Issuer:
    """Whose tokens are accepted, and where in them user, tenant and rights are found.

    A token without the tenant claim belongs to `default_tenant` when there is one, else it is refused. `rights_claim`
    holds words separated by spaces, or a list.
    """

    url: str
    audience: str
    jwks_url: str | None = None
    user_claim: str = "sub"
    tenant_claim: str = "tenant"
    rights_claim: str = "scope"
    default_tenant: str | None = None


def fetch_json(url: str) -> Any:
    """A JSON document from the web. Errors: Unavailable."""
    try:
        with httpx2.Client(timeout=TIMEOUT_SECONDS, follow_redirects=False) as client:
            answer = client.get(url, headers={"Accept": "application/json"})
            answer.raise_for_status()
            if len(answer.content) > MAX_DOCUMENT:
                raise ValueError("the document is too large")
            return json.loads(answer.content)
    except (httpx2.HTTPError, httpx2.InvalidURL, ImportError, ValueError) as bad:  # the last for an odd proxy
        log.warning("%s could not be read (%s)", url, type(bad).__name__)
        raise Unavailable("The keys of the authorization server cannot be reached; try again shortly.") from bad


@dataclass(slots=True)
class Keys:
    """An issuer's public keys, cached. An unknown key id, or old age, makes them be fetched again, but not often.

    Who asks for a key that is known never waits for the network.
    """

    issuer: Issuer
    fetch: Fetch = fetch_json
    now: Callable[[], float] = time.monotonic
    _keys: Mapping[str | None, jwt.PyJWK] = field(default_factory=dict)
    _fetched_at: float | None = None
    _tried_at: float | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def key(self, key_id: str | None) -> jwt.PyJWK | None:
        """Errors: Unavailable when there are no keys at all and none can be fetched."""
        found = self._find(key_id)
        if found is not None:
            if self._stale() and self._may_fetch() and not self._lock.locked():
                threading.Thread(target=self._refresh, name="backstory-keys", daemon=True).start()
            return found
        self._refresh()
        if self._fetched_at is None:
            raise Unavailable("The keys of the authorization server cannot be reached; try again shortly.")
        return self._find(key_id)

    def _find(self, key_id: str | None) -> jwt.PyJWK | None:
        if key_id is None and len(self._keys) == 1:
            return next(iter(self._keys.values()))
        return self._keys.get(key_id)

    def _stale(self) -> bool:
        return self._fetched_at is None or self.now() - self._fetched_at > KEYS_SECONDS

    def _may_fetch(self) -> bool:
        return self._tried_at is None or self.now() - self._tried_at > REFETCH_SECONDS

    def _refresh(self) -> None:
        """Old keys stay in use when new ones cannot be had."""
        with self._lock:
            if not self._may_fetch():
                return
            self._tried_at = self.now()
            try:
                document = self.fetch(self.issuer.jwks_url or self._discovered())
            except Unavailable:
                return
            self._keys = _parsed(document)
            self._fetched_at = self.now()

    def _discovered(self) -> str:
        base = self.issuer.url.rstrip("/")
        parts = urlsplit(base)
        root = f"{parts.scheme}://{parts.netloc}"
        for url in (
            f"{base}/.well-known/openid-configuration",
            f"{root}/.well-known/oauth-authorization-server{parts.path}",
        ):
            try:
                document = self.fetch(url)
            except Unavailable:
                continue
            if isinstance(document, dict) and str(document.get("issuer", "")).rstrip("/") == base:
                return str(document.get("jwks_uri", ""))
        raise Unavailable("The authorization server publishes no metadata; set BACKSTORY_OAUTH_JWKS_URL.")


def _parsed(document: Any) -> dict[str | None, jwt.PyJWK]:
    found: dict[str | None, jwt.PyJWK] = {}
    for entry in document.get("keys", []) if isinstance(document, dict) else []:
        try:
            if entry.get("use", "sig") == "sig" and entry.get("kty") in ("RSA", "EC", "OKP"):
                found[entry.get("kid")] = jwt.PyJWK(entry)
        except (jwt.PyJWTError, AttributeError, ValueError):
            log.warning("The authorization server publishes a key that cannot be used")
    return found


@dataclass(slots=True)
class OauthTokens:
    """Verifies an issuer's access tokens: signature, issuer, audience, times. No claim is believed before that.

    `registered` makes the token's user one of ours, and gives the user whom they were merged into; what it said
    holds for some seconds.
    """

    issuer: Issuer
    keys: Keys
    registered: Callable[[Owner], Owner]
    _owners: dict[Owner, tuple[float, Owner]] = field(default_factory=dict)

    def __call__(self, token: str) -> Principal | None:
        try:
            header = jwt.get_unverified_header(token)
            if header.get("alg") not in ALGORITHMS or header.get("typ", "JWT").lower() not in _TYPES:
                return None
            key = self.keys.key(header.get("kid"))
            return self._principal(token, self._claims(token, header["alg"], key)) if key else None
        except jwt.PyJWTError:
            return None

    def _claims(self, token: str, algorithm: str, key: jwt.PyJWK) -> Mapping[str, Any]:
        return jwt.decode(
            token,
            key.key,
            algorithms=[algorithm] if algorithm in _fitting(key) else [],
            issuer=self.issuer.url,
            audience=self.issuer.audience,
            leeway=LEEWAY_SECONDS,
            options={"require": ["exp", "iss", "aud", self.issuer.user_claim], "verify_sub": False},
        )

    def _principal(self, token: str, claims: Mapping[str, Any]) -> Principal | None:
        user = claims.get(self.issuer.user_claim)
        tenant = claims.get(self.issuer.tenant_claim, self.issuer.default_tenant)
        if not _is_id(user) or not _is_id(tenant):
            return None
        given = claims.get(self.issuer.rights_claim, "")
        words = given.split() if isinstance(given, str) else [w for w in given if isinstance(w, str)]
        owner = self._current(Owner(str(tenant), str(user)))
        expires_at = datetime.fromtimestamp(float(claims["exp"]), UTC)
        return Principal(owner, known_rights(words), hashlib.sha256(token.encode()).hexdigest()[:16], expires_at)

    def _current(self, named: Owner) -> Owner:
        at, owner = self._owners.get(named, (float("-inf"), named))
        if self.keys.now() - at >= OWNER_SECONDS:
            if len(self._owners) >= MAX_OWNERS:
                self._owners.clear()
            owner = self.registered(named)
            self._owners[named] = (self.keys.now(), owner)
        return owner


_TYPES = ("jwt", "at+jwt", "application/at+jwt")


def _fitting(key: jwt.PyJWK) -> tuple[str, ...]:
    """The algorithms that a key's own type allows, so that none is confused with another."""
    kind = key.key_type
    prefixes = {"RSA": ("RS", "PS"), "EC": ("ES",), "OKP": ("EdDSA",)}[str(kind)]
    return tuple(a for a in ALGORITHMS if a.startswith(prefixes))


def _is_id(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= 255 and value.isprintable() and value == value.strip()


def looks_for_a_server(path: str) -> bool:
    """Whether a client asks where, or as if here, it can register and be given a token (RFC 8414, RFC 9728, and the
    protocol's own addresses for where neither is found)."""
    return ".well-known" in path.split("/") or path in FALLBACKS


def metadata_url(scope: Scope, public_url: str | None) -> str:
    """Where the protected-resource metadata for the requested address lies (RFC 9728, 3.1)."""
    endpoint = next((e for e in ENDPOINTS if scope["path"] == e or scope["path"].startswith(e + "/")), "")
    return f"{base_url(scope, public_url)}{METADATA_PATH}{endpoint}"


def base_url(scope: Scope, public_url: str | None) -> str:
    """This server's address as clients see it."""
    if public_url:
        return public_url.rstrip("/")
    return str(Request(scope).base_url).rstrip("/")


def metadata_routes(issuer: Issuer, public_url: str | None) -> dict[str, Callable[[Request], Response]]:
    """The protected-resource metadata documents, by path: for the server, and for each of its endpoints."""

    def document(path: str) -> Callable[[Request], Response]:
        def answer(request: Request) -> Response:
            return JSONResponse(
                {
                    "resource": base_url(request.scope, public_url) + path,
                    "authorization_servers": [issuer.url],
                    "scopes_supported": sorted(RIGHTS),
                    "bearer_methods_supported": ["header"],
                    "resource_name": "Backstory",
                },
                headers={"Cache-Control": "max-age=3600"},
            )

        return answer

    return {METADATA_PATH + path: document(path) for path in ("", *ENDPOINTS)}
