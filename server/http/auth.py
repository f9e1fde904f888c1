"""Bearer tokens on every path but health: our own (kept as hashes) and, where configured, an OAuth server's."""

import contextlib
import hashlib
import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Protocol

import anyio
import anyio.to_thread
from anyio import CapacityLimiter
from mcp.server.auth.middleware.auth_context import AuthContextMiddleware
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from memory.errors import BackstoryError, Unavailable
from memory.people.api_tokens import verify
from memory.ports import Clock, TokenStore
from server.http.connections import address_key, prove
from server.http.limits import Buckets, refused
from server.http.principal import Principal, authenticated, known_rights
from server.http.problems import problem_of, unauthorized

log = logging.getLogger("backstory.http")
AT_ONCE = 16
STRANGERS_AT_ONCE = 4
"""Threads for tokens that were not good before: a look-up takes a third of a millisecond, so few are enough."""
MOST_WAITING = 1000
MOST_KEPT = 20_000
LONGEST_TOKEN = 16_384
"""An issuer's tokens, with all their claims, are a few kilobytes."""
BAD_SECONDS = 5.0
"""How long a refusal holds: an issuer's token may become good when its time comes or its key is fetched."""
PATIENCE_SECONDS = 1.0


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


class Lanes:
    """Runs `verify` in threads. A token that was good lately never queues behind tokens that never were, so that a
    flood of made-up ones costs nobody else anything; what was found bad is told again at once for some seconds."""

    def __init__(self, verify: Verify, now: Callable[[], float] = time.monotonic) -> None:
        self._verify = verify
        self._now = now
        self._good: OrderedDict[bytes, None] = OrderedDict()
        self._bad: OrderedDict[bytes, float] = OrderedDict()
        self._lanes: tuple[CapacityLimiter, CapacityLimiter] | None = None

    async def __call__(self, token: str) -> Principal | None:
        """Errors: BackstoryError when it cannot be told whose the token is, or too many wait for that already."""
        if len(token) > LONGEST_TOKEN:
            return None
        digest = hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
        if self._now() < self._bad.get(digest, 0.0):
            return None
        lane = self._lane(digest in self._good)
        if lane.statistics().tasks_waiting >= MOST_WAITING:
            raise Unavailable("Too many tokens are being looked at; try again shortly.")
        principal = await anyio.to_thread.run_sync(partial(self._verify, token), limiter=lane, abandon_on_cancel=True)
        self._note(digest, principal is not None)
        return principal

    def _lane(self, good: bool) -> CapacityLimiter:
        if self._lanes is None:
            self._lanes = CapacityLimiter(AT_ONCE), CapacityLimiter(STRANGERS_AT_ONCE)
        return self._lanes[0 if good else 1]

    def _note(self, digest: bytes, good: bool) -> None:
        if good:
            self._bad.pop(digest, None)
            self._good[digest] = None
            self._good.move_to_end(digest)
        else:
            self._good.pop(digest, None)
            self._bad[digest] = self._now() + BAD_SECONDS
            self._bad.move_to_end(digest)
        for kept in (self._good, self._bad):
            if len(kept) > MOST_KEPT:
                kept.popitem(last=False)


class Authenticate:
    """ASGI middleware: the request's principal becomes the scope's `user`; without one the answer is 401, or 429 where
    too many bad tokens came from the address. A good token is always heard, whatever else came from its address.

    On the paths of `public` a token is wanted by nobody; where `told` holds the path and a good one is sent, it counts.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        verify: Verify,
        public: frozenset[str],
        metadata_url: Callable[[Scope], str] | None,
        attempts: Buckets,
        told: frozenset[str] = frozenset(),
    ) -> None:
        self._app = AuthContextMiddleware(app)
        self._verify = Lanes(verify)
        self._public = public
        self._told = told
        self._metadata_url = metadata_url
        self._attempts = attempts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        token = _bearer(Headers(scope=scope))
        if scope["path"] in self._public:
            principal = await self._recognised(token) if scope["path"] in self._told else None
        else:
            try:
                principal = await self._verify(token) if token is not None else None
            except BackstoryError as error:
                await problem_of(error)(scope, receive, send)
                return
            if principal is None:
                await self._refusal(scope, token is not None)(scope, receive, send)
                return
        if principal is not None:
            identify(scope, principal)
        await self._app(scope, receive, send)

    def _refusal(self, scope: Scope, bad_token: bool) -> Response:
        if bad_token:
            wait = self._attempts.take(address_key((scope.get("client") or ("", 0))[0]))
            if wait > 0:
                return refused(wait, "Too many bad tokens came from this address")
        where = self._metadata_url(scope) if self._metadata_url else None
        return unauthorized(where, invalid=bad_token)

    async def _recognised(self, token: str | None) -> Principal | None:
        """Whose the token is, where that can be told soon: these paths answer in any case."""
        if token is None:
            return None
        with anyio.move_on_after(PATIENCE_SECONDS), contextlib.suppress(BackstoryError):
            return await self._verify(token)
        return None


def identify(scope: Scope, principal: Principal) -> None:
    """Notes who sent the request, for all that serves it and for the connection that carried it."""
    scope["user"] = authenticated(principal)
    scope["backstory.principal"] = principal
    prove(scope)


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
