"""Data sets of conversations with questions whose evidence is known.

Two formats are read. LoCoMo's JSON (Maharana et al. 2024), recorded as `backstory import` records it. And JSON lines,
one conversation a line, which other data sets convert into:

    {"conversation_id": "c1",
     "sessions": [{"session_id": "c1-1", "title": "A trip", "channel": "chat", "started_at": "2025-03-01T09:00:00Z",
                   "messages": [{"id": "c1-1-1", "role": "user", "content": "…", "speaker": "Ada",
                                 "occurred_at": "2025-03-01T09:00:00Z"}]}],
     "questions": [{"question_id": "q1", "question": "…", "category": "fact", "evidence": ["c1-1-1"],
                    "asked_at": "2025-06-01T12:00:00Z", "queries": ["…"], "answer": "…"}]}

Of a session only `messages` is needed, of a message `role` and `content` (and an `id` where it is evidence), of a
question `question` and `evidence`. Times are ISO 8601; a message without one follows the one before by a second, and a
question without `asked_at` is asked a day after the conversation's last message. A question whose evidence is empty or
unknown is left out, and counted. Each conversation is recorded as the project named by its id.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, get_args

from memory.errors import Invalid
from memory.model import Channel, NewMessage, Role
from server.formats import locomo
from server.formats.items import BadFile, Skipped

_CATEGORIES = {1: "multi-hop", 2: "temporal", 3: "open-domain", 4: "single-hop", 5: "adversarial"}
APART = frozenset({"adversarial"})
"""Categories that are not part of the total: their questions have no answer in the conversation."""

_TURN = re.compile(r"D:?(\d+):0*(\d+)")


@dataclass(frozen=True, slots=True)
class BenchSession:
    """One session as it is recorded; `name` is its external id."""

    name: str
    messages: tuple[NewMessage, ...]
    title: str | None = None
    channel: Channel | None = None


@dataclass(frozen=True, slots=True)
class BenchQuestion:
    """A question, asked at `asked_at`, whose evidence are message ids of its conversation."""

    question_id: str
    text: str
    category: str
    evidence: tuple[str, ...]
    asked_at: datetime
    queries: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Conversation:
    """Sessions in order, and what is asked about them."""

    name: str
    sessions: tuple[BenchSession, ...]
    questions: tuple[BenchQuestion, ...]
    left_out: int = 0


def load(path: Path) -> list[Conversation]:
    """The conversations of a LoCoMo file or of JSON lines. Errors: Invalid, with the line, when it is neither."""
    with path.open("rb") as file:
        head = file.read(4096)
    found = list(_locomo(path) if locomo.detects(head) and b'"conversation_id"' not in head else _lines(path))
    if not found:
        raise Invalid("The data file", "has no conversation in it", "give a LoCoMo file or JSON lines of conversations")
    return found


def _locomo(path: Path) -> Iterator[Conversation]:
    for number, sample in enumerate(locomo.loaded(path), 1):
        sessions: dict[str, list[NewMessage]] = {}
        titles: dict[str, str | None] = {}
        for item in locomo.sample_turns(path, sample, number, None):
            if isinstance(item, Skipped):
                raise BadFile(path, item.where, item.why)
            sessions.setdefault(str(item.thread.external_id), []).append(item.message)
            titles[str(item.thread.external_id)] = item.thread.title
        name = str(sample["sample_id"])
        kept = tuple(BenchSession(key, tuple(messages), titles[key], "chat") for key, messages in sessions.items())
        asked_at = _day_after(kept)
        known = {str(m.client_id) for session in kept for m in session.messages}
        rows = sample.get("qa") or []
        questions = [_locomo_question(name, n, row, known, asked_at) for n, row in enumerate(rows, 1)]
        asked = tuple(q for q in questions if q.evidence)
        yield Conversation(name, kept, asked, len(questions) - len(asked))


def _locomo_question(
    name: str, number: int, row: Mapping[str, Any], known: set[str], asked_at: datetime
) -> BenchQuestion:
    """Gold such as 'D8:6; D9:17', 'D:11:26' or 'D30:05' is read as it was meant."""
    turns = [
        f"{name}:D{int(m[1])}:{int(m[2])}" for text in row.get("evidence") or [] for m in _TURN.finditer(str(text))
    ]
    category = _CATEGORIES.get(row.get("category", 0), str(row.get("category")))
    evidence = tuple(dict.fromkeys(turn for turn in turns if turn in known))
    return BenchQuestion(f"{name}/{number}", str(row["question"]), category, evidence, asked_at)


def _lines(path: Path) -> Iterator[Conversation]:
    with path.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                yield _conversation(json.loads(line))
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                what = f"line {number} is not a conversation ({type(error).__name__}: {error})"
                raise Invalid("The data file", what, "see the format in server/bench/datasets.py") from error


def _conversation(row: Mapping[str, Any]) -> Conversation:
    name = str(row["conversation_id"])
    clock = datetime(2025, 1, 1, tzinfo=UTC)
    sessions = []
    for number, raw in enumerate(row["sessions"], 1):
        clock = _moment(raw.get("started_at")) or clock + timedelta(days=1)
        messages = []
        for message in raw["messages"]:
            clock = _moment(message.get("occurred_at")) or clock + timedelta(seconds=1)
            messages.append(_message(message, clock))
        channel = raw.get("channel")
        kept = channel if channel in get_args(Channel) else None
        session_id = str(raw.get("session_id", f"{name}-{number}"))
        sessions.append(BenchSession(session_id, tuple(messages), raw.get("title"), kept))
    known = {str(m.client_id) for session in sessions for m in session.messages if m.client_id}
    questions = [
        BenchQuestion(
            question_id=str(raw.get("question_id", f"{name}/{number}")),
            text=str(raw["question"]),
            category=str(raw.get("category", "all")),
            evidence=tuple(dict.fromkeys(str(e) for e in raw["evidence"] if str(e) in known)),
            asked_at=_moment(raw.get("asked_at")) or _day_after(sessions),
            queries=tuple(raw.get("queries") or ()),
        )
        for number, raw in enumerate(row.get("questions") or [], 1)
    ]
    asked = tuple(q for q in questions if q.evidence)
    return Conversation(name, tuple(sessions), asked, len(questions) - len(asked))


def _message(raw: Mapping[str, Any], at: datetime) -> NewMessage:
    role = raw["role"]
    if role not in get_args(Role):
        raise ValueError(f"the role {role!r} is none of {', '.join(get_args(Role))}")
    name = raw.get("id")
    return NewMessage(
        role=role,
        content=str(raw["content"]),
        client_id=None if name is None else str(name),
        occurred_at=at,
        speaker=raw.get("speaker"),
    )


def _moment(text: str | None) -> datetime | None:
    if text is None:
        return None
    at = datetime.fromisoformat(text)
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at


def _day_after(sessions: Sequence[BenchSession]) -> datetime:
    times = [m.occurred_at for s in sessions for m in s.messages if m.occurred_at is not None]
    return max(times, default=datetime(2025, 1, 1, tzinfo=UTC)) + timedelta(days=1)
