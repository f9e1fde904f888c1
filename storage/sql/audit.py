"""Compares what was recorded with what is stored."""

from collections.abc import Iterator

from sqlalchemy import Connection, func, select

from memory.model import Owner, Session, digest_of
from storage.sql.digests import add_digest
from storage.sql.reading import SqlRecords
from storage.sql.rows import SESSION_FIELDS, columns_of, to_session
from storage.sql.tables import changes, sessions


def audit_sessions(db: Connection) -> list[str]:
    """One line for each session that is not whole."""
    query = select(sessions.c.tenant_id, sessions.c.user_id, *columns_of(sessions, SESSION_FIELDS))
    rows = db.execute(query.order_by(sessions.c.tenant_id, sessions.c.user_id, sessions.c.session_id)).all()
    return [
        f"session {session.session_id} of user {owner.user_id} (tenant {owner.tenant_id}): {finding}"
        for owner, session in ((Owner(row.tenant_id, row.user_id), to_session(row[2:])) for row in rows)
        for finding in findings(db, owner, session)
    ]


def findings(db: Connection, owner: Owner, session: Session) -> Iterator[str]:
    stored = SqlRecords(db, owner).transcript(session.session_id)
    if len(stored) != session.message_count:
        yield f"{session.message_count} messages recorded, {len(stored)} stored"
    altered = [m.seq for m in stored if m.digest != digest_of(m)]
    if altered:
        yield f"messages altered since they were recorded: seq {', '.join(map(str, altered[:10]))}"
    if not altered and add_digest("", [m.digest for m in stored]) != (session.message_digest or add_digest("", [])):
        yield "the stored messages are not the recorded ones"
    missing = session.last_seq - len(stored)
    if missing != erased_count(db, owner, session.session_id):
        yield f"{missing} numbers of 1..{session.last_seq} are not stored, though not as many were erased"


def erased_count(db: Connection, owner: Owner, session_id: str) -> int:
    query = select(func.count()).where(
        changes.c.tenant_id == owner.tenant_id,
        changes.c.user_id == owner.user_id,
        changes.c.session_id == session_id,
        changes.c.kind == "message_erased",
    )
    return int(db.execute(query).scalar_one())
