"""Search and topics."""

from datetime import UTC, datetime, timedelta
from typing import Annotated

from fastapi import APIRouter
from fastapi import Query as InQuery
from pydantic import Field

from memory.model import CONTEXT_TOKENS, HITS, NEIGHBOURS, REWORDINGS, Channel, Role, ScopeFilter
from server.http.rest.front import AtDesk, Query
from server.http.rest.types import After, Before, Days, Name, Whole, Words
from server.schemas import SearchAnswer, TopicAnswer
from server.tools.get_context_around_topic import get_context_around_topic
from server.tools.search_conversation_history import search_conversation_history
from server.wire_values import count

routes = APIRouter(tags=["search"])
EARLIEST = datetime.min.replace(tzinfo=UTC)


class Filters(Query):
    days_back: Days | None = None
    since: After | None = None
    until: Before | None = None
    project_id: Name | None = None
    scope: ScopeFilter = "all"
    session_id: Name | None = None
    role: Role | None = None
    channel: Channel | None = None

    def is_empty(self, now: datetime) -> bool:
        """Whether the time asked for ends before it begins, so that nothing can lie in it."""
        since = self.since
        if self.days_back is not None and (age := timedelta(days=self.days_back)) < now - EARLIEST:
            since = max(since or EARLIEST, now - age)
        return since is not None and self.until is not None and self.until <= since


class SearchQuery(Filters):
    query: Annotated[Words, Field(description="A question or words; dates in words too")]
    queries: Annotated[list[Words], Field(max_length=REWORDINGS, description="Rewordings", default_factory=list)]
    limit: Annotated[int, count(1, HITS), Whole] = 10


class TopicQuery(Filters):
    topic: Words
    max_tokens: Annotated[int, count(*CONTEXT_TOKENS), Whole] = 1500
    window: Annotated[int, count(0, NEIGHBOURS), Whole] = 3


@routes.get("/search")
async def get_search(at: AtDesk, query: Annotated[SearchQuery, InQuery()]) -> SearchAnswer:
    """Single messages, best first."""
    if query.is_empty(at.calls.memory.clock()):
        return SearchAnswer(hits=[], interpreted={})
    found = await at.perform(search_conversation_history, query.user, **query.model_dump(exclude={"user"}))
    return SearchAnswer.model_validate(found)


@routes.get("/topic")
async def get_topic(at: AtDesk, query: Annotated[TopicQuery, InQuery()]) -> TopicAnswer:
    """Stretches of conversation around a topic, in order, within a token budget."""
    if query.is_empty(at.calls.memory.clock()):
        return TopicAnswer(stretches=[], tokens=0)
    found = await at.perform(get_context_around_topic, query.user, **query.model_dump(exclude={"user"}))
    return TopicAnswer.model_validate(found)
