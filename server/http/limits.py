"""How much and how often: the size of a body, and requests for a token in a minute."""

import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from http import HTTPStatus

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from server.http.problems import problem_response

MAX_KEYS = 50_000


class Buckets:
    """One token bucket for each key: `per_minute` on average (0 is no limit), `burst` at once. Bounded; thread-safe."""

    def __init__(self, per_minute: int, burst: int, now: Callable[[], float] = time.monotonic) -> None:
        self._rate = per_minute / 60
        self._burst = float(max(burst, 1))
        self._now = now
        self._lock = threading.Lock()
        self._filled: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait(self, key: str) -> float:
        """Seconds until the key may go on; 0 when it may now. Takes nothing."""
        if self._rate <= 0:
            return 0.0
        with self._lock:
            return max(0.0, (1 - self._level(key)) / self._rate)

    def take(self, key: str) -> float:
        """Takes one; 0 when there was one, else the seconds until there is."""
        if self._rate <= 0:
            return 0.0
        with self._lock:
            level = self._level(key)
            if level < 1:
                return (1 - level) / self._rate
            self._filled[key] = (level - 1, self._now())
            self._filled.move_to_end(key)
            if len(self._filled) > MAX_KEYS:
                self._filled.popitem(last=False)
            return 0.0

    def _level(self, key: str) -> float:
        level, at = self._filled.get(key, (self._burst, self._now()))
        return min(self._burst, level + (self._now() - at) * self._rate)


def refused(seconds: float, why: str = "This token sends more than it may") -> Response:
    """429 with the whole seconds after which the next request is taken."""
    wait = max(1, math.ceil(seconds))
    return problem_response(429, f"{why}; wait {wait} s and send less often.", {"Retry-After": str(wait)})


class RateLimit:
    """ASGI middleware: 429 with Retry-After for a token that sends more than its share."""

    def __init__(self, app: ASGIApp, buckets: Buckets) -> None:
        self._app = app
        self._buckets = buckets

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        principal = scope.get("backstory.principal")
        wait = self._buckets.take(principal.key) if principal is not None else 0.0
        await (refused(wait) if wait > 0 else self._app)(scope, receive, send)


class BodyLimit:
    """ASGI middleware: 413 for a body of more than `limit` bytes, before anything has read it."""

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self._app = app
        self._limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD", "OPTIONS"):
            await self._app(scope, receive, send)
            return
        declared = Headers(scope=scope).get("content-length", "")
        too_large = declared.isascii() and declared.isdigit() and int(declared[:20]) > self._limit
        body = None if too_large else await self._read(receive)
        if body is None:
            await self._refusal()(scope, receive, send)
            return
        scope["backstory.body_bytes"] = len(body)
        pending: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def replay() -> Message:
            return pending.pop() if pending else await receive()

        await self._app(scope, replay, send)

    async def _read(self, receive: Receive) -> bytes | None:
        """The whole body; None as soon as it is too long. What a client who left had sent, where it did."""
        parts, size = [], 0
        while True:
            message = await receive()
            part = message.get("body", b"")
            size += len(part)
            if size > self._limit:
                return None
            parts.append(part)
            if message["type"] != "http.request" or not message.get("more_body", False):
                return b"".join(parts)

    def _refusal(self) -> Response:
        status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
        return problem_response(
            status, f"The body is too large; at most {self._limit} bytes are allowed.", {"Connection": "close"}
        )
