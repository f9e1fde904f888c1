"""Back-pressure for one connection that carries many calls: no more are taken while their answers are not read.

A client that goes on calling but does not read would otherwise have every answer kept for it.
"""

from collections import Counter
from collections.abc import Awaitable, Callable
from contextvars import Context
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import anyio
from mcp.types import JSONRPCError, JSONRPCNotification, JSONRPCRequest, JSONRPCResponse

if TYPE_CHECKING:
    from mcp.shared.message import SessionMessage

CALLS_AT_ONCE = 16
"""Calls of one connection that are taken and not answered: as many as there are threads to work on them."""
UNREAD_CONNECTIONS = 8
"""When so many connections hold answers that wait to be read, each of them is worked for no further."""
LOOK_SECONDS = 0.25
ENDLESS = "subscriptions/listen"


@dataclass(slots=True)
class Crowd:
    """Which connections of a server hold answers that wait to be read."""

    unread: set["Pacing"] = field(default_factory=set)


@dataclass(eq=False, slots=True)
class Pacing:
    """The calls of one connection, and how many messages were `sent`. `while_full` is awaited now and then for as long
    as no call is taken.

    A call that asks the client something makes room for one more, since its answer comes by the same way.
    """

    at_once: int = CALLS_AT_ONCE
    crowd: Crowd = field(default_factory=Crowd)
    while_full: Callable[[], Awaitable[None]] | None = None
    _taken: Counter[str] = field(default_factory=Counter)
    _asked: set[str] = field(default_factory=set)
    sent: int = 0
    _sending: int = 0
    _changed: anyio.Event = field(default_factory=anyio.Event)

    @property
    def full(self) -> bool:
        """Whether the next call has to wait."""
        taken = self._taken.total()
        if self._sending and len(self.crowd.unread) > UNREAD_CONNECTIONS:
            return taken > 0
        return self._sending >= self.at_once or taken >= self.at_once + len(self._asked)

    def over(self, reading: Any, writing: Any) -> "tuple[Incoming, Outgoing]":
        """The connection's streams (the SDK's), paced."""
        return Incoming(reading, self), Outgoing(writing, self)

    @property
    def unread(self) -> bool:
        """Whether something waits to be read by the client."""
        return self._sending > 0

    async def room(self) -> None:
        """Waits until another call may be taken."""
        while self.full:
            self._changed = anyio.Event()
            with anyio.move_on_after(LOOK_SECONDS):
                await self._changed.wait()
            if self.while_full is not None:
                await self.while_full()

    def came(self, item: "SessionMessage | Exception") -> None:
        """Notes what the client sent."""
        match getattr(item, "message", None):
            case JSONRPCRequest(id=number, method=method) if method != ENDLESS:
                self._taken[str(number)] += 1
            case JSONRPCNotification(method="notifications/cancelled", params=params):
                self._settled(str((params or {}).get("requestId")))
            case JSONRPCResponse(id=number) | JSONRPCError(id=number):
                self._asked.discard(str(number))

    async def send(self, writing: Any, item: "SessionMessage") -> None:
        """Sends, and holds the message against the connection until it is taken over."""
        message = item.message
        if isinstance(message, JSONRPCRequest):
            self._asked.add(str(message.id))
            self._changed.set()
        self._sending += 1
        self.crowd.unread.add(self)
        try:
            await writing.send(item)
        finally:
            self._sending -= 1
            self.sent += 1
            if not self._sending:
                self.crowd.unread.discard(self)
            if isinstance(message, JSONRPCResponse | JSONRPCError):
                self._settled(str(message.id))
            self._changed.set()

    def _settled(self, number: str) -> None:
        if self._taken[number] > 1:
            self._taken[number] -= 1
        else:
            del self._taken[number]
        self._changed.set()


class _Wrapped:
    def __init__(self, stream: Any, pacing: Pacing) -> None:
        self._stream = stream
        self._pacing = pacing

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def __aenter__(self) -> Any:
        await self._stream.__aenter__()
        return self

    async def __aexit__(self, *raised: Any) -> bool | None:
        ended: bool | None = await self._stream.__aexit__(*raised)
        return ended


class Incoming(_Wrapped):
    """What the client sends, as the protocol reads it: nothing while the connection is full."""

    @property
    def last_context(self) -> Context | None:
        """The context in which the last message was sent, where the stream keeps it."""
        found: Context | None = getattr(self._stream, "last_context", None)
        return found

    async def receive(self) -> "SessionMessage | Exception":
        await self._pacing.room()
        item: SessionMessage | Exception = await self._stream.receive()
        self._pacing.came(item)
        return item

    def __aiter__(self) -> "Incoming":
        return self

    async def __anext__(self) -> "SessionMessage | Exception":
        try:
            return await self.receive()
        except anyio.EndOfStream:
            raise StopAsyncIteration from None


class Outgoing(_Wrapped):
    """What the protocol sends to the client."""

    async def send(self, item: "SessionMessage") -> None:
        await self._pacing.send(self._stream, item)
