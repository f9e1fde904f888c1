"""The tool that reads the user context."""

from typing import Annotated

from pydantic import Field

from memory.record import user_context
from server.calling import Call
from server.tools import parameters as p
from server.tools.toolbox import reads
from server.wire import answers
from server.wire.answers import Answer
from server.wire.schemas import Entries
from server.wire.values import Id

Project = Annotated[Id | None, Field(description="This project's values before the global ones")]


@reads("Get what is known about the user")
def get_user_context(
    call: Call, keys: p.Keys = None, project_id: Project = None, include_history: bool = False
) -> Answer[Entries]:
    """Get the facts, preferences and current state the user has stated. Call it before asking the user
    something they may have told you already."""
    found = user_context.get(call.memory.store, call.owner, keys, project_id, include_history, clock=call.memory.clock)
    return answers.entries(found, call.memory.counter)
