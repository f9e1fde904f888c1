"""What is going on: requests in flight, open streams, and how both come to an end."""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field

import anyio

from server.http.principal import Principal


@dataclass(eq=False, slots=True)
class Stream:
    """One open event stream; cancelling its scope ends it."""

    transport: str
    principal: Principal | None
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)


@dataclass(eq=False, slots=True)
class Work:
    """One request in flight."""

    traffic: "Traffic"
    counted: bool = True

    def release(self) -> None:
        """No longer waits to be finished. Safe to call twice."""
        if not self.counted:
            return
        self.counted = False
        self.traffic.working -= 1
        if self.traffic.draining and not self.traffic.working:
            self.traffic.idle.set()


@dataclass(slots=True)
class Traffic:
    """Used on the event loop alone. Once `draining`, no new request is taken."""

    draining: bool = False
    working: int = 0
    idle: anyio.Event = field(default_factory=anyio.Event)
    streams: set[Stream] = field(default_factory=set)

    @contextmanager
    def work(self) -> Generator["Work", None, None]:
        """Counts something that must finish before the server stops, unless it turns out to be a stream."""
        self.working += 1
        work = Work(self)
        try:
            yield work
        finally:
            work.release()

    @contextmanager
    def stream(self, transport: str, principal: Principal | None) -> Generator[Stream, None, None]:
        """Keeps a stream that ends when the client leaves, its token ends, or the server stops."""
        stream = Stream(transport, principal)
        self.streams.add(stream)
        try:
            with stream.scope:
                yield stream
        finally:
            self.streams.discard(stream)

    def streams_of(self, principal: Principal) -> int:
        """How many streams this token holds open."""
        return sum(s.principal is not None and s.principal.key == principal.key for s in self.streams)

    async def drain(self, seconds: float, settle: float = 0.25) -> None:
        """Takes no more requests, lets those in flight finish within `seconds`, then ends the streams."""
        self.draining = True
        with anyio.move_on_after(seconds):
            if self.working:
                await self.idle.wait()
            await anyio.sleep(settle)  # the last answers are on their way through the streams
        for stream in list(self.streams):
            stream.scope.cancel()
