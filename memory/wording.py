"""How user context, summaries and sessions are put into words for a model: short, on one line each, neutralised."""

import re
from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime

from memory.model import Commitment, Fact, Session, Summary, UserContextEntry
from memory.plain import folded
from memory.quoting import label, neutral, value_text

_BULLET = re.compile(r"^- (?:\[\d+\] )?")
_ORDER = {"state": 0, "preference": 1, "fact": 2}


def day(moment: datetime) -> str:
    """A date as people write it, for example 7 May 2025."""
    moment = moment.astimezone(UTC)
    return f"{moment.day} {moment:%B} {moment.year}"


def flat(text: str, limit: int) -> str:
    """Text from outside on one line, cut at a word before `limit` characters."""
    line = " ".join(neutral(text).split())
    if len(line) <= limit:
        return line
    cut = line.rfind(" ", limit // 2, limit - 1)
    return line[: cut if cut > 0 else limit - 1].rstrip(" ,;:-") + "…"


def entry_line(entry: UserContextEntry, limit: int = 400) -> str:
    """`key: value`, with what one should know before relying on it."""
    notes = []
    if entry.source == "inferred":
        sure = f", confidence {entry.confidence:.2f}" if entry.confidence is not None else ""
        notes.append(f"inferred{sure}, not confirmed")
    if entry.expires_at is not None:
        notes.append(f"until {day(entry.expires_at)}")
    note = f" ({'; '.join(notes)})" if notes else ""
    return f"{label(entry.key, 128)}: {value_text(entry.value, limit)}{note}"


def by_need(entries: Iterable[UserContextEntry]) -> list[UserContextEntry]:
    """What is needed first: current state, preferences, facts; the newest of each kind first, ties by key."""
    return sorted(entries, key=lambda e: (_ORDER[e.category], -e.updated_at.timestamp(), e.key))


def commitment_line(commitment: Commitment) -> str:
    """`Who: what, by when`, as it was said."""
    name = label(commitment.who) if commitment.who else ""
    who = f"{name[:1].upper()}{name[1:]}: " if name else ""
    what = flat(commitment.what, 160)
    when = label(commitment.by_when) if commitment.by_when else ""
    return f"{who}{what}" + (f", {when}" if when and when.lower() not in what.lower() else "")


def summary_lists(summary: Summary, shown: Collection[str] = ()) -> list[str]:
    """The lists of a summary, a heading before each, the newest entries first and not too many of a kind, without what
    its text or the messages `shown` (ids) say."""
    said = folded(summary.draft.text)
    draft = summary.draft
    found: list[str] = []
    for heading, most, items in (
        ("Commitments:", 6, [(commitment_line(c), c.what, c.message_id) for c in draft.commitments]),
        ("Open questions:", 4, _texts(draft.open_questions)),
        ("Decisions:", 6, _texts(draft.decisions)),
        ("Facts:", 8, _texts(draft.facts)),
    ):
        new = [f"- {line}" for line, words, id_ in reversed(items) if id_ not in shown and not _says(said, words)]
        found += [heading, *new[:most]] if new else []
    return found


def gist(summary: Summary, limit: int) -> str:
    """What a summary says first, on one line; headings and bullets dropped."""
    lines = [_BULLET.sub("", line) for line in summary.draft.text.splitlines() if line.strip()]
    if len(lines) > 1 and lines[0].endswith(":"):
        lines = lines[1:]
    return flat(" ".join(lines), limit)


def title(session: Session) -> str:
    """The session's title in quotation marks, or ''."""
    return f" “{label(session.title)}”" if session.title else ""


def _texts(facts: Sequence[Fact]) -> list[tuple[str, str, str | None]]:
    return [(flat(fact.text, 240), fact.text, fact.message_id) for fact in facts]


def _says(said: str, words: str) -> bool:
    """Whether the text holds these words, with or without the speaker's name before them."""
    words = folded(words)
    return words in said or words.partition(": ")[2] in said if ": " in words else words in said
