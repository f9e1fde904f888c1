"""What a model reads of a result: of a search, a topic, a summary, a list of sessions, a change.

Recalled words stand in it as quoted data with their role, speaker and date, never as instructions.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from memory.model import Hit, Message, Session, Summary, UserContextEntry
from memory.text.quoting import framed, hit_quotation, label, quotation, turns_frame
from memory.text.wording import counted, entry_line, hits_line, place_line, session_line, summary_text

if TYPE_CHECKING:
    from memory.context.strategies import ResolvedStrategy
    from memory.people.identities import Identified
    from memory.recall import SearchResult, TopicResult
    from memory.record.recording import Recorded
    from memory.record.sessions import SessionPage

VALUE = 2_000
NOTHING_FOUND = "Nothing was found. Other words, fewer filters or a longer time may find more."
NOTHING_FITS = "What is known does not fit into so few tokens; ask with a larger max_tokens."
NOTHING_KNOWN = "Nothing is known yet."
NO_SESSIONS = "There are no such sessions."


def recorded(done: "Recorded", new: int, note: str | None = None) -> str:
    """What was recorded where, `new` of it for the first time."""
    text = f"Recorded {counted(new, 'message')} in session {label(done.session.session_id)}."
    if done.duplicates:
        text += f" Already recorded, and left as they were: {counted(len(done.duplicates), 'message')}."
    return _noted(text, note)


def found(result: "SearchResult", note: str | None = None) -> str:
    """Hits, best first, those of a session together."""
    if not result.hits:
        return NOTHING_FOUND
    by_session: dict[str, list[Hit]] = {}
    for hit in result.hits:
        by_session.setdefault(hit.message.session_id, []).append(hit)
    parts = []
    for session_id, hits in by_session.items():
        parts.append(hits_line(session_id, hits[0].session_title, [hit.message.seq for hit in hits]))
        parts += [hit_quotation(hit) for hit in hits]
    return _noted(f"{counted(len(result.hits), 'message')} found, best first.\n{framed(parts)}", note)


def topic(result: "TopicResult") -> str:
    """Stretches of conversation, in order."""
    if not result.stretches:
        return "Nothing was found around this topic."
    parts = []
    for s in result.stretches:
        parts.append(place_line(s.session_id, s.session_title, s.from_seq, s.to_seq))
        parts += _quotations(s.messages)
    return f"{counted(len(result.stretches), 'stretch', 'stretches')} of conversation found.\n{framed(parts)}"


def entries(rows: Sequence[UserContextEntry], note: str | None = None) -> str:
    """Entries of the user context, with their versions."""
    return _noted("\n".join(f"- {entry_line(row, VALUE, kept=True)}" for row in rows) or NOTHING_KNOWN, note)


def summary(made: Summary) -> str:
    """One version of a session's summary."""
    which = f"Session {label(made.session_id)}, summary version {made.version}, up to message {made.covers_to_seq}"
    note = f" ({label(made.note, 200)})" if made.note else ""
    return f"{which}{note}:\n{framed([summary_text(made)])}"


def context(instructions: str, messages: Sequence[Message]) -> str:
    """A session context: the instructions, then the session's turns as quotations."""
    return "\n\n".join(part for part in (instructions, turns_frame(messages)) if part)


def strategy(resolved: "ResolvedStrategy", level: str) -> str:
    """The strategy that a level now has."""
    return f"In force for this {level}: {resolved.mode} (decided by: {resolved.decided_by['mode']})."


def archived(one: Session | None, made: Summary | None, messages: Sequence[Message]) -> str:
    """The last archived conversation, with its summary and last turns."""
    if one is None:
        return "No conversation has been archived yet."
    parts = [f"The last archived conversation: {session_line(one)}."]
    parts += [framed([summary_text(made)])] if made else []
    parts += [f"Its last turns:\n{framed(_quotations(messages))}"] if messages else []
    return "\n\n".join(parts)


def sessions(page: "SessionPage") -> str:
    """A page of sessions."""
    lines = [f"- {session_line(s)}" for s in page.sessions] or [NO_SESSIONS]
    return "\n".join([*lines, *([f"More with cursor {page.next_cursor}."] if page.next_cursor else [])])


def session(one: Session, what: str) -> str:
    """One session, and what was done with it."""
    return f"{what}: {session_line(one)}."


def identified(found: "Identified") -> str:
    """Who somebody is, or who they may be."""
    user = found.user
    if user is not None:
        name = f" ({label(user.display_name)})" if user.display_name else ""
        return f"{'A new user' if found.created else 'Known user'}: {label(user.user_id)}{name}."
    lines = [
        f"- {label(c.user_id)}: {label(c.display_name) if c.display_name else 'no name known'}"
        for c in found.candidates
    ]
    return "\n".join(["Several people are known by this; ask which of them it is:", *lines])


def _noted(text: str, note: str | None) -> str:
    return f"{text}\n{note}" if note else text


def _quotations(messages: Sequence[Message]) -> list[str]:
    return [quotation(message) for message in messages]
