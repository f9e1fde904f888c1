"""Everything that is remembered of one owner, as a stream for the formats to write."""

from collections.abc import Iterator

from memory.model import Message, Owner, Session, SessionFilter, Summary, UserContextEntry
from memory.ports import Records, RecordStore

_PAGE = 500
Portion = Session | Message | Summary | UserContextEntry


def portions(store: RecordStore, owner: Owner) -> Iterator[Portion]:
    """The oldest session first, each followed by its messages in order and its summaries; then the user context.

    All from one snapshot, a page in memory at a time.
    """
    with store.read(owner) as records:
        sessions = sorted(_all_sessions(records), key=lambda session: (session.started_at, session.session_id))
        for session in sessions:
            yield session
            yield from transcript(records, session)
            yield from records.summaries(session.session_id)
        for project_id in (None, *records.projects()):
            for entry in records.user_context(project_id):
                if not entry.deleted:
                    yield entry


def _all_sessions(records: Records) -> Iterator[Session]:
    before = None
    while page := records.sessions(SessionFilter(), _PAGE, before):
        yield from page
        before = (page[-1].last_activity_at, page[-1].session_id)


def transcript(records: Records, session: Session) -> Iterator[Message]:
    for first in range(1, session.last_seq + 1, _PAGE):
        yield from records.transcript(session.session_id, first, first + _PAGE - 1)
