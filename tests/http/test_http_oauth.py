"""OAuth 2.1 resource server: only an issuer's good tokens, and clients are told where to get them."""

import json
import threading
import time
from collections.abc import Generator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from memory.errors import Unavailable
from server.http.oauth import Issuer, Keys, OauthTokens

AUDIENCE = "https://memory.example.com"


class Authority:
    """An authorization server's published side, with keys that can be rotated."""

    def __init__(self) -> None:
        self.keys: dict[str, Any] = {}
        self.asked: list[str] = []
        self.down = False
        authority = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                authority.asked.append(self.path)
                body = authority.document(self.path)
                self.send_response(500 if authority.down else 200 if body is not None else 404)
                self.end_headers()
                self.wfile.write(json.dumps(body or {}).encode())

            def log_message(self, *_: Any) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/realm"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def document(self, path: str) -> Any:
        if path == "/realm/.well-known/openid-configuration":
            return {"issuer": self.url, "jwks_uri": f"{self.url}/keys"}
        if path == "/realm/keys":
            return {"keys": [self.published(kid, key) for kid, key in self.keys.items()]}
        return None

    def published(self, kid: str, key: Any) -> dict[str, Any]:
        kind = jwt.algorithms.RSAAlgorithm if isinstance(key, rsa.RSAPrivateKey) else jwt.algorithms.ECAlgorithm
        return {**kind.to_jwk(key.public_key(), as_dict=True), "kid": kid, "use": "sig"}

    def add(self, kid: str, key: Any) -> Any:
        self.keys[kid] = key
        return key

    def token(self, kid: str, algorithm: str, **claims: Any) -> str:
        known = {"iss": self.url, "aud": AUDIENCE, "sub": "ann", "tenant": "acme", "exp": int(time.time()) + 600}
        values = {**known, "scope": "memory:read memory:write", **claims}
        values = {name: value for name, value in values.items() if value is not None}
        return jwt.encode(values, self.keys[kid], algorithm, headers={"kid": kid})


@pytest.fixture
def authority() -> Generator[Authority, None, None]:
    made = Authority()
    made.add("rsa-1", rsa.generate_private_key(65537, 2048))
    made.add("ec-1", ec.generate_private_key(ec.SECP256R1()))
    yield made
    made.server.shutdown()
    made.server.server_close()


def verifier(authority: Authority, **options: Any) -> OauthTokens:
    issuer = Issuer(url=authority.url, audience=AUDIENCE, **options)
    return OauthTokens(issuer, Keys(issuer), lambda owner: owner)


@pytest.mark.parametrize(("kid", "algorithm"), [("rsa-1", "RS256"), ("ec-1", "ES256"), ("rsa-1", "PS256")])
def test_a_good_token_is_its_users(authority: Authority, kid: str, algorithm: str) -> None:
    principal = verifier(authority)(authority.token(kid, algorithm))
    assert principal is not None
    assert (principal.owner.tenant_id, principal.owner.user_id) == ("acme", "ann")
    assert principal.rights == {"read", "write"}
    assert principal.expires_at is not None
    assert not principal.own


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": "https://other.example.com"},
        {"aud": None},
        {"iss": "https://issuer.example.com"},
        {"iss": None},
        {"exp": 1_000_000_000},
        {"exp": None},
        {"nbf": 4_000_000_000},
        {"sub": None},
        {"sub": ""},
        {"sub": 7},
        {"sub": "a\nb"},
        {"tenant": None},
        {"tenant": ["acme"]},
    ],
)
def test_a_token_that_is_not_for_us_is_refused(authority: Authority, claims: dict[str, Any]) -> None:
    assert verifier(authority)(authority.token("rsa-1", "RS256", **claims)) is None


def test_no_algorithm_is_confused_with_another(authority: Authority) -> None:
    tokens = verifier(authority)
    claims = jwt.decode(authority.token("rsa-1", "RS256"), options={"verify_signature": False})
    public = authority.keys["rsa-1"].public_key()
    pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    assert tokens(jwt.encode(claims, "", "none", headers={"kid": "rsa-1"})) is None
    forged = jwt.encode(claims, "x" * 64, "HS256", headers={"kid": "rsa-1"})
    assert tokens(forged) is None
    assert pem
    stranger = rsa.generate_private_key(65537, 2048)
    assert tokens(jwt.encode(claims, stranger, "RS256", headers={"kid": "rsa-1"})) is None
    assert tokens(jwt.encode(claims, authority.keys["ec-1"], "ES256", headers={"kid": "rsa-1"})) is None
    assert tokens(jwt.encode(claims, stranger, "RS256", headers={"kid": "rsa-1", "typ": "dpop+jwt"})) is None
    for junk in ("", "a.b", "a.b.c", "....", "e30.e30.e30"):
        assert tokens(junk) is None


def test_claims_are_configurable(authority: Authority) -> None:
    tokens = verifier(authority, user_claim="email", tenant_claim="org", rights_claim="roles", default_tenant="home")
    token = authority.token("rsa-1", "RS256", email="ann@example.com", org="acme", roles=["read", "act-as", "other"])
    principal = tokens(token)
    assert principal is not None
    assert (principal.owner.tenant_id, principal.owner.user_id) == ("acme", "ann@example.com")
    assert principal.rights == {"read", "act-as"}
    homeless = tokens(authority.token("rsa-1", "RS256", email="ann@example.com", roles=[]))
    assert homeless is not None
    assert homeless.owner.tenant_id == "home"
    assert homeless.rights == frozenset()


def test_keys_are_fetched_once_rotated_keys_soon_and_unknown_ones_rarely(authority: Authority) -> None:
    now = [0.0]
    issuer = Issuer(url=authority.url, audience=AUDIENCE)
    tokens = OauthTokens(issuer, Keys(issuer, now=lambda: now[0]), lambda owner: owner)
    for _ in range(5):
        assert tokens(authority.token("rsa-1", "RS256"))
    assert authority.asked.count("/realm/keys") == 1
    authority.add("rsa-2", rsa.generate_private_key(65537, 2048))
    fresh = authority.token("rsa-2", "RS256")
    assert tokens(fresh) is None
    now[0] = 30.0
    assert tokens(fresh)
    assert authority.asked.count("/realm/keys") == 2
    for _ in range(20):
        tokens(jwt.encode({}, authority.keys["rsa-1"], "RS256", headers={"kid": "nobody's"}))
    assert authority.asked.count("/realm/keys") == 2


def test_an_authority_that_is_down_is_not_a_bad_token(authority: Authority) -> None:
    authority.down = True
    tokens = verifier(authority)
    with pytest.raises(Unavailable):
        tokens(authority.token("rsa-1", "RS256"))
    now = [0.0]
    issuer = Issuer(url=authority.url, audience=AUDIENCE, jwks_url=f"{authority.url}/keys")
    authority.down = False
    keys = Keys(issuer, now=lambda: now[0])
    tokens = OauthTokens(issuer, keys, lambda owner: owner)
    assert tokens(authority.token("ec-1", "ES256"))
    authority.down = True
    now[0] = 10_000.0
    assert tokens(authority.token("ec-1", "ES256")), "old keys stay good while new ones cannot be had"


@pytest.mark.anyio
async def test_a_server_takes_its_issuers_tokens_and_says_who_issues_them(
    authority: Authority, hosted_factory: Any
) -> None:
    server = hosted_factory(
        environ={
            "BACKSTORY_OAUTH_ISSUER": authority.url,
            "BACKSTORY_OAUTH_AUDIENCE": AUDIENCE,
            "BACKSTORY_TENANT": "home",
        }
    )
    own = server.token("acme", "ben")
    server.start()
    with server.http() as http:
        for path, name in (("/mcp", "/mcp"), ("/sse", "/sse"), ("/api/v1/sessions", "/api/v1")):
            answer = http.get(path)
            assert answer.status_code == 401
            where = f"{server.url}/.well-known/oauth-protected-resource{name}"
            assert f'resource_metadata="{where}"' in answer.headers["www-authenticate"]
            document = http.get(where).json()
            assert document["resource"] == server.url + name
            assert document["authorization_servers"] == [authority.url]
            assert "read" in document["scopes_supported"]
        for bad in (authority.token("rsa-1", "RS256", aud="x"), "x.y.z", "x"):
            refused = http.get("/api/v1/sessions", headers={"Authorization": f"Bearer {bad}"})
            assert refused.status_code == 401
            assert 'error="invalid_token"' in refused.headers["www-authenticate"]
    for transport in ("http", "sse"):
        async with server.client(authority.token("ec-1", "ES256"), transport) as client:
            said = {"messages": [{"role": "user", "content": f"hello over {transport}"}]}
            assert not (await client.call_tool("record_messages", said)).is_error
    with server.http(authority.token("rsa-1", "RS256")) as http:
        assert http.get("/api/v1/sessions").json()["sessions"][0]["message_count"] == 2
    with server.http(own) as http:
        assert http.get("/api/v1/sessions").json()["sessions"] == []
    with server.http(authority.token("rsa-1", "RS256", scope="openid")) as http:
        assert http.get("/api/v1/sessions").status_code == 403
