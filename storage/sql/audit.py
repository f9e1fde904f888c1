"""Compares what was recorded with what is stored."""

from collections.abc import Iterator

from sqlalchemy import Connection, and_, func, select

from memory.model import Message, Owner, Session, digest_of
from storage.sql.digests import add_digest
from storage.sql.reading import SqlRecords
from storage.sql.rows import SESSION_FIELDS, columns_of, from_document, to_session
from storage.sql.tables import changes, message_revisions, messages, sessions

_PAGE = 500
_SHOWN = 10


def audit_sessions(db: Connection) -> list[str]:
    """One line for each finding about a session that is not whole."""
    columns = [sessions.c.tenant_id, sessions.c.user_id, sessions.c.revision_count, sessions.c.revision_digest]
    query = select(*columns, *columns_of(sessions, SESSION_FIELDS)).order_by(*columns[:2], sessions.c.session_id)
    return [
        f"session {session.session_id} of user {owner.user_id} (tenant {owner.tenant_id}): {finding}"
        for row in db.execute(query).all()
        for owner, session in [(Owner(row.tenant_id, row.user_id), to_session(row[len(columns) :]))]
        for finding in (
            *_message_findings(db, owner, session),
            *_revision_findings(db, owner, session, row.revision_count, row.revision_digest),
        )
    ]


def _message_findings(db: Connection, owner: Owner, session: Session) -> Iterator[str]:
    total, count, last, altered = add_digest("", []), 0, 0, list[int]()
    for message in _stored_messages(db, owner, session):
        count, last = count + 1, message.seq
        total = add_digest(total, [message.digest])
        if message.digest != digest_of(message):
            altered.append(message.seq)
    if count != session.message_count:
        yield f"{session.message_count} messages were recorded, {count} are stored"
    if altered:
        yield f"messages were altered after they were recorded: seq {_listed(altered)}"
    if total != add_digest(session.message_digest, []):
        yield "the stored messages are not the recorded ones"
    erased = _erased_count(db, owner, session.session_id)
    if last > session.last_seq or session.last_seq - count != erased:
        yield f"of the numbers 1 to {session.last_seq} {count} are stored and {erased} were erased"


def _stored_messages(db: Connection, owner: Owner, session: Session) -> Iterator[Message]:
    """By seq, a page at a time: a session may be longer than memory."""
    records, seen = SqlRecords(db, owner), 0
    while page := records.stretch(session.session_id, seen + 1, _PAGE):
        yield from page
        seen = page[-1].seq


def _revision_findings(
    db: Connection, owner: Owner, session: Session, recorded: int, recorded_digest: str
) -> Iterator[str]:
    """About the partial messages that were replaced, which are kept too."""
    query = (
        select(messages.c.seq, message_revisions.c.document)
        .join(messages, and_(*(messages.c[name] == message_revisions.c[name] for name in _OWN_MESSAGE)))
        .where(messages.c.tenant_id == owner.tenant_id, messages.c.user_id == owner.user_id)
        .where(messages.c.session_id == session.session_id)
    )
    total, count, altered = add_digest("", []), 0, list[int]()
    for seq, document in db.execute(query):
        old = from_document(document)
        count, total = count + 1, add_digest(total, [old.digest])
        if old.digest != digest_of(old):
            altered.append(seq)
    if count != recorded:
        yield f"{recorded} revisions of messages were recorded, {count} are stored"
    if altered:
        yield f"revisions were altered after they were recorded: seq {_listed(altered)}"
    if total != add_digest(recorded_digest, []):
        yield "the stored revisions are not the recorded ones"


_OWN_MESSAGE = ("tenant_id", "user_id", "message_id")


def _erased_count(db: Connection, owner: Owner, session_id: str) -> int:
    query = select(func.count()).where(
        changes.c.tenant_id == owner.tenant_id,
        changes.c.user_id == owner.user_id,
        changes.c.session_id == session_id,
        changes.c.kind == "message_erased",
    )
    return int(db.execute(query).scalar_one())


def _listed(seqs: list[int]) -> str:
    return ", ".join(map(str, seqs[:_SHOWN])) + (" and more" if len(seqs) > _SHOWN else "")
