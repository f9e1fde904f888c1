"""One owner's record inside a write transaction."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Any, Literal

from sqlalchemy import Connection, Table, delete, func, select, update
from sqlalchemy.dialects import postgresql, sqlite

from memory.errors import NotFound
from memory.model import ChangeKind, Message, Owner, Session, Strategy, Summary, UserContextEntry
from storage.sql.digests import add_digest, remove_digest
from storage.sql.feed import is_postgresql
from storage.sql.reading import SqlRecords, chunks
from storage.sql.rows import draft_values, entry_values, message_values, owner_values, session_values
from storage.sql.statements import CHANGING, COUNT_REVISION, INSERT_CHANGE, UPDATE_SESSION
from storage.sql.tables import (
    memory_strategies,
    message_revisions,
    messages,
    sessions,
    summaries,
    user_context,
    user_context_history,
)


class SqlWritableRecords(SqlRecords):
    """Implements memory.ports.WritableRecords. Every write transaction counts the owner's revision up once."""

    def __init__(self, db: Connection, owner: Owner) -> None:
        super().__init__(db, owner)
        db.execute(COUNT_REVISION[db.dialect.name], self._parameters)
        self._touched: Session | None = None

    def _upsert(self, table: Table, values: dict[str, Any], key: tuple[str, ...], changed: dict[str, Any]) -> None:
        insert = postgresql.insert if is_postgresql(self._db) else sqlite.insert
        statement = insert(table).values({**owner_values(self.owner), **values})
        self._db.execute(statement.on_conflict_do_update(index_elements=list(key), set_=changed))

    def add_session(self, session: Session) -> None:
        self._db.execute(sessions.insert(), {**owner_values(self.owner), **session_values(session)})
        self._touched = session

    def session(self, session_id: str) -> Session | None:
        # The lock that this transaction holds keeps what it has seen of a session true.
        if self._touched is None or self._touched.session_id != session_id:
            self._touched = super().session(session_id)
        return self._touched

    def session_by_external_id(self, external_id: str) -> Session | None:
        self._touched = super().session_by_external_id(external_id)
        return self._touched

    def open_session(self, project_id: str | None) -> Session | None:
        self._touched = super().open_session(project_id)
        return self._touched

    def _existing(self, session_id: str) -> Session:
        session = self.session(session_id)
        if session is None:
            raise NotFound("session", session_id)
        return session

    def _set_session(self, session: Session) -> None:
        values = {f"new_{name}": getattr(session, name) for name in CHANGING}
        self._db.execute(UPDATE_SESSION, {**self._parameters, "wanted": session.session_id, **values})
        self._touched = session

    def update_session(
        self,
        session_id: str,
        *,
        title: str | None = None,
        archived_at: datetime | None = None,
        reopened: bool = False,
        last_activity_at: datetime | None = None,
    ) -> Session:
        session = self._existing(session_id)
        session = replace(
            session,
            title=session.title if title is None else title,
            archived_at=None if reopened else archived_at or session.archived_at,
            last_activity_at=last_activity_at or session.last_activity_at,
        )
        self._set_session(session)
        return session

    def add_messages(self, session_id: str, new: Sequence[Message]) -> Session:
        session = self._existing(session_id)
        if not new:
            return session
        rows = [{**owner_values(self.owner), **message_values(m)} for m in new]
        self._db.execute(messages.insert(), rows)
        self._announce("message_added", new, new[-1].recorded_at)
        session = replace(
            session,
            message_count=session.message_count + len(new),
            last_seq=new[-1].seq,
            message_digest=add_digest(session.message_digest, [m.digest for m in new]),
            last_activity_at=activity(session, new),
        )
        self._set_session(session)
        return session

    def _announce(self, kind: ChangeKind, subjects: Sequence[Message], at: datetime) -> None:
        # Row by row: many rows in one statement may be given their ids in any order.
        for subject in subjects:
            values = {"kind": kind, "session_id": subject.session_id, "message_id": subject.message_id}
            row = {**owner_values(self.owner), **values, "changed_at": at}
            self._db.execute(INSERT_CHANGE[self._db.dialect.name], row)

    def replace_message(self, message: Message) -> None:
        old = self.message(message.message_id)
        if old is None:
            raise NotFound("message", message.message_id)
        self._keep_revision(old, message.recorded_at)
        self._db.execute(
            update(messages)
            .where(self._mine(messages), messages.c.message_id == message.message_id)
            .values(message_values(message))
        )
        session = self._existing(message.session_id)
        digest = remove_digest(session.message_digest, [old.digest])
        self._set_session(
            replace(
                session,
                message_digest=add_digest(digest, [message.digest]),
                last_activity_at=max(session.last_activity_at, message.recorded_at),
            )
        )
        self._announce("message_edited", [message], message.recorded_at)

    def _keep_revision(self, old: Message, replaced_at: datetime) -> None:
        mine = self._mine(message_revisions), message_revisions.c.message_id == old.message_id
        last = self._db.execute(select(func.max(message_revisions.c.revision)).where(*mine)).scalar()
        self._db.execute(
            message_revisions.insert().values(
                message_id=old.message_id,
                revision=(last or 0) + 1,
                content=old.content,
                status=old.status,
                recorded_at=old.recorded_at,
                replaced_at=replaced_at,
                digest=old.digest,
                **owner_values(self.owner),
            )
        )

    def erase_messages(self, message_ids: Sequence[str]) -> int:
        gone = list(self.messages(list(dict.fromkeys(message_ids))).values())
        for part in chunks([m.message_id for m in gone]):
            for table in (message_revisions, messages):
                self._db.execute(delete(table).where(self._mine(table), table.c.message_id.in_(part)))
        for session_id in {m.session_id for m in gone}:
            session = self._existing(session_id)
            digests = [m.digest for m in gone if m.session_id == session_id]
            self._set_session(
                replace(
                    session,
                    message_count=session.message_count - len(digests),
                    message_digest=remove_digest(session.message_digest, digests),
                )
            )
        self._announce("message_erased", gone, datetime.now(UTC))
        return len(gone)

    def add_summary(self, summary: Summary) -> None:
        self._db.execute(
            summaries.insert().values(
                session_id=summary.session_id,
                version=summary.version,
                draft=draft_values(summary.draft),
                covers_to_seq=summary.covers_to_seq,
                producer=summary.producer,
                note=summary.note,
                created_at=summary.created_at,
                **owner_values(self.owner),
            )
        )

    def put_user_context(self, entry: UserContextEntry) -> None:
        values = entry_values(entry)
        self._upsert(user_context, values, ("tenant_id", "user_id", "project_key", "key"), values)
        self._db.execute(user_context_history.insert().values(**owner_values(self.owner), **values))

    def put_strategy(self, level: Literal["session", "agent"], name: str, strategy: Strategy | None) -> None:
        table = memory_strategies
        if strategy is None:
            self._db.execute(delete(table).where(self._mine(table), table.c.level == level, table.c.name == name))
            return
        values = {"strategy": asdict(strategy)}
        self._upsert(table, {"level": level, "name": name, **values}, ("tenant_id", "user_id", "level", "name"), values)


def activity(session: Session, new: Sequence[Message]) -> datetime:
    """When a session was last active: when it was recorded, or, for a conversation that is over, when it happened."""
    latest = max(m.recorded_at if session.archived_at is None else m.occurred_at for m in new)
    return max(session.last_activity_at, latest)
