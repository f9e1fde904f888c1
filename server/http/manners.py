"""What clients really send, made what the transports take: addresses that end in a slash, and answers as JSON alone."""

from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import Message, Scope, Send

JSON: Final = "application/json"
EVENTS: Final = "text/event-stream"
_ENDPOINTS: Final = frozenset({"/mcp", "/sse", "/messages"})
_API: Final = "/api/v1/"


def tidied(scope: Scope) -> Scope:
    """The request as if its address had no slash at its end. Redirected, many clients would lose the body."""
    path = scope.get("path", "")
    if scope["type"] != "http" or not path.endswith("/"):
        return scope
    plain = path.rstrip("/")
    if plain in _ENDPOINTS or plain.startswith(_API) or plain + "/" == _API:
        return {**scope, "path": plain, "raw_path": scope.get("raw_path", path.encode()).rstrip(b"/")}
    return scope


@dataclass(frozen=True, slots=True)
class Accepted:
    """How much a client likes its answer as JSON and as a stream of events, 0 to 1. `named` says that it asks for the
    stream by name: who takes just anything, or says nothing, is answered with JSON."""

    json: float
    events: float
    named: bool

    @classmethod
    def of(cls, headers: Headers) -> "Accepted":
        """As RFC 9110, 12.5.1 has it: the most precise range that fits a type decides."""
        given = ",".join(headers.getlist("accept"))
        ranges = dict(_ranges(given)) if given.strip() else {"*/*": 1.0}
        anything = ranges.get("*/*", 0.0)
        by_name = ranges.get(EVENTS, ranges.get("text/*"))
        events = anything if by_name is None else by_name
        return cls(ranges.get(JSON, ranges.get("application/*", anything)), events, by_name is not None)

    @property
    def json_alone(self) -> bool:
        """Whether the answer is to be JSON and no stream."""
        return self.json > 0 and (not self.named or self.events < self.json)

    def header(self) -> str:
        """The same for a transport that takes no weights."""
        return ", ".join(kind for kind, weight in ((JSON, self.json), (EVENTS, self.events)) if weight > 0)


def _ranges(accept: str) -> Iterator[tuple[str, float]]:
    for part in accept.split(","):
        name, *parameters = (piece.strip().lower() for piece in part.split(";"))
        given = next((p.partition("=")[2].strip() for p in parameters if p.partition("=")[0].strip() == "q"), "1")
        yield name, _weight(given)


def _weight(text: str) -> float:
    """0 to 1; what is no weight is as good as none."""
    try:
        return min(1.0, max(0.0, float(text)))
    except ValueError:
        return 1.0


_json_alone: ContextVar[bool] = ContextVar("backstory-json-alone", default=False)


class JsonAsAsked(int):
    """True while a request of the modern era is served whose client wants JSON alone.

    The SDK is told once for all clients, by a truth value that it looks at for each request; the handshake era's
    sessions outlive their requests, so that for them the answer is made JSON afterwards, by `AsJson`.
    """

    def __bool__(self) -> bool:
        return _json_alone.get()


def settled(scope: Scope, send: Send, modern: bool) -> tuple[Scope, Send]:
    """A request with an Accept header that the transport takes, and where its answer goes, which is JSON where that
    alone is wanted."""
    accepted = Accepted.of(Headers(scope=scope))
    changed = {**scope, "headers": list(scope["headers"]), "backstory.json_alone": accepted.json_alone}
    headers = MutableHeaders(scope=changed)
    del headers["accept"]
    _json_alone.set(modern and accepted.json_alone)
    if modern or not accepted.json_alone:
        headers["accept"] = accepted.header() or "none/none"
        return changed, send
    headers["accept"] = f"{JSON}, {EVENTS}"
    return changed, AsJson(send)


class AsJson:
    """Makes the stream that answers one request its answer alone, as JSON. What else comes on it nobody asked for."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._start: Message | None = None
        self._events = bytearray()

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start" and _is_stream(message):
            self._start = message
        elif self._start is None or message["type"] != "http.response.body":
            await self._send(message)
        else:
            self._events += message.get("body", b"")
            if not message.get("more_body", False):
                await self._finish(self._start, _answer_in(bytes(self._events)))

    async def _finish(self, start: Message, answer: bytes) -> None:
        headers = MutableHeaders(raw=list(start["headers"]))
        headers["content-type"] = JSON
        headers["content-length"] = str(len(answer))
        await self._send({**start, "headers": headers.raw})
        await self._send({"type": "http.response.body", "body": answer, "more_body": False})


def _is_stream(start: Message) -> bool:
    return Headers(raw=start.get("headers", [])).get("content-type", "").startswith(EVENTS)


def _answer_in(events: bytes) -> bytes:
    """The data of the last event, which ends such a stream; notifications and comments stand before it."""
    data = [line.removeprefix(b"data:").strip() for line in events.splitlines() if line.startswith(b"data:")]
    return data[-1] if data else b""
