"""Sessions, their messages, summaries, context and strategy."""

import base64
import binascii
from typing import Annotated, Any

from fastapi import APIRouter, Path
from fastapi import Query as InQuery
from pydantic import BaseModel, Field

from memory.errors import Invalid, NotFound
from memory.model import CONTEXT_TOKENS, HITS, MESSAGES_AT_ONCE, SUMMARY_TOKENS, Channel, Mode, ScopeFilter
from memory.sessions import existing
from server import answers
from server.calling import Call
from server.http.rest.front import AtDesk, Body, Query
from server.http.rest.types import Flag, Message, Name, Strategy, Summary, Whole, Words
from server.resources import addresses
from server.schemas import (
    MessageOut,
    Recorded,
    SessionAnswer,
    SessionContextAnswer,
    Sessions,
    StrategyIn,
    StrategyOut,
    SummaryAnswer,
)
from server.tools.archive_session import archive_session
from server.tools.get_session_context import get_session_context
from server.tools.list_sessions import list_sessions
from server.tools.record_messages import record_messages
from server.tools.set_memory_strategy import set_memory_strategy
from server.tools.start_session import start_session
from server.tools.summarize_session import summarize_session
from server.wire_values import count

routes = APIRouter(tags=["sessions"])
SessionId = Annotated[Name, Path(description="As `session_id` in answers")]
Limit = Annotated[int, count(1, HITS), Whole]


class ListQuery(Query):
    project_id: Name | None = None
    scope: ScopeFilter = "all"
    archived: Flag | None = None
    channel: Channel | None = None
    external_id: Name | None = None
    title: Annotated[str | None, Field(description="Part of it")] = None
    limit: Limit = 20
    cursor: Annotated[str | None, Field(description="`next_cursor` of the last page")] = None


class NewSession(Body):
    title: Name | None = None
    project_id: Name | None = None
    channel: Channel | None = None
    external_id: Annotated[Name | None, Field(description="One that exists gives its session again")] = None
    agent: Name | None = None


class SessionPatch(Body):
    title: Name | None = None
    archived: Annotated[bool | None, Field(description="true ends the conversation, false takes it up again")] = None


class NewMessages(Body):
    messages: Annotated[list[Message], Field(min_length=1, max_length=MESSAGES_AT_ONCE)]


class PageQuery(Query):
    limit: Annotated[int, count(1, 1000), Whole] = 100
    cursor: Annotated[str | None, Field(description="`next_cursor` of the last page")] = None


class Messages(BaseModel):
    session_id: str
    messages: list[MessageOut]
    next_cursor: str | None


class SummaryRequest(Body):
    summary: Annotated[Summary | None, Field(description="Your own words; absent: made for you")] = None
    max_tokens: Annotated[int, count(*SUMMARY_TOKENS), Whole] | None = None


class MemoryPatch(Body):
    strategy: Annotated[Strategy | None, Field(description="Knobs to set; a null knob, or null at all, inherits again")]


class ContextQuery(Query):
    query: Annotated[Words | None, Field(description="Adds recalled messages")] = None
    max_tokens: Annotated[int, count(*CONTEXT_TOKENS), Whole] = 4000
    mode: Annotated[Mode | None, Field(description="A strategy for this request alone")] = None
    purpose: Annotated[str, Field(pattern="^(chat|voice)$")] = "chat"


@routes.get("/sessions")
async def get_sessions(at: AtDesk, query: Annotated[ListQuery, InQuery()]) -> Sessions:
    """Sessions, newest first, a page at a time."""
    if query.cursor is not None:
        check_cursor(query.cursor)
    values = query.model_dump(exclude={"user"})
    return Sessions.model_validate(await at.perform(list_sessions, query.user, **values))


@routes.post("/sessions", status_code=201)
async def post_session(at: AtDesk, query: Annotated[Query, InQuery()], body: NewSession) -> SessionAnswer:
    """Starts a session; a known `external_id` gives its session again."""
    return SessionAnswer.model_validate(await at.perform(start_session, query.user, **body.model_dump()))


@routes.get("/sessions/{session_id}")
async def get_session(at: AtDesk, session_id: SessionId, query: Annotated[Query, InQuery()]) -> SessionAnswer:
    """One session."""

    def work(call: Call) -> SessionAnswer:
        with call.memory.store.read(call.owner) as records:
            found = existing(records, session_id)
        return answers.session(found, "").data

    return await at.run("read", query.user, work)


@routes.patch("/sessions/{session_id}")
async def patch_session(
    at: AtDesk, session_id: SessionId, query: Annotated[Query, InQuery()], body: SessionPatch
) -> SessionAnswer:
    """Renames a session, archives it, or takes it up again."""

    def work(call: Call) -> SessionAnswer:
        if body.archived:
            archive_session.handler(call, session_id=session_id)
        with call.memory.store.write(call.owner) as records:
            existing(records, session_id)
            changed = records.update_session(session_id, title=body.title, reopened=body.archived is False)
        call.changed += addresses.after_session_change(session_id)
        return answers.session(changed, "").data

    return await at.run("write", query.user, work)


@routes.get("/sessions/{session_id}/messages")
async def get_messages(at: AtDesk, session_id: SessionId, query: Annotated[PageQuery, InQuery()]) -> Messages:
    """What was said, in order, a page at a time."""
    after = read_cursor(query.cursor)

    def work(call: Call) -> Messages:
        with call.memory.store.read(call.owner) as records:
            session = existing(records, session_id)
            found = _page(records, session.last_seq, session_id, after, query.limit)
        rows = [answers.message(m, whole=True) for m in found[: query.limit]]
        more = write_cursor(rows[-1].seq) if len(found) > query.limit else None
        return Messages(session_id=session_id, messages=rows, next_cursor=more)

    return await at.run("read", query.user, work)


def _page(records: Any, last_seq: int, session_id: str, after: int, limit: int) -> list[Any]:
    """At least one message more than `limit` after `after`, where there are so many; erased ones leave gaps."""
    found: list[Any] = []
    first = after + 1
    while len(found) <= limit and first <= last_seq:
        found += records.transcript(session_id, first, first + limit)
        first += limit + 1
    return found


@routes.post("/sessions/{session_id}/messages", status_code=201)
async def post_messages(
    at: AtDesk, session_id: SessionId, query: Annotated[Query, InQuery()], body: NewMessages
) -> Recorded:
    """Records messages, all or none; on the answer they are on disk. Repeating an `id` records nothing twice."""
    values = {"messages": body.messages, "session_id": session_id}
    return Recorded.model_validate(await at.perform(record_messages, query.user, **values))


@routes.get("/sessions/{session_id}/summary")
async def get_summary(at: AtDesk, session_id: SessionId, query: Annotated[Query, InQuery()]) -> SummaryAnswer:
    """The newest summary; version 0 where there is none yet."""

    def work(call: Call) -> SummaryAnswer:
        with call.memory.store.read(call.owner) as records:
            existing(records, session_id)
            summary = records.latest_summary(session_id)
        return answers.summary_data(summary) if summary else answers.no_summary(session_id)

    return await at.run("read", query.user, work)


@routes.post("/sessions/{session_id}/summary", status_code=201)
async def post_summary(
    at: AtDesk, session_id: SessionId, query: Annotated[Query, InQuery()], body: SummaryRequest
) -> SummaryAnswer:
    """Stores a new version of the summary."""
    values = {"session_id": session_id, "summary": body.summary, "max_tokens": body.max_tokens}
    return SummaryAnswer.model_validate(await at.perform(summarize_session, query.user, **values))


@routes.get("/sessions/{session_id}/context")
async def get_context(
    at: AtDesk, session_id: SessionId, query: Annotated[ContextQuery, InQuery()]
) -> SessionContextAnswer:
    """What a model should be given now."""
    values = query.model_dump(exclude={"user", "mode"})
    strategy = StrategyIn(mode=query.mode) if query.mode else None
    answer = await at.perform(get_session_context, query.user, session_id=session_id, strategy=strategy, **values)
    return SessionContextAnswer.model_validate(answer)


@routes.patch("/sessions/{session_id}/memory")
async def patch_memory(
    at: AtDesk, session_id: SessionId, query: Annotated[Query, InQuery()], body: MemoryPatch
) -> StrategyOut:
    """Chooses how much of the session a model is shown. The record itself never changes."""
    values = {"level": "session", "session_id": session_id, "strategy": body.strategy}
    return StrategyOut.model_validate(await at.perform(set_memory_strategy, query.user, **values))


def check_cursor(cursor: str) -> None:
    """Errors: NotFound for a cursor that no page gave."""
    from memory.sessions import read_cursor as read_place

    try:
        read_place(cursor)
    except Invalid:
        raise NotFound("cursor", cursor) from None


def write_cursor(seq: int) -> str:
    """An opaque mark of a place in a session."""
    return base64.urlsafe_b64encode(f"seq:{seq}".encode()).decode().rstrip("=")


def read_cursor(cursor: str | None) -> int:
    """The seq after which to go on; 0 at the start. Errors: NotFound."""
    if cursor is None:
        return 0
    try:
        kind, _, seq = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode("ascii").partition(":")
        if kind == "seq" and seq.isdigit() and len(seq) < 19:
            return int(seq)
    except (binascii.Error, ValueError):
        pass
    raise NotFound("cursor", cursor)
