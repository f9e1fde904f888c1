"""One owner's record inside a write transaction."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Any, Literal

from sqlalchemy import Connection, Table, delete, func, select, update
from sqlalchemy.dialects import postgresql, sqlite

from memory.errors import Conflict, NotFound, shown
from memory.model import ChangeKind, Message, Owner, Session, Strategy, Summary, UserContextEntry, digest_of
from storage.sql import statements as sql
from storage.sql.digests import add_digest, remove_digest
from storage.sql.feed import is_postgresql
from storage.sql.reading import SqlRecords, chunks
from storage.sql.rows import (
    draft_values,
    entry_values,
    from_document,
    message_values,
    owner_values,
    session_values,
    to_document,
)
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
    """Implements memory.ports.WritableRecords. A transaction that writes counts the owner's revision up once."""

    def __init__(self, db: Connection, owner: Owner) -> None:
        super().__init__(db, owner)
        self._counted = False
        self._touched: Session | None = None

    def touch(self) -> None:
        """Must come before the first write."""
        if not self._counted:
            self._db.execute(sql.COUNT_REVISION[self._db.dialect.name], self._parameters)
            self._counted = True

    def _insert(self, table: Table, values: dict[str, Any]) -> None:
        self.touch()
        self._db.execute(table.insert(), {**owner_values(self.owner), **values})

    def _upsert(self, table: Table, values: dict[str, Any], key: tuple[str, ...], changed: dict[str, Any]) -> None:
        self.touch()
        insert = postgresql.insert if is_postgresql(self._db) else sqlite.insert
        statement = insert(table).values({**owner_values(self.owner), **values})
        self._db.execute(statement.on_conflict_do_update(index_elements=list(key), set_=changed))

    def add_session(self, session: Session) -> None:
        self._insert(sessions, session_values(session))
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
        self.touch()
        values = {f"new_{name}": getattr(session, name) for name in sql.CHANGING}
        self._rows(sql.UPDATE_SESSION, wanted=session.session_id, **values)
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
        _check_place(session, new)
        new = [_with_digest(message) for message in new]
        self.touch()
        self._db.execute(sql.INSERT_MESSAGE, [{**owner_values(self.owner), **message_values(m)} for m in new])
        self._announce("message_added", new, new[-1].recorded_at)
        session = replace(
            session,
            message_count=session.message_count + len(new),
            last_seq=new[-1].seq,
            message_digest=add_digest(session.message_digest, [m.digest for m in new]),
            last_activity_at=_activity(session, new),
        )
        self._set_session(session)
        return session

    def _announce(self, kind: ChangeKind, subjects: Sequence[Message], at: datetime) -> None:
        same = {**owner_values(self.owner), "kind": kind, "changed_at": at}
        rows = [{**same, "session_id": m.session_id, "message_id": m.message_id} for m in subjects]
        if rows:
            self._db.execute(sql.INSERT_CHANGE[self._db.dialect.name], rows)

    def replace_message(self, message: Message) -> None:
        old = self.message(message.message_id)
        if old is None:
            raise NotFound("message", message.message_id)
        if (old.session_id, old.seq) != (message.session_id, message.seq):
            raise Conflict(f"Message {shown(message.message_id)} cannot change its session or its seq.")
        message = _with_digest(message)
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

    def replaced(self, message_id: str) -> list[Message]:
        return [from_document(row.document) for row in self._rows(sql.REVISIONS_OF_MESSAGES, wanted=[message_id])]

    def _keep_revision(self, old: Message, replaced_at: datetime) -> None:
        mine = self._mine(message_revisions), message_revisions.c.message_id == old.message_id
        last = self._db.execute(select(func.max(message_revisions.c.revision)).where(*mine)).scalar()
        values = {"message_id": old.message_id, "revision": (last or 0) + 1, "replaced_at": replaced_at}
        self._insert(message_revisions, {**values, "document": to_document(old)})
        self._count_revisions(old.session_id, 1, [old.digest])

    def _count_revisions(self, session_id: str, more: int, digests: Sequence[str]) -> None:
        held = self.revisions(session_id)
        digest = (add_digest if more > 0 else remove_digest)(held["revision_digest"], digests)
        count = held["revision_count"] + more
        self._rows(sql.UPDATE_REVISIONS_OF_SESSION, wanted=session_id, new_count=count, new_digest=digest)

    def revisions(self, session_id: str) -> dict[str, Any]:
        """How many revisions of its messages a session has, and the sum of their digests."""
        return dict(self._rows(sql.REVISIONS_OF_SESSION, wanted=session_id).mappings().one())

    def erase_messages(self, message_ids: Sequence[str]) -> int:
        gone = list(self.messages(list(dict.fromkeys(message_ids))).values())
        if not gone:
            return 0
        self.touch()
        by_session: dict[str, list[Message]] = {}
        for message in gone:
            by_session.setdefault(message.session_id, []).append(message)
        for session_id, erased in by_session.items():
            self._erase(session_id, erased)
        self._announce("message_erased", gone, datetime.now(UTC))
        return len(gone)

    def _erase(self, session_id: str, gone: Sequence[Message]) -> None:
        ids = [m.message_id for m in gone]
        replaced = [r for part in chunks(ids) for r in self._rows(sql.REVISIONS_OF_MESSAGES, wanted=part)]
        if replaced:
            self._count_revisions(session_id, -len(replaced), [row.document["digest"] for row in replaced])
        for part in chunks(ids):
            for table in (message_revisions, messages):
                self._db.execute(delete(table).where(self._mine(table), table.c.message_id.in_(part)))
        session = self._existing(session_id)
        digest = remove_digest(session.message_digest, [m.digest for m in gone])
        self._set_session(replace(session, message_count=session.message_count - len(gone), message_digest=digest))

    def add_summary(self, summary: Summary) -> None:
        self._existing(summary.session_id)
        latest = self.latest_summary(summary.session_id)
        if latest is not None and latest.version >= summary.version:
            raise Conflict(
                f"Session {shown(summary.session_id)} has version {latest.version} of its summary already; "
                "look at it before adding another."
            )
        values = {name: getattr(summary, name) for name in _SUMMARY_VALUES}
        self._insert(summaries, {**values, "draft": draft_values(summary.draft)})
        self._db.execute(
            sql.PAY_SUMMARY,
            {**self._parameters, "of_session": summary.session_id, "covers": summary.covers_to_seq},
        )

    def owe_summary(self, session_id: str, to_seq: int | None) -> None:
        self.touch()
        self._db.execute(sql.OWE_SUMMARY, {**self._parameters, "of_session": session_id, "due": to_seq})

    def put_user_context(self, entry: UserContextEntry) -> None:
        held = self.user_context(entry.project_id, [entry.key])
        if entry.version != (held[0].version if held else 0) + 1:
            raise Conflict(
                f"User context {shown(entry.key)} is at version {held[0].version if held else 0}; read it again."
            )
        values = entry_values(entry)
        self._upsert(user_context, values, ("tenant_id", "user_id", "project_key", "key"), values)
        self._insert(user_context_history, values)

    def put_strategy(self, level: Literal["session", "agent"], name: str, strategy: Strategy | None) -> None:
        table = memory_strategies
        self.touch()
        if strategy is None:
            self._db.execute(delete(table).where(self._mine(table), table.c.level == level, table.c.name == name))
            return
        values = {"strategy": asdict(strategy)}
        self._upsert(table, {"level": level, "name": name, **values}, ("tenant_id", "user_id", "level", "name"), values)


_SUMMARY_VALUES = ("session_id", "version", "covers_to_seq", "producer", "note", "created_at")


def _with_digest(message: Message) -> Message:
    return message if message.digest else replace(message, digest=digest_of(message))


def _check_place(session: Session, new: Sequence[Message]) -> None:
    """Errors: Conflict when the messages do not go on where the session ends."""
    for seq, message in enumerate(new, session.last_seq + 1):
        if (message.session_id, message.seq) != (session.session_id, seq):
            raise Conflict(
                f"Message {shown(message.message_id)} should be number {seq} of {shown(session.session_id)}."
            )


def _activity(session: Session, new: Sequence[Message]) -> datetime:
    """When a session was last active: when it was recorded, or, for a conversation that is over, when it happened."""
    latest = max(m.recorded_at if session.archived_at is None else m.occurred_at for m in new)
    return max(session.last_activity_at, latest)
