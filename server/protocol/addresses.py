"""The addresses of the resources, made and taken apart in one place."""

from urllib.parse import quote

from memory.model import Session

SESSIONS = "memory://sessions"
SESSION = "memory://sessions/{session_id}"
MESSAGES = SESSION + "/messages"
MESSAGES_FROM = MESSAGES + "{?from,to,offset}"
SUMMARY = SESSION + "/summary"
CONTEXT = SESSION + "/context"
LATEST_ARCHIVED = "memory://archive/latest"
USER_CONTEXT = "memory://user/context"
PREAMBLE = "memory://user/preamble"
PROFILE = "memory://user/profile"
ANY_CONTEXT = "memory://sessions/*/context"


def of_session(template: str, session_id: str) -> str:
    """One session's address."""
    return template.replace("{session_id}", quote(session_id, safe=""))


def messages_from(session_id: str, seq: int, to_seq: int | None, offset: int) -> str:
    """The address of a session's messages from one on, to another, and within the first from a character on."""
    given = {"from": seq, "to": to_seq, "offset": offset or None}
    query = "&".join(f"{name}={value}" for name, value in given.items() if value is not None)
    return f"{of_session(MESSAGES, session_id)}?{query}"


def after_upsert(project_id: str | None) -> tuple[str, ...]:
    """What shows other content once the user context of this scope has changed."""
    return (ANY_CONTEXT,) if project_id else (USER_CONTEXT, PREAMBLE, PROFILE, ANY_CONTEXT)


def after_recording(session: Session) -> tuple[str, ...]:
    """What shows other content once messages were added to this session."""
    own = tuple(of_session(address, session.session_id) for address in (SESSION, MESSAGES, CONTEXT))
    return (SESSIONS, PREAMBLE, PROFILE, *own, *((LATEST_ARCHIVED,) if session.archived_at else ()))


def after_summary(session: Session) -> tuple[str, ...]:
    """What shows other content once this session has a new summary."""
    own = tuple(of_session(address, session.session_id) for address in (SUMMARY, CONTEXT))
    return (PREAMBLE, PROFILE, *own, *((LATEST_ARCHIVED,) if session.archived_at else ()))


def after_session_change(session_id: str) -> tuple[str, ...]:
    """What shows other content once this session was started or renamed."""
    return (SESSIONS, of_session(SESSION, session_id))


def after_archiving(session: Session) -> tuple[str, ...]:
    """What shows other content once this session is archived; its summary is brought up to date then."""
    return (*after_session_change(session.session_id), *after_summary(session))
