"""Sessions: which one a message goes to, starting, changing, archiving, listing."""

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from memory.errors import Conflict, Invalid, NoSessionOpen, NotFound, shown
from memory.ids import new_id
from memory.model import SESSIONS_ON_A_PAGE, Channel, Owner, Session, SessionFilter
from memory.names import keep_names, named
from memory.ports import Clock, Records, RecordStore, WritableRecords
from memory.record.cursors import foreign_cursor, read_cursor, write_cursor
from memory.record.validation import check_choice, check_name

_NAMED_OPEN = 3
"""Of the sessions that are open in other scopes, as many as a sentence takes."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where messages go: the session given, else the outside's name for one, else the scope's open session.

    `historical` is for conversations that are over (imports): their session is archived from the start, so that it
    never takes in new turns, and its times are those of its messages.
    """

    session_id: str | None = None
    external_id: str | None = None
    project_id: str | None = None
    channel: Channel | None = None
    agent: str | None = None
    title: str | None = None
    historical: bool = False

    def __post_init__(self) -> None:
        keep_names(self, "session_id", "external_id", "project_id", "agent", "title")


@dataclass(frozen=True, slots=True)
class SessionPage:
    """Sessions, newest activity first; `next_cursor` is None on the last page."""

    sessions: tuple[Session, ...]
    next_cursor: str | None


def check_target(target: Target) -> None:
    for name in ("session_id", "external_id", "project_id", "agent", "title"):
        check_name(name, getattr(target, name))
    if target.channel is not None:
        check_choice("channel", target.channel, Channel)


def existing(records: Records, session_id: str) -> Session:
    """The owner's session of this id. Errors: NotFound, for another's as for one that nobody has."""
    session = records.session(session_id) or records.session(named(session_id))
    if session is None:
        raise NotFound("session", session_id)
    return session


def find_session(db: Records, target: Target) -> Session | None:
    """The session that `target` names, or the open one of its scope; None when one has to be started.

    Errors: NotFound for an unknown session_id, Conflict when the session is another project's.
    """
    session: Session | None
    if target.session_id is not None:
        session = existing(db, target.session_id)
    elif target.external_id is not None:
        session = db.session_by_external_id(target.external_id)
    else:
        return db.open_session(target.project_id)
    if session is None:
        return None
    if target.external_id is not None and session.external_id != target.external_id:
        raise Conflict(
            f"Session {shown(session.session_id)} is not the one that is called {shown(target.external_id)} outside; "
            "give one of the two."
        )
    if target.project_id is not None and session.project_id != target.project_id:
        belongs = f"project {shown(session.project_id)}" if session.project_id else "no project"
        raise Conflict(
            f"Session {shown(session.session_id)} belongs to {belongs}, not to {shown(target.project_id)}; "
            "leave project_id out, or start a session there."
        )
    return session


def new_session(target: Target, now: datetime, started_at: datetime | None = None) -> Session:
    """A session as `target` describes it, not stored yet."""
    return Session(
        session_id=new_id("ses"),
        started_at=started_at or now,
        last_activity_at=started_at or now,
        project_id=target.project_id,
        title=target.title,
        channel=target.channel,
        agent=target.agent,
        external_id=target.external_id,
        archived_at=now if target.historical else None,
    )


def start(store: RecordStore, owner: Owner, target: Target, clock: Clock) -> Session:
    """A new open session; an external_id that has a session already gives that one again.

    Errors: Invalid, Conflict when that one is another project's, StorageFailed.
    """
    check_target(target)
    with store.write(owner) as db:
        if target.session_id is not None or target.external_id is not None:
            found = find_session(db, target)
            if found is not None:
                return found
        session = new_session(target, clock())
        db.add_session(session)
        return session


def archive(store: RecordStore, owner: Owner, session_id: str | None, clock: Clock) -> Session:
    """Ends a session (None: the open global one): new turns go elsewhere, nothing is removed; repeatable."""
    with store.write(owner) as db:
        session = session_to_archive(db, session_id)
        if session.archived_at is not None:
            return session
        return db.update_session(session.session_id, archived_at=clock())


def session_to_archive(db: WritableRecords, session_id: str | None) -> Session:
    return open_now(db) if session_id is None else existing(db, session_id)


def open_now(records: Records, project_id: str | None = None) -> Session:
    """The project's open session (None: the open global one). Errors: NoSessionOpen, which names those that are open
    elsewhere."""
    if (session := records.open_session(project_id)) is not None:
        return session
    elsewhere = records.sessions(SessionFilter(archived=False), _NAMED_OPEN)
    raise NoSessionOpen(
        "outside of projects" if project_id is None else f"in project {shown(project_id)}",
        [_told(session) for session in elsewhere],
    )


def _told(session: Session) -> str:
    title = f" {shown(session.title, 60)}" if session.title else ""
    where = "outside of projects" if session.project_id is None else f"in project {shown(session.project_id, 60)}"
    return f"{session.session_id}{title} {where}"


def change(
    store: RecordStore,
    owner: Owner,
    session_id: str,
    *,
    title: str | None = None,
    archived: bool | None = None,
    clock: Clock,
) -> Session:
    """Names a session anew, ends it or takes it up again, all in one step; what is None stays.

    Errors: NotFound, Invalid.
    """
    title = check_name("title", title if title is None else named(title))
    with store.write(owner) as db:
        session = existing(db, session_id)
        ends = archived is True and session.archived_at is None
        return db.update_session(
            session.session_id, title=title, archived_at=clock() if ends else None, reopened=archived is False
        )


def list_page(
    store: RecordStore, owner: Owner, where: SessionFilter, limit: int, cursor: str | None = None
) -> SessionPage:
    """A page of at most `limit` (1 to 200) sessions. Errors: Invalid for a cursor that is none of ours."""
    if not 1 <= limit <= SESSIONS_ON_A_PAGE:
        raise Invalid("limit", f"is {limit}", f"use 1 to {SESSIONS_ON_A_PAGE}")
    before = None if cursor is None else _last_session(cursor)
    with store.read(owner) as db:
        found = db.sessions(where, limit + 1, before)
    page = tuple(found[:limit])
    return page_to(page) if len(found) > limit else SessionPage(page, None)


def page_to(sessions: tuple[Session, ...]) -> SessionPage:
    """A page of these, after which there are more."""
    return SessionPage(sessions, _after_session(sessions[-1]))


def _after_session(session: Session) -> str:
    return write_cursor(session.last_activity_at.isoformat(), session.session_id)


def _last_session(cursor: str) -> tuple[datetime, str]:
    match read_cursor(cursor):
        case [str(moment), str(session_id)]:
            with suppress(ValueError):
                if (place := datetime.fromisoformat(moment)).tzinfo is not None:
                    return place, session_id
    raise foreign_cursor()
