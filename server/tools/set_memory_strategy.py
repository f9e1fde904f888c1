"""The tool that chooses how much of a session a model is shown."""

from typing import Annotated, Literal

from pydantic import Field

from memory.context.strategies import set_strategy
from server.calling import Call
from server.protocol import addresses
from server.tools import parameters as p
from server.tools.toolbox import writes
from server.wire import answers
from server.wire.answers import Answer
from server.wire.schemas import StrategyIn, StrategyOut

Patch = Annotated[StrategyIn | None, Field(description="Knobs to set; a null knob, or null at all, inherits again")]


@writes("Set the memory strategy", idempotent=True)
def set_memory_strategy(
    call: Call,
    level: Literal["session", "agent"],
    strategy: Patch = None,
    session_id: p.Session = None,
    agent: p.Agent = None,
) -> Answer[StrategyOut]:
    """Choose how get_session_context keeps a long session small: none (everything), trim (the last turns), summarize
    (a summary and the last turns) or compact (old tool results left out). The record itself never changes."""
    name = session_id if level == "session" else agent
    patch = strategy.patch() if strategy else None
    resolved = set_strategy(call.memory.store, call.owner, level, name, patch)
    call.changed += (addresses.of_session(addresses.CONTEXT, session_id),) if session_id else (addresses.ANY_CONTEXT,)
    return answers.strategy(resolved, level)
