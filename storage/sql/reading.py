"""One owner's record inside a read transaction."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import islice
from typing import Any, Literal, TypeVar

from sqlalchemy import ColumnElement, Connection, Select, Table, and_, literal, select, tuple_

from memory.model import (
    Change,
    Message,
    MessageFilter,
    Owner,
    Position,
    Session,
    SessionFilter,
    Strategy,
    Summary,
    UserContextEntry,
)
from storage.sql import statements as sql
from storage.sql.feed import place
from storage.sql.rows import (
    SESSION_FIELDS,
    columns_of,
    project_key,
    to_change,
    to_entry,
    to_message,
    to_session,
    to_strategy,
    to_summary,
)
from storage.sql.tables import GLOBAL, messages, sessions
from storage.sql.tables import user_context as entries
from storage.sql.types import Micros, SafeText, to_stored

T = TypeVar("T")

# Below the smallest limit on bound parameters of the databases we speak.
_CHUNK = 400
_TITLES = 500
_FEW = 16
_ENDLESS = 2**62


class SqlRecords:
    """Implements memory.ports.Records over one connection."""

    def __init__(self, db: Connection, owner: Owner) -> None:
        self._db = db
        self.owner = owner
        self._parameters = sql.owner_parameters(owner)

    def _mine(self, table: Table) -> ColumnElement[bool]:
        return and_(table.c.tenant_id == self.owner.tenant_id, table.c.user_id == self.owner.user_id)

    def _rows(self, query: Any, **parameters: Any) -> Any:
        return self._db.execute(query, {**self._parameters, **parameters})

    def _one_session(self, query: Select[Any], wanted: str | None = None) -> Session | None:
        row = self._rows(query, wanted=wanted).first()
        return None if row is None else to_session(row)

    def _many_messages(self, query: Any, **parameters: Any) -> list[Message]:
        return [to_message(row) for row in self._rows(query, **parameters).all()]

    def _among(self, query: Any, wanted: Iterable[str], **parameters: Any) -> list[Message]:
        """`query` over as many ids as there are."""
        return [m for part in chunks(wanted) for m in self._many_messages(query, wanted=part, **parameters)]

    def session(self, session_id: str) -> Session | None:
        return self._one_session(sql.SESSION_BY_ID, session_id)

    def session_by_external_id(self, external_id: str) -> Session | None:
        return self._one_session(sql.SESSION_BY_EXTERNAL_ID, external_id)

    def open_session(self, project_id: str | None) -> Session | None:
        return self._one_session(
            sql.OPEN_GLOBAL_SESSION if project_id is None else sql.OPEN_PROJECT_SESSION, project_id
        )

    def sessions(self, where: SessionFilter, limit: int, before: tuple[datetime, str] | None = None) -> list[Session]:
        if where.title is None:
            rows = self._db.execute(self._of_sessions(SESSION_FIELDS, where, before).limit(limit))
            return [to_session(row) for row in rows]
        ids = self._titled(where, where.title, limit, before)
        found = {session.session_id: session for part in chunks(ids) for session in self._sessions_by_id(part)}
        return [found[session_id] for session_id in ids]

    def _of_sessions(self, fields: list[str], where: SessionFilter, before: tuple[datetime, str] | None) -> Select[Any]:
        query = select(*columns_of(sessions, fields)).where(self._mine(sessions), *_session_conditions(where))
        if before is not None:
            last = tuple_(literal(before[0], Micros()), literal(before[1], SafeText()))
            query = query.where(tuple_(sessions.c.last_activity_at, sessions.c.session_id) < last)
        return query.order_by(sessions.c.last_activity_at.desc(), sessions.c.session_id.desc())

    def _titled(self, where: SessionFilter, title: str, limit: int, before: tuple[datetime, str] | None) -> list[str]:
        """The ids of sessions with `title` in theirs. Databases disagree on what letters are the same; Python has the
        say, and reads no more of each session than that."""
        sought, ids = title.casefold(), list[str]()
        query = self._of_sessions(["session_id", "title"], where, before).where(sessions.c.title.is_not(None))
        with self._db.execute(query.execution_options(yield_per=_TITLES)) as rows:
            for session_id, its_title in rows:
                if sought in its_title.casefold():
                    ids.append(session_id)
                    if len(ids) == limit:
                        break
        return ids

    def _sessions_by_id(self, ids: Sequence[str]) -> list[Session]:
        query = select(*columns_of(sessions, SESSION_FIELDS)).where(
            self._mine(sessions), sessions.c.session_id.in_(ids)
        )
        return [to_session(row) for row in self._db.execute(query)]

    def latest_archived(self) -> Session | None:
        return self._one_session(sql.LATEST_ARCHIVED_SESSION)

    def message(self, message_id: str) -> Message | None:
        return self.messages([message_id]).get(message_id)

    def messages(self, message_ids: Sequence[str]) -> dict[str, Message]:
        return {m.message_id: m for m in self._among(sql.MESSAGES_BY_ID, message_ids)}

    def messages_by_client_id(self, client_ids: Sequence[str], session_id: str) -> dict[str, Message]:
        return {str(m.client_id): m for m in self._among(sql.BY_CLIENT_ID_IN_SESSION, client_ids, place=session_id)}

    def messages_by_client_id_in_scope(self, client_ids: Sequence[str], project_id: str | None) -> dict[str, Message]:
        query = sql.BY_CLIENT_ID_IN_GLOBAL if project_id is None else sql.BY_CLIENT_ID_IN_PROJECT
        found = self._among(query, client_ids, place=project_id)
        return {str(m.client_id): m for m in sorted(found, key=lambda m: (m.recorded_at, m.session_id))}

    def transcript(
        self, session_id: str, from_seq: int = 1, to_seq: int | None = None, last: int | None = None
    ) -> list[Message]:
        stretch = {"place": session_id, "first": from_seq, "last": _ENDLESS if to_seq is None else to_seq}
        if last is None:
            return self._many_messages(sql.TRANSCRIPT, **stretch)
        return self._many_messages(sql.TRANSCRIPT_END, **stretch, most=last)[::-1]

    def stretch(self, session_id: str, from_seq: int, limit: int) -> list[Message]:
        """The first `limit` messages from `from_seq` on."""
        return self._many_messages(sql.TRANSCRIPT_START, place=session_id, first=from_seq, last=_ENDLESS, most=limit)

    def read_on(self, session_id: str, from_seq: int) -> Iterator[Message]:
        size = 1
        while page := self.stretch(session_id, from_seq, size):
            yield from page
            from_seq = page[-1].seq + 1
            size = min(_FEW, size * 2)

    def windows(self, spans: Sequence[tuple[str, int, int]]) -> list[Message]:
        whole = [[to_stored(session_id), first, last] for session_id, first, last in _joined(spans)]
        return self._many_messages(sql.WINDOWS[self._db.dialect.name], spans=whole) if whole else []

    def all_messages(self, where: MessageFilter, after: tuple[str, int] | None, limit: int) -> list[Message]:
        query = sql.MESSAGES.where(*_message_conditions(where))
        if after is not None:
            last = tuple_(literal(after[0], SafeText()), literal(after[1], messages.c.seq.type))
            query = query.where(tuple_(messages.c.session_id, messages.c.seq) > last)
        return self._many_messages(query.order_by(messages.c.session_id, messages.c.seq).limit(limit))

    def participants(self, project_id: str | None) -> list[str]:
        query = sql.PARTICIPANTS if project_id is None else sql.PARTICIPANTS_OF_PROJECT
        return sorted(self._rows(query, place=project_id).scalars())

    def projects(self) -> list[str]:
        in_sessions = select(sessions.c.project_id).where(self._mine(sessions), sessions.c.project_id.is_not(None))
        in_context = select(entries.c.project_key).where(self._mine(entries), entries.c.project_key != GLOBAL)
        return sorted(self._db.execute(in_sessions.union(in_context)).scalars())

    def message_count(self, where: SessionFilter | None = None) -> int:
        query = sql.MESSAGE_COUNT if where is None else sql.MESSAGE_COUNT.where(*_session_conditions(where))
        return int(self._rows(query).scalar_one())

    def changes_after(self, position: Position, limit: int) -> list[Change]:
        query = sql.OWNER_FEED[self._db.dialect.name]
        return [to_change(row) for row in self._rows(query, **place(position), most=limit).all()]

    def unsettled_messages(self, position: Position, limit: int) -> list[Message]:
        found: dict[str, Message] = {}
        end = Position(_ENDLESS, _ENDLESS)
        # A message that changed often comes often: read on until enough different ones are found.
        while len(found) < limit:
            bounds = {**place(position), "end_xid": end.xid, "end_change_id": end.change_id, "most": limit}
            rows = self._rows(sql.CHANGED_MESSAGES[self._db.dialect.name], **bounds).all()
            for row in rows:
                found.setdefault(row.message_id, to_message(row[2:]))
            if len(rows) < limit:
                break
            end = Position(rows[-1].xid, rows[-1].change_id)
        return list(found.values())[:limit]

    def latest_summary(self, session_id: str) -> Summary | None:
        row = self._rows(sql.LATEST_SUMMARY, wanted=session_id).first()
        return None if row is None else to_summary(row)

    def summary_due(self, session_id: str) -> int | None:
        due = self._rows(sql.SUMMARY_DUE, wanted=session_id).scalar()
        return None if due is None else int(due)

    def summaries(self, session_id: str) -> list[Summary]:
        return [to_summary(row) for row in self._rows(sql.SUMMARIES_IN_ORDER, wanted=session_id)]

    def latest_summaries(self, limit: int) -> list[tuple[Session, Summary]]:
        rows = self._rows(sql.LATEST_SUMMARIES, most=limit).all()
        width = len(SESSION_FIELDS)
        return [(to_session(row[:width]), to_summary(row[width:])) for row in rows]

    def user_context(self, project_id: str | None, keys: Sequence[str] | None = None) -> list[UserContextEntry]:
        return self._entries(sql.USER_CONTEXT, sql.USER_CONTEXT_BY_KEY, project_id, keys)

    def user_context_history(self, project_id: str | None, keys: Sequence[str] | None = None) -> list[UserContextEntry]:
        return self._entries(sql.USER_CONTEXT_HISTORY, sql.USER_CONTEXT_HISTORY_BY_KEY, project_id, keys)

    def _entries(
        self, every: Any, by_key: Any, project_id: str | None, keys: Sequence[str] | None
    ) -> list[UserContextEntry]:
        place = project_key(project_id)
        if keys is None:
            rows = self._rows(every, place=place).all()
        else:
            rows = [row for part in chunks(keys) for row in self._rows(by_key, place=place, wanted=part)]
        return sorted(map(to_entry, rows), key=lambda entry: (entry.key, entry.version))

    def strategy(self, level: Literal["session", "agent"], name: str) -> Strategy | None:
        values = self._rows(sql.STRATEGY, level=level, wanted=name).scalar()
        return None if values is None else to_strategy(values)

    def revision(self) -> int:
        return int(self._rows(sql.REVISION).scalar() or 0)


def _scope_conditions(table: Table, where: SessionFilter | MessageFilter) -> Iterator[ColumnElement[bool]]:
    if where.scope == "global":
        yield table.c.project_id.is_(None)
    elif where.scope == "project":
        yield table.c.project_id.is_not(None)
    if where.project_id is not None:
        yield table.c.project_id == where.project_id


def _session_conditions(where: SessionFilter) -> Iterator[ColumnElement[bool]]:
    yield from _scope_conditions(sessions, where)
    if where.archived is not None:
        yield sessions.c.archived_at.is_not(None) if where.archived else sessions.c.archived_at.is_(None)
    for column, value in (
        (sessions.c.channel, where.channel),
        (sessions.c.external_id, where.external_id),
    ):
        if value is not None:
            yield column == value


def _message_conditions(where: MessageFilter) -> Iterator[ColumnElement[bool]]:
    yield from _scope_conditions(messages, where)
    for column, value in (
        (messages.c.session_id, where.session_id),
        (messages.c.role, where.role),
        (messages.c.channel, where.channel),
    ):
        if value is not None:
            yield column == value
    if where.since is not None:
        yield messages.c.occurred_at >= where.since
    if where.until is not None:
        yield messages.c.occurred_at < where.until


def _joined(spans: Iterable[tuple[str, int, int]]) -> list[tuple[str, int, int]]:
    """The same stretches in order, those that touch or overlap as one."""
    whole: list[tuple[str, int, int]] = []
    for session_id, first, last in sorted(span for span in spans if span[1] <= span[2]):
        if whole and whole[-1][0] == session_id and first <= whole[-1][2] + 1:
            whole[-1] = (session_id, whole[-1][1], max(last, whole[-1][2]))
        else:
            whole.append((session_id, first, last))
    return whole


def chunks(values: Iterable[T], size: int = _CHUNK) -> Iterator[list[T]]:
    rest = iter(values)
    while part := list(islice(rest, size)):
        yield part
