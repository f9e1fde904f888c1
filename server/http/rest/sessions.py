"""Sessions, their messages, summaries, context and strategy."""

from typing import Annotated, Literal

from fastapi import APIRouter, Path
from fastapi import Query as InQuery
from pydantic import BaseModel, Field
from starlette.responses import Response

from memory.model import CONTEXT_TOKENS, HITS, MESSAGES_AT_ONCE, SUMMARY_TOKENS, Channel, Mode, ScopeFilter
from memory.record.sessions import change
from server.calling import Call
from server.http.rest.requests import Rest, answer
from server.http.rest.types import (
    Body,
    Figure,
    Flag,
    Message,
    Name,
    OptionalName,
    OptionalText,
    Query,
    Strategy,
    Summary,
    Whole,
)
from server.protocol import addresses
from server.resources.message_pages import cursor_of, place_of, read_page
from server.resources.sessions import session, session_summary
from server.tools.archive_session import note_archiving
from server.tools.get_session_context import get_session_context
from server.tools.list_sessions import list_sessions
from server.tools.record_messages import record_messages
from server.tools.set_memory_strategy import set_memory_strategy
from server.tools.start_session import start_session
from server.tools.summarize_session import summarize_session
from server.wire import answers
from server.wire.schemas import (
    MessageOut,
    MessagePart,
    Recorded,
    SessionAnswer,
    SessionContextAnswer,
    SessionOut,
    Sessions,
    StrategyIn,
    StrategyOut,
    SummaryAnswer,
)
from server.wire.values import count

routes = APIRouter(tags=["sessions"])
SessionId = Annotated[Name, Path(description="As `session_id` in answers")]
Cursor = Annotated[OptionalText, Field(description="`next_cursor` of the last page")]
Only = Annotated[Query, InQuery()]


class ListQuery(Query):
    project_id: OptionalName = None
    scope: ScopeFilter = "all"
    archived: Flag | None = None
    channel: Channel | None = None
    external_id: OptionalName = None
    title: Annotated[OptionalText, Field(description="Part of it")] = None
    limit: Annotated[int, count(1, HITS), Figure] = 20
    cursor: Cursor = None


class NewSession(Body):
    title: OptionalName = None
    project_id: OptionalName = None
    channel: Channel | None = None
    external_id: Annotated[OptionalName, Field(description="One that exists gives its session again")] = None
    agent: OptionalName = None


class SessionPatch(Body):
    title: OptionalName = None
    archived: Annotated[bool | None, Field(description="true ends the conversation, false takes it up again")] = None


class NewMessages(Body):
    messages: Annotated[list[Message], Field(min_length=1, max_length=MESSAGES_AT_ONCE)]


class PageQuery(Query):
    limit: Annotated[int, count(1, 1000), Figure] = 100
    cursor: Cursor = None


class Messages(BaseModel):
    session_id: str
    messages: list[MessageOut]
    next_cursor: str | None
    part: Annotated[
        MessagePart | None, Field(description="Of a message longer than a page; the next page goes on in it")
    ] = None


class SummaryRequest(Body):
    summary: Annotated[Summary | None, Field(description="Your own words; absent: made for you")] = None
    max_tokens: Annotated[int, count(*SUMMARY_TOKENS), Whole] | None = None


class MemoryPatch(Body):
    strategy: Annotated[Strategy | None, Field(description="Knobs to set; a null knob, or null at all, inherits again")]


class ContextQuery(Query):
    query: Annotated[OptionalText, Field(description="Adds recalled messages")] = None
    max_tokens: Annotated[int, count(*CONTEXT_TOKENS), Figure] = 4000
    mode: Annotated[Mode | None, Field(description="A strategy for this request alone")] = None
    purpose: Literal["chat", "voice"] = "chat"


@routes.get("/sessions", response_model=Sessions)
async def get_sessions(rest: Rest, query: Annotated[ListQuery, InQuery()]) -> Response:
    """Sessions, newest first, a page at a time."""
    values = query.model_dump(exclude={"user"})
    return answer(await rest.perform(list_sessions, query.user, **values))


@routes.post("/sessions", status_code=201, response_model=SessionAnswer)
async def post_session(rest: Rest, query: Only, body: NewSession) -> Response:
    """Starts a session; a known `external_id` gives its session again."""
    return answer(await rest.perform(start_session, query.user, **body.model_dump()), 201)


@routes.get("/sessions/{session_id}", response_model=SessionAnswer)
async def get_session(rest: Rest, session_id: SessionId, query: Only) -> Response:
    """One session."""
    return answer(await rest.read(session, query.user, session_id=session_id))


@routes.patch("/sessions/{session_id}", response_model=SessionAnswer)
async def patch_session(rest: Rest, session_id: SessionId, query: Only, body: SessionPatch) -> Response:
    """Renames a session, archives it, or takes it up again."""

    def work(call: Call) -> SessionOut:
        began = call.memory.clock()
        store, clock = call.memory.store, call.memory.clock
        changed = change(store, call.owner, session_id, title=body.title, archived=body.archived, clock=clock)
        call.changed += addresses.after_session_change(session_id)
        note_archiving(call, changed, began)
        return answers.session_data(changed)

    return answer(await rest.run("write", query.user, work))


@routes.get("/sessions/{session_id}/messages", response_model=Messages)
async def get_messages(rest: Rest, session_id: SessionId, query: Annotated[PageQuery, InQuery()]) -> Response:
    """What was said, in order, a page at a time: at most `limit` messages, and about 256 KiB."""

    def work(call: Call) -> Messages:
        start = place_of(query.cursor)
        page = read_page(call.memory.store, call.owner, session_id, start, most=query.limit)
        more = cursor_of(page.next) if page.next else None
        return Messages(session_id=session_id, messages=page.rows, next_cursor=more, part=page.part)

    return answer(await rest.run("read", query.user, work))


@routes.post("/sessions/{session_id}/messages", status_code=201, response_model=Recorded)
async def post_messages(rest: Rest, session_id: SessionId, query: Only, body: NewMessages) -> Response:
    """Records messages, all or none; on the answer they are on disk. Repeating an `id` records nothing twice."""
    values = {"messages": body.messages, "session_id": session_id}
    return answer(await rest.perform(record_messages, query.user, **values), 201)


@routes.get("/sessions/{session_id}/summary", response_model=SummaryAnswer)
async def get_summary(rest: Rest, session_id: SessionId, query: Only) -> Response:
    """The newest summary; version 0 where there is none yet."""
    return answer(await rest.read(session_summary, query.user, session_id=session_id))


@routes.post("/sessions/{session_id}/summary", status_code=201, response_model=SummaryAnswer)
async def post_summary(rest: Rest, session_id: SessionId, query: Only, body: SummaryRequest) -> Response:
    """Stores a new version of the summary."""
    values = {"session_id": session_id, "summary": body.summary, "max_tokens": body.max_tokens}
    return answer(await rest.perform(summarize_session, query.user, **values), 201)


@routes.get("/sessions/{session_id}/context", response_model=SessionContextAnswer)
async def get_context(rest: Rest, session_id: SessionId, query: Annotated[ContextQuery, InQuery()]) -> Response:
    """What a model should be given now."""
    values = query.model_dump(exclude={"user", "mode"})
    strategy = StrategyIn(mode=query.mode) if query.mode else None
    values |= {"session_id": session_id, "strategy": strategy}
    return answer(await rest.perform(get_session_context, query.user, **values))


@routes.patch("/sessions/{session_id}/memory", response_model=StrategyOut)
async def patch_memory(rest: Rest, session_id: SessionId, query: Only, body: MemoryPatch) -> Response:
    """Chooses how much of the session a model is shown. The record itself never changes."""
    values = {"level": "session", "session_id": session_id, "strategy": body.strategy}
    return answer(await rest.perform(set_memory_strategy, query.user, **values))
