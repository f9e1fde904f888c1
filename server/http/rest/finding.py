"""Search and topics."""

from typing import Annotated

from fastapi import APIRouter
from fastapi import Query as InQuery
from pydantic import Field

from memory.model import Channel, Role, ScopeFilter
from server.http.rest.front import AtDesk, Query
from server.schemas import Id, SearchAnswer, Since, TopicAnswer, Until, count
from server.tools.get_context_around_topic import get_context_around_topic
from server.tools.search_conversation_history import search_conversation_history

routes = APIRouter(tags=["search"])


class Filters(Query):
    days_back: Annotated[float | None, Field(gt=0, le=100_000, allow_inf_nan=False)] = None
    since: Annotated[Since | None, Field(description="ISO 8601")] = None
    until: Annotated[Until | None, Field(description="Exclusive; a bare date counts whole")] = None
    project_id: Id | None = None
    scope: ScopeFilter = "all"
    session_id: Id | None = None
    role: Role | None = None
    channel: Channel | None = None


class SearchQuery(Filters):
    query: Annotated[str, Field(min_length=1, max_length=10_000, description="A question or words; dates in words too")]
    queries: Annotated[list[str], Field(max_length=8, description="Rewordings", default_factory=list)]
    limit: Annotated[int, count(1, 100)] = 10


class TopicQuery(Filters):
    topic: Annotated[str, Field(min_length=1, max_length=10_000)]
    max_tokens: Annotated[int, count(50, 200_000)] = 1500
    window: Annotated[int, count(0, 50)] = 3


@routes.get("/search")
async def get_search(at: AtDesk, query: Annotated[SearchQuery, InQuery()]) -> SearchAnswer:
    """Single messages, best first."""
    found = await at.perform(search_conversation_history, query.user, **query.model_dump(exclude={"user"}))
    return SearchAnswer.model_validate(found)


@routes.get("/topic")
async def get_topic(at: AtDesk, query: Annotated[TopicQuery, InQuery()]) -> TopicAnswer:
    """Stretches of conversation around a topic, in order, within a token budget."""
    found = await at.perform(get_context_around_topic, query.user, **query.model_dump(exclude={"user"}))
    return TopicAnswer.model_validate(found)
