"""How user context, summaries and sessions are put into words for a model: short, on one line each, neutralised."""

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from memory.model import Commitment, Fact, Message, Session, Summary, UserContextEntry
from memory.text.plain import beginning, folded, minute
from memory.text.quoting import label, neutral, quoted, value_text

_BULLET = re.compile(r"^- (?:\[\d+\] )?")
WHOLE = 10_000
_ORDER = {"state": 0, "preference": 1, "fact": 2}


def day(moment: datetime) -> str:
    """A date as people write it, for example 7 May 2025."""
    moment = moment.astimezone(UTC)
    return f"{moment.day} {moment:%B} {moment.year}"


def flat(text: str, limit: int) -> str:
    """Text from outside on one line, cut at a word before `limit` characters."""
    line = " ".join(neutral(beginning(text, limit)).split())
    if len(line) <= limit:
        return line
    cut = line.rfind(" ", limit // 2, limit - 1)
    return line[: cut if cut > 0 else limit - 1].rstrip(" ,;:-") + "…"


def counted(number: int, one: str, many: str | None = None) -> str:
    """'1 message', '2 messages'."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def entry_line(entry: UserContextEntry, limit: int = 400, *, kept: bool = False) -> str:
    """`key: value`, with what one should know before relying on it; `kept` says how it is kept as well."""
    value = "removed" if entry.deleted else value_text(entry.value, limit)
    notes = []
    if entry.source == "inferred":
        sure = f", confidence {entry.confidence:.2f}" if entry.confidence is not None else ""
        notes.append(f"inferred{sure}, not confirmed")
    if entry.expires_at is not None:
        notes.append(f"until {day(entry.expires_at)}")
    if kept:
        notes.append(f"{entry.category}, version {entry.version}")
    note = f" ({'; '.join(notes)})" if notes else ""
    return f"{label(entry.key, 128)}: {value}{note}"


def by_need(entries: Iterable[UserContextEntry]) -> list[UserContextEntry]:
    """What is needed first: current state, preferences, facts; the newest of each kind first, ties by key."""
    return sorted(entries, key=lambda e: (_ORDER[e.category], -e.updated_at.timestamp(), e.key))


def commitment_line(commitment: Commitment, limit: int = 160) -> str:
    """`Who: what, by when`, as it was said; the what cut at `limit` characters."""
    name = label(commitment.who) if commitment.who else ""
    who = f"{name[:1].upper()}{name[1:]}: " if name else ""
    what = flat(commitment.what, limit)
    when = label(commitment.by_when) if commitment.by_when else ""
    return f"{who}{what}" + (f", {when}" if when and when.lower() not in what.lower() else "")


def summary_lists(summary: Summary, *, whole: bool = False) -> list[str]:
    """The lists of a summary, a heading before each, the newest entries first. Unless `whole`, long entries are cut,
    and there are not too many of a kind, and none that the text says already."""
    said = "" if whole else folded(summary.draft.text)
    draft = summary.draft
    found: list[str] = []
    for heading, most, items in (
        ("Commitments:", 6, [(commitment_line(c, WHOLE if whole else 160), c.what) for c in draft.commitments]),
        ("Open questions:", 4, _texts(draft.open_questions, whole)),
        ("Decisions:", 6, _texts(draft.decisions, whole)),
        ("Facts:", 8, _texts(draft.facts, whole)),
    ):
        new = [f"- {line}" for line, words in reversed(items) if whole or not _says(said, words)]
        found += [heading, *(new if whole else new[:most])] if new else []
    return found


def summary_text(summary: Summary) -> str:
    """All of a summary as quoted data: its words, then its lists."""
    return quoted("\n".join([summary.draft.text, *summary_lists(summary, whole=True)]))


def gist(summary: Summary, limit: int) -> str:
    """What a summary says first, on one line; headings and bullets dropped."""
    lines = [_BULLET.sub("", line) for line in summary.draft.text.splitlines() if line.strip()]
    if len(lines) > 1 and lines[0].endswith(":"):
        lines = lines[1:]
    return flat(" ".join(lines), limit)


def title(text: str | None) -> str:
    """A session's title in quotation marks, or ''."""
    return f" “{label(text)}”" if text else ""


def session_line(session: Session) -> str:
    """A session in one line: id, title, and what one chooses it by."""
    facts = [f"last active {minute(session.last_activity_at)} UTC", counted(session.message_count, "message")]
    facts += [f"project {label(session.project_id)}"] if session.project_id else []
    facts += [session.channel] if session.channel else []
    facts += ["archived"] if session.archived_at else []
    return f"{label(session.session_id)}{title(session.title)}: {', '.join(facts)}"


def place_line(session_id: str, session_title: str | None, first: int, last: int) -> str:
    """Where the quotations that follow stand."""
    span = f"no. {first}" if first == last else f"no. {first} to {last}"
    return f"Session {label(session_id)}{title(session_title)}, {span}:"


def hits_line(session_id: str, session_title: str | None, seqs: Sequence[int]) -> str:
    """Where the messages found that follow stand, in their order."""
    return f"Session {label(session_id)}{title(session_title)}, no. {', '.join(map(str, seqs))}:"


def result_left_out(message: Message) -> str:
    """What stands in place of a tool's result."""
    tool = label(message.tool_name) if message.tool_name else "a tool"
    size = counted(len(message.content), "character")
    return f"[The result of {tool} ({size}) is left out here; message {label(message.message_id, 80)} has it.]"


def _texts(facts: Sequence[Fact], whole: bool) -> list[tuple[str, str]]:
    return [(flat(fact.text, WHOLE if whole else 240), fact.text) for fact in facts]


def _says(said: str, words: str) -> bool:
    """Whether the text holds these words, with or without the speaker's name before them."""
    words = folded(words)
    return words in said or words.partition(": ")[2] in said if ": " in words else words in said
