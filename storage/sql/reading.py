"""One owner's record inside a read transaction."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import islice
from typing import Any, Literal, TypeVar

from sqlalchemy import ColumnElement, Connection, Select, Table, and_, func, literal, or_, select, tuple_

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
from storage.sql.feed import feed_rows, settled
from storage.sql.rows import (
    MESSAGE_FIELDS,
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
from storage.sql.statements import (
    LATEST_ARCHIVED_SESSION,
    OPEN_GLOBAL_SESSION,
    OPEN_PROJECT_SESSION,
    SESSION_BY_EXTERNAL_ID,
    SESSION_BY_ID,
    owner_parameters,
)
from storage.sql.tables import (
    changes,
    memory_strategies,
    messages,
    owners,
    sessions,
    summaries,
    user_context,
    user_context_history,
)
from storage.sql.types import Micros, SafeText

T = TypeVar("T")

# Below the smallest limit on bound parameters of the databases we speak, and on their expression depth.
CHUNK = 400


class SqlRecords:
    """Implements memory.ports.Records over one connection."""

    def __init__(self, db: Connection, owner: Owner) -> None:
        self._db = db
        self.owner = owner
        self._parameters = owner_parameters(owner)

    def _mine(self, table: Table) -> ColumnElement[bool]:
        return and_(table.c.tenant_id == self.owner.tenant_id, table.c.user_id == self.owner.user_id)

    def _sessions(self) -> Select[Any]:
        return select(*columns_of(sessions, SESSION_FIELDS)).where(self._mine(sessions))

    def _messages(self) -> Select[Any]:
        return select(*columns_of(messages, MESSAGE_FIELDS)).where(self._mine(messages))

    def _one_session(self, query: Select[Any], wanted: str | None = None) -> Session | None:
        row = self._db.execute(query, {**self._parameters, "wanted": wanted}).first()
        return None if row is None else to_session(row)

    def _many_messages(self, query: Select[Any]) -> list[Message]:
        return [to_message(row) for row in self._db.execute(query)]

    def session(self, session_id: str) -> Session | None:
        return self._one_session(SESSION_BY_ID, session_id)

    def session_by_external_id(self, external_id: str) -> Session | None:
        return self._one_session(SESSION_BY_EXTERNAL_ID, external_id)

    def open_session(self, project_id: str | None) -> Session | None:
        return self._one_session(OPEN_GLOBAL_SESSION if project_id is None else OPEN_PROJECT_SESSION, project_id)

    def sessions(self, where: SessionFilter, limit: int, before: tuple[datetime, str] | None = None) -> list[Session]:
        query = self._sessions().where(*session_conditions(where))
        if before is not None:
            place = tuple_(literal(before[0], Micros()), literal(before[1], SafeText()))
            query = query.where(tuple_(sessions.c.last_activity_at, sessions.c.session_id) < place)
        query = query.order_by(sessions.c.last_activity_at.desc(), sessions.c.session_id.desc()).limit(limit)
        return [to_session(row) for row in self._db.execute(query)]

    def latest_archived(self) -> Session | None:
        return self._one_session(LATEST_ARCHIVED_SESSION)

    def message(self, message_id: str) -> Message | None:
        return self.messages([message_id]).get(message_id)

    def messages(self, message_ids: Sequence[str]) -> dict[str, Message]:
        found = self._by(messages.c.message_id, message_ids)
        return {m.message_id: m for m in found}

    def _by(self, column: ColumnElement[str], values: Sequence[str], *conditions: ColumnElement[bool]) -> list[Message]:
        return [
            message
            for part in chunks(values)
            for message in self._many_messages(self._messages().where(column.in_(part), *conditions))
        ]

    def messages_by_client_id(self, client_ids: Sequence[str], session_id: str) -> dict[str, Message]:
        found = self._by(messages.c.client_id, client_ids, messages.c.session_id == session_id)
        return {str(m.client_id): m for m in found}

    def messages_by_client_id_in_scope(self, client_ids: Sequence[str], project_id: str | None) -> dict[str, Message]:
        found = self._by(messages.c.client_id, client_ids, same(messages.c.project_id, project_id))
        return {str(m.client_id): m for m in sorted(found, key=lambda m: (m.recorded_at, m.session_id))}

    def transcript(
        self, session_id: str, from_seq: int = 1, to_seq: int | None = None, last: int | None = None
    ) -> list[Message]:
        query = self._messages().where(messages.c.session_id == session_id, messages.c.seq >= from_seq)
        if to_seq is not None:
            query = query.where(messages.c.seq <= to_seq)
        if last is None:
            return self._many_messages(query.order_by(messages.c.seq))
        return self._many_messages(query.order_by(messages.c.seq.desc()).limit(last))[::-1]

    def windows(self, spans: Sequence[tuple[str, int, int]]) -> list[Message]:
        found: dict[str, Message] = {}
        for part in chunks(spans, CHUNK // 4):
            near = [
                and_(messages.c.session_id == session_id, messages.c.seq.between(first, last))
                for session_id, first, last in part
            ]
            found.update((m.message_id, m) for m in self._many_messages(self._messages().where(or_(*near))))
        return sorted(found.values(), key=lambda m: (m.session_id, m.seq))

    def all_messages(self, where: MessageFilter, after: tuple[str, int] | None, limit: int) -> list[Message]:
        query = self._messages().where(*message_conditions(where))
        if after is not None:
            query = query.where(tuple_(messages.c.session_id, messages.c.seq) > tuple_(*after))
        return self._many_messages(query.order_by(messages.c.session_id, messages.c.seq).limit(limit))

    def participants(self, project_id: str | None) -> list[str]:
        query = select(messages.c.speaker).distinct().where(self._mine(messages), messages.c.speaker.is_not(None))
        if project_id is not None:
            query = query.where(messages.c.project_id == project_id)
        return sorted(self._db.execute(query).scalars())

    def message_count(self) -> int:
        query = select(func.coalesce(func.sum(sessions.c.message_count), 0)).where(self._mine(sessions))
        return int(self._db.execute(query).scalar_one())

    def changes_after(self, position: Position, limit: int) -> list[Change]:
        query = feed_rows(position, limit).where(self._mine(changes), settled(self._db))
        return [to_change(row) for row in self._db.execute(query)]

    def unsettled_messages(self, position: Position, limit: int) -> list[Message]:
        query = (
            select(*columns_of(messages, MESSAGE_FIELDS))
            .join(
                changes,
                and_(
                    changes.c.tenant_id == messages.c.tenant_id,
                    changes.c.user_id == messages.c.user_id,
                    changes.c.message_id == messages.c.message_id,
                ),
            )
            .where(
                self._mine(messages),
                self._mine(changes),
                tuple_(changes.c.xid, changes.c.change_id) > tuple_(position.xid, position.change_id),
            )
            .order_by(changes.c.xid.desc(), changes.c.change_id.desc())
            .limit(limit)
        )
        return list({m.message_id: m for m in self._many_messages(query)}.values())

    def latest_summary(self, session_id: str) -> Summary | None:
        query = self._summaries(session_id).order_by(summaries.c.version.desc()).limit(1)
        row = self._db.execute(query).first()
        return None if row is None else to_summary(row)

    def summaries(self, session_id: str) -> list[Summary]:
        return [to_summary(row) for row in self._db.execute(self._summaries(session_id).order_by(summaries.c.version))]

    def _summaries(self, session_id: str) -> Select[Any]:
        return select(summaries).where(self._mine(summaries), summaries.c.session_id == session_id)

    def latest_summaries(self, limit: int) -> list[tuple[Session, Summary]]:
        newest = (
            select(summaries.c.session_id, func.max(summaries.c.version).label("version"))
            .where(self._mine(summaries))
            .group_by(summaries.c.session_id)
            .subquery()
        )
        query = (
            select(*columns_of(sessions, SESSION_FIELDS), newest.c.version)
            .join(newest, newest.c.session_id == sessions.c.session_id)
            .where(self._mine(sessions))
            .order_by(sessions.c.last_activity_at.desc(), sessions.c.session_id.desc())
            .limit(limit)
        )
        return [
            (to_session(row[:-1]), self._summary(row.session_id, row.version)) for row in self._db.execute(query).all()
        ]

    def _summary(self, session_id: str, version: int) -> Summary:
        return to_summary(self._db.execute(self._summaries(session_id).where(summaries.c.version == version)).one())

    def user_context(self, project_id: str | None, keys: Sequence[str] | None = None) -> list[UserContextEntry]:
        return self._entries(user_context, project_id, keys)

    def user_context_history(self, project_id: str | None, keys: Sequence[str] | None = None) -> list[UserContextEntry]:
        return self._entries(user_context_history, project_id, keys)

    def _entries(self, table: Table, project_id: str | None, keys: Sequence[str] | None) -> list[UserContextEntry]:
        query = select(table).where(self._mine(table), table.c.project_key == project_key(project_id))
        parts = [query] if keys is None else [query.where(table.c.key.in_(part)) for part in chunks(keys)]
        entries = [to_entry(row) for part in parts for row in self._db.execute(part)]
        return sorted(entries, key=lambda entry: (entry.key, entry.version))

    def strategy(self, level: Literal["session", "agent"], name: str) -> Strategy | None:
        query = select(memory_strategies.c.strategy).where(
            self._mine(memory_strategies), memory_strategies.c.level == level, memory_strategies.c.name == name
        )
        values = self._db.execute(query).scalar()
        return None if values is None else to_strategy(values)

    def revision(self) -> int:
        return int(self._db.execute(select(owners.c.revision).where(self._mine(owners))).scalar() or 0)


def same(column: ColumnElement[Any], value: str | None) -> ColumnElement[bool]:
    """Equality that takes None for itself."""
    return column.is_(None) if value is None else column == value


def scope_conditions(table: Table, where: SessionFilter | MessageFilter) -> Iterator[ColumnElement[bool]]:
    if where.scope == "global":
        yield table.c.project_id.is_(None)
    elif where.scope == "project":
        yield table.c.project_id.is_not(None)
    if where.project_id is not None:
        yield table.c.project_id == where.project_id


def session_conditions(where: SessionFilter) -> Iterator[ColumnElement[bool]]:
    yield from scope_conditions(sessions, where)
    if where.archived is not None:
        yield sessions.c.archived_at.is_not(None) if where.archived else sessions.c.archived_at.is_(None)
    for column, value in (
        (sessions.c.channel, where.channel),
        (sessions.c.external_id, where.external_id),
        (sessions.c.title, where.title),
    ):
        if value is not None:
            yield column == value


def message_conditions(where: MessageFilter) -> Iterator[ColumnElement[bool]]:
    yield from scope_conditions(messages, where)
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


def chunks(values: Iterable[T], size: int = CHUNK) -> Iterator[list[T]]:
    rest = iter(values)
    while part := list(islice(rest, size)):
        yield part
