"""Bearer tokens on every path but health: our own (kept as hashes) and, where configured, an OAuth server's."""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Protocol

import anyio.to_thread
from anyio import CapacityLimiter
from mcp.server.auth.middleware.auth_context import AuthContextMiddleware
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from memory.errors import BackstoryError
from memory.people.api_tokens import verify
from memory.ports import Clock, TokenStore
from server.http.limits import Buckets, refused
from server.http.principal import Principal, authenticated, known_rights
from server.http.problems import problem_of, unauthorized

log = logging.getLogger("backstory.http")
AT_ONCE = 16


class Verify(Protocol):
    """Tells whose a token is; blocking. None for one that is not good. Errors: BackstoryError when it cannot tell."""

    def __call__(self, token: str) -> Principal | None: ...


@dataclass(slots=True)
class OwnTokens:
    """Verifies the tokens that we issued, reading the record each time, so that a revoked one ends at once."""

    store: Callable[[], TokenStore]
    clock: Clock
    _used: dict[str, datetime] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, token: str) -> Principal | None:
        found = verify(self.store(), token, self.clock)
        if found is None:
            return None
        with self._lock:
            self._used[found.token_id] = self.clock()
        return Principal(found.owner, known_rights(found.rights), found.token_id, found.expires_at, own=True)

    def write_last_use(self) -> None:
        """Records when tokens were last used, all since the last time in one transaction."""
        with self._lock:
            used, self._used = self._used, {}
        if used:
            self.store().note_use(used)

    def still_good(self, key: str) -> bool:
        """Whether the token that opened a stream may keep it open."""
        found = self.store().token(key)
        return found is not None and found.usable(self.clock())


class Authenticate:
    """ASGI middleware: the request's principal becomes the scope's `user`; without one the answer is 401."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        verify: Verify,
        public: frozenset[str],
        metadata_url: Callable[[Scope], str] | None,
        attempts: Buckets,
    ) -> None:
        self._app = AuthContextMiddleware(app)
        self._verify = verify
        self._public = public
        self._metadata_url = metadata_url
        self._attempts = attempts
        self._limiter: CapacityLimiter | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in self._public:
            await self._app(scope, receive, send)
            return
        token = _bearer(Headers(scope=scope))
        address = (scope.get("client") or ("", 0))[0]
        if token is not None and (wait := self._attempts.wait(address)) > 0:
            await refused(wait, "Too many bad tokens came from this address")(scope, receive, send)
            return
        try:
            principal = await self._verified(token) if token is not None else None
        except BackstoryError as error:
            await problem_of(error)(scope, receive, send)
            return
        if principal is None:
            if token is not None:
                self._attempts.take(address)
            where = self._metadata_url(scope) if self._metadata_url else None
            await unauthorized(where, invalid=token is not None)(scope, receive, send)
            return
        scope["user"] = authenticated(principal)
        scope["backstory.principal"] = principal
        await self._app(scope, receive, send)

    async def _verified(self, token: str) -> Principal | None:
        if self._limiter is None:
            self._limiter = CapacityLimiter(AT_ONCE)
        return await anyio.to_thread.run_sync(partial(self._verify, token), limiter=self._limiter)


def _bearer(headers: Headers) -> str | None:
    """The token of exactly one Authorization header of the kind Bearer."""
    given = headers.getlist("authorization")
    scheme, _, token = given[0].partition(" ") if len(given) == 1 else ("", "", "")
    return token.strip() or None if scheme.lower() == "bearer" else None


def either(own: Verify, oauth: Verify | None) -> Verify:
    """Our own tokens by their prefix, everything else by the OAuth server's keys where there are any."""

    def verify_either(token: str) -> Principal | None:
        if token.startswith("bst_") or oauth is None:
            return own(token)
        return oauth(token)

    return verify_either
