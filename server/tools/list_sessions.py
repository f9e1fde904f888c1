"""The tool that lists sessions."""

from typing import Annotated

from pydantic import Field

from memory.model import SessionFilter
from memory.record.sessions import list_page
from server.calling import Call
from server.tools import parameters as p
from server.tools.toolbox import reads
from server.wire import answers
from server.wire.answers import Answer
from server.wire.schemas import Sessions

Archived = Annotated[bool | None, Field(description="Absent: both")]


@reads("List sessions")
def list_sessions(
    call: Call,
    project_id: p.InProject = None,
    scope: p.Scope = "all",
    archived: Archived = None,
    channel: p.OneChannel = None,
    external_id: p.ExternalId = None,
    title: Annotated[str | None, Field(description="Part of it")] = None,
    limit: p.Limit = 20,
    cursor: Annotated[str | None, Field(description="`next_cursor` of the last page")] = None,
) -> Answer[Sessions]:
    """List conversations, newest first: to find an earlier one's `session_id`, or what is open in a project."""
    where = SessionFilter(scope, project_id, archived, channel, external_id, title)
    return answers.sessions(list_page(call.memory.store, call.owner, where, limit, cursor), call.memory.counter)
