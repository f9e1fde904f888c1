"""The tool that finds single messages."""

from typing import Annotated

from pydantic import Field

from memory.model import REWORDINGS, MessageFilter
from memory.text.excerpts import words_of
from server.calling import Call
from server.tools import parameters as p
from server.tools.toolbox import reads
from server.wire import answers
from server.wire.answers import Answer
from server.wire.schemas import SearchAnswer

Query = Annotated[str, Field(description="A question or words; dates in words count too")]
Queries = Annotated[list[str], Field(max_length=REWORDINGS, description="Your own rewordings of it")]


@reads("Search conversation history")
def search_conversation_history(
    call: Call,
    query: Query,
    queries: Queries = [],  # noqa: B006 never mutated
    days_back: p.DaysBack = None,
    since: p.After = None,
    until: p.Before = None,
    project_id: p.InProject = None,
    scope: p.Scope = "all",
    session_id: p.InSession = None,
    role: p.OneRole = None,
    channel: p.OneChannel = None,
    limit: p.Limit = 10,
) -> Answer[SearchAnswer]:
    """Find what was said in earlier conversations. Call it before answering anything that may rest on the past:
    what the user told you, what you recommended, what was decided or promised. Hits are quotations with who
    said it and when."""
    from memory.recall import SearchRequest

    if session_id is not None:
        call.session(session_id)
    where = MessageFilter(scope, project_id, session_id, role, channel, since, until)
    wanted = SearchRequest(query, tuple(queries), where, days_back, limit)
    return answers.found(call.memory.recall.search(call.owner, wanted), words_of(query, *queries), call.memory.counter)
