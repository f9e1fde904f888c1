"""Giving one user's record to another, when both turn out to be the same person."""

import uuid
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Table, delete, select

from memory.model import Message, Owner, Session, SummaryDraft, UserContextEntry, digest_of
from storage.sql.digests import add_digest
from storage.sql.feed import is_postgresql
from storage.sql.reading import SqlRecords
from storage.sql.rows import (
    SESSION_FIELDS,
    columns_of,
    draft_values,
    entry_values,
    message_values,
    owner_values,
    session_values,
    to_draft,
    to_session,
)
from storage.sql.statements import INSERT_CHANGE
from storage.sql.store import lock_owner
from storage.sql.tables import (
    memory_strategies,
    message_revisions,
    messages,
    sessions,
    summaries,
    user_context,
    user_context_history,
)
from storage.sql.writing import SqlWritableRecords

_PAGE = 500


def move_record(db: Connection, source: Owner, target: Owner, at: datetime) -> None:
    """Moves all that `source` owns; ids that `target` uses already are renamed, and nothing is lost."""
    if is_postgresql(db):
        for owner in sorted((source, target), key=lambda o: o.user_id):
            lock_owner(db, owner)
    move = _Move(db, source, target, at)
    move.touch()
    for session in move.sessions():
        move.session(session)
    move.user_context()
    move.agent_strategies()
    move.clear()


class _Move:
    def __init__(self, db: Connection, source: Owner, target: Owner, at: datetime) -> None:
        self._db = db
        self._source, self._target = source, target
        self._from, self._to = SqlWritableRecords(db, source), SqlWritableRecords(db, target)
        self._at = at
        self._renamed: dict[str, str] = {}

    def touch(self) -> None:
        self._from.touch()
        self._to.touch()

    def _rows(self, table: Table, *where: Any) -> list[dict[str, Any]]:
        owned = table.c.tenant_id == self._source.tenant_id, table.c.user_id == self._source.user_id
        return [dict(row._mapping) for row in self._db.execute(select(table).where(*owned, *where))]

    def _insert(self, table: Table, rows: Sequence[dict[str, Any]]) -> None:
        if rows:
            self._db.execute(table.insert(), [{**row, **owner_values(self._target)} for row in rows])

    def sessions(self) -> list[Session]:
        query = select(*columns_of(sessions, SESSION_FIELDS)).where(
            sessions.c.tenant_id == self._source.tenant_id, sessions.c.user_id == self._source.user_id
        )
        return [to_session(row) for row in self._db.execute(query.order_by(sessions.c.session_id))]

    def session(self, session: Session) -> None:
        """One session with its messages, revisions, summaries and strategy."""
        old_id = session.session_id
        taken = self._to.session(old_id) is not None
        outside_taken = session.external_id is not None and self._to.session_by_external_id(session.external_id)
        moved = replace(
            session,
            session_id=uuid.uuid4().hex if taken else old_id,
            external_id=None if outside_taken else session.external_id,
        )
        owed = {"summary_due": self._from.summary_due(old_id)}
        self._insert(sessions, [{**session_values(moved), **self._from.revisions(old_id), **owed}])
        digest = add_digest("", [])
        for page in self._pages(old_id, session.last_seq):
            renamed = [self._renumbered(message, moved.session_id) for message in page]
            self._insert(messages, [message_values(message) for message in renamed])
            self._tell("message_erased", self._source, page)
            self._tell("message_added", self._target, renamed)
            digest = add_digest(digest, [message.digest for message in renamed])
        self._db.execute(
            sessions.update()
            .where(self._to._mine(sessions), sessions.c.session_id == moved.session_id)
            .values(message_digest=digest if session.message_digest else "")
        )
        self._keep_gaps(session, moved.session_id)
        self._summaries(old_id, moved.session_id)
        strategies = self._rows(
            memory_strategies, memory_strategies.c.level == "session", memory_strategies.c.name == old_id
        )
        self._insert(memory_strategies, [{**row, "name": moved.session_id} for row in strategies])

    def _pages(self, session_id: str, last_seq: int) -> Iterator[list[Message]]:
        for first in range(1, last_seq + 1, _PAGE):
            yield SqlRecords(self._db, self._source).transcript(session_id, first, first + _PAGE - 1)

    def _renumbered(self, message: Message, session_id: str) -> Message:
        """The message under an id that is free at the target; its revisions follow."""
        new_id = message.message_id
        while self._to.message(new_id) is not None:
            new_id = f"{session_id}/{new_id}"
        moved = replace(message, message_id=new_id, session_id=session_id)
        if moved != message:
            moved = replace(moved, digest=digest_of(moved))
        if new_id != message.message_id:
            self._renamed[message.message_id] = new_id
        revisions = self._rows(message_revisions, message_revisions.c.message_id == message.message_id)
        self._insert(message_revisions, [{**row, "message_id": new_id} for row in revisions])
        return moved

    def _tell(self, kind: str, owner: Owner, subjects: Sequence[Message]) -> None:
        self._note(owner, kind, [(m.session_id, m.message_id) for m in subjects])

    def _note(self, owner: Owner, kind: str, ids: Sequence[tuple[str, str]]) -> None:
        for session_id, message_id in ids:
            values = {"kind": kind, "session_id": session_id, "message_id": message_id, "changed_at": self._at}
            self._db.execute(INSERT_CHANGE[self._db.dialect.name], {**owner_values(owner), **values})

    def _keep_gaps(self, session: Session, session_id: str) -> None:
        """Numbers that were erased before stay accounted for, under ids that no message has."""
        gone = session.last_seq - session.message_count
        self._note(self._target, "message_erased", [(session_id, f"{session_id}/erased/{n}") for n in range(gone)])

    def _summaries(self, old_id: str, new_id: str) -> None:
        rows = self._rows(summaries, summaries.c.session_id == old_id)
        drafts = [draft_values(self._repointed(to_draft(row["draft"]))) for row in rows]
        self._insert(
            summaries, [{**row, "session_id": new_id, "draft": draft} for row, draft in zip(rows, drafts, strict=True)]
        )

    def _repointed(self, draft: SummaryDraft) -> SummaryDraft:
        def at_new(item: Any) -> Any:
            return replace(item, message_id=self._renamed.get(item.message_id or "", item.message_id))

        return replace(
            draft,
            decisions=tuple(map(at_new, draft.decisions)),
            commitments=tuple(map(at_new, draft.commitments)),
            open_questions=tuple(map(at_new, draft.open_questions)),
            facts=tuple(map(at_new, draft.facts)),
        )

    def user_context(self) -> None:
        """Histories are put together in the order of time; what holds is what was stated last."""
        scopes = {row["project_key"] for row in self._rows(user_context)}
        for scope in scopes:
            project_id = scope or None
            theirs: dict[str, list[UserContextEntry]] = {}
            for entry in self._from.user_context_history(project_id):
                theirs.setdefault(entry.key, []).append(entry)
            for key, entries in theirs.items():
                self._entries(project_id, key, entries)

    def _entries(self, project_id: str | None, key: str, theirs: list[UserContextEntry]) -> None:
        ours = self._to.user_context_history(project_id, [key])
        last = [history[-1] for history in (ours, theirs) if history]
        holding = max(last, key=lambda e: (e.source == "stated", e.updated_at))
        rest = sorted((e for e in [*ours, *theirs] if e is not holding), key=lambda e: e.updated_at)
        whole = [
            replace(
                entry,
                version=version,
                source_message_id=self._renamed.get(entry.source_message_id or "", entry.source_message_id)
                if any(entry is e for e in theirs)
                else entry.source_message_id,
            )
            for version, entry in enumerate([*rest, holding], 1)
        ]
        for table in (user_context, user_context_history):
            same = table.c.project_key == (project_id or ""), table.c.key == key
            self._db.execute(delete(table).where(self._to._mine(table), *same))
        self._insert(user_context_history, [entry_values(entry) for entry in whole])
        self._insert(user_context, [entry_values(whole[-1])])

    def agent_strategies(self) -> None:
        """The target's own stand."""
        for row in self._rows(memory_strategies, memory_strategies.c.level == "agent"):
            if self._to.strategy("agent", row["name"]) is None:
                self._insert(memory_strategies, [row])

    def clear(self) -> None:
        """What has been moved leaves its old place."""
        for table in (
            *(message_revisions, messages, summaries, memory_strategies, user_context, user_context_history, sessions),
        ):
            self._db.execute(delete(table).where(self._from._mine(table)))
