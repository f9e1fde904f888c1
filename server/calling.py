"""One call of a tool or read of a resource: who calls, on what memory, and what it changed."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import anyio.to_thread
from anyio import CapacityLimiter
from anyio.lowlevel import RunVar

from memory.context.session_context import SessionContext
from memory.model import Owner, Session
from memory.record.sessions import existing
from server.identity import Caller, Identify, Right
from server.opening import LazyMemory

if TYPE_CHECKING:
    from server.parts import Parts
    from server.protocol.sampling import ModelAnswer
    from server.protocol.updates import Updates

P = ParamSpec("P")
R = TypeVar("R")
CALLS_AT_ONCE = 16
_limiter: RunVar[CapacityLimiter] = RunVar("backstory-calls")


@dataclass(slots=True)
class Call:
    """What a handler works with. `changed` collects the addresses of resources that it changed, `given` is the session
    context that it gave, for the metrics; `model_answer` is what the client's model said, where the tool asked it."""

    memory: "Parts"
    caller: Caller
    changed: list[str] = field(default_factory=list)
    given: SessionContext | None = None
    model_answer: "ModelAnswer | None" = None

    @property
    def owner(self) -> Owner:
        return self.caller.owner

    def session(self, session_id: str) -> Session:
        """The caller's session of this id. Errors: NotFound, for another's as for an unknown one."""
        with self.memory.store.read(self.owner) as records:
            return existing(records, session_id)


@dataclass(frozen=True, slots=True)
class Calls:
    """Where a request becomes a call: the memory, how a caller is known, and who hears of what a call did."""

    memory: LazyMemory
    identify: Identify
    updates: "Updates"
    measure: Callable[[Call], None] | None = None

    def open(self, request: Any, user: str | None, right: Right) -> Call:
        """Blocks until the memory is open. Errors: NotFound, Denied, StorageFailed, Unavailable."""
        caller = self.caller(request, user, right)
        return Call(self.memory.wait(), caller)

    def caller(self, request: Any, user: str | None, right: Right) -> Caller:
        """Who calls, without waiting for the memory where that is not needed. Errors: NotFound, Denied."""
        caller = self.identify(request, user)
        caller.require(right)
        return caller

    async def done(self, call: Call) -> None:
        """Tells of a call that has succeeded: the metrics what it gave, subscribers what it changed."""
        if self.measure is not None:
            self.measure(call)
        await self.updates.announce(call.owner, call.changed)


async def in_thread(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Runs a blocking call in a worker thread, of which there are few, so that the wire never waits for one."""
    try:
        limiter = _limiter.get()
    except LookupError:
        limiter = CapacityLimiter(CALLS_AT_ONCE)
        _limiter.set(limiter)
    return await anyio.to_thread.run_sync(partial(function, *args, **kwargs), limiter=limiter)


def queued() -> int:
    """How many calls wait for a worker thread; asked on the event loop."""
    limiter = _limiter.get(None)
    return 0 if limiter is None else limiter.statistics().tasks_waiting
