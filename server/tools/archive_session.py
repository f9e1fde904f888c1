"""The tool that closes a session."""

from datetime import datetime

from memory.model import Session
from memory.record.sessions import archive
from server.calling import Call
from server.protocol import addresses
from server.tools import parameters as p
from server.tools.toolbox import writes
from server.wire import answers
from server.wire.answers import Answer
from server.wire.schemas import SessionAnswer


@writes("Archive a session", idempotent=True)
def archive_session(call: Call, session_id: p.Session = None) -> Answer[SessionAnswer]:
    """Close a conversation ("new chat"). It stays searchable; the next message without a `session_id` opens a
    new one."""
    began = call.memory.clock()
    session = archive(call.memory.store, call.owner, session_id, call.memory.clock)
    note_archiving(call, session, began)
    return answers.session(session, "Archived")


def note_archiving(call: Call, session: Session, began: datetime) -> None:
    """Has told what this call changed, and the summary brought up to date, where the session ended after `began`."""
    if session.archived_at is not None and session.archived_at >= began:
        call.changed += addresses.after_archiving(session)
        call.memory.triggers.archived(call.owner, session.session_id)
