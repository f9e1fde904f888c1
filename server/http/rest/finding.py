"""Search and topics."""

from typing import Annotated

from fastapi import APIRouter
from fastapi import Query as InQuery
from pydantic import Field
from starlette.responses import Response

from memory.model import CONTEXT_TOKENS, HITS, NEIGHBOURS, REWORDINGS, Channel, Role, ScopeFilter
from server.http.rest.requests import Rest, answer
from server.http.rest.types import After, Before, DaysBack, Figure, OptionalName, Query, Words
from server.tools.get_context_around_topic import get_context_around_topic
from server.tools.search_conversation_history import search_conversation_history
from server.wire.schemas import SearchAnswer, TopicAnswer
from server.wire.values import count

routes = APIRouter(tags=["search"])


class Filters(Query):
    days_back: Annotated[DaysBack, Figure] | None = None
    since: After | None = None
    until: Before | None = None
    project_id: OptionalName = None
    scope: ScopeFilter = "all"
    session_id: OptionalName = None
    role: Role | None = None
    channel: Channel | None = None


class SearchQuery(Filters):
    query: Annotated[Words, Field(description="A question or words; dates in words too")]
    queries: Annotated[list[str], Field(max_length=REWORDINGS, description="Rewordings", default_factory=list)]
    limit: Annotated[int, count(1, HITS), Figure] = 10


class TopicQuery(Filters):
    topic: Words
    max_tokens: Annotated[int, count(*CONTEXT_TOKENS), Figure] = 1500
    window: Annotated[int, count(0, NEIGHBOURS), Figure] = 3


@routes.get("/search", response_model=SearchAnswer)
async def get_search(rest: Rest, query: Annotated[SearchQuery, InQuery()]) -> Response:
    """Single messages, best first."""
    values = query.model_dump(exclude={"user"})
    return answer(await rest.perform(search_conversation_history, query.user, **values))


@routes.get("/topic", response_model=TopicAnswer)
async def get_topic(rest: Rest, query: Annotated[TopicQuery, InQuery()]) -> Response:
    """Stretches of conversation around a topic, in order, within a token budget."""
    values = query.model_dump(exclude={"user"})
    return answer(await rest.perform(get_context_around_topic, query.user, **values))
