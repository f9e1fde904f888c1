"""What is handed to a host costs what the larger of its forms does: the text that a model reads, or the same as data.

The data here have the fields that results have, so that what fits is known before a result is made.
"""

from collections.abc import Mapping
from typing import Any

from memory.model import Commitment, Fact, Hit, Json, Message, Summary, UserContextEntry
from memory.ports import TokenCounter
from memory.text.plain import second
from memory.text.tokens import json_text

RESULT_TOKENS = 25_000
"""What a result may cost at most, whatever is stored: hosts cut or refuse more."""

IN_SHORT = 400
"""Tokens. Within a smaller budget, what is told beside the context itself is left out."""


def cost(counter: TokenCounter, data: object) -> int:
    """Tokens of data among others, as compact JSON."""
    return counter.count(json_text(data)) + 1


def line_cost(counter: TokenCounter, text: str) -> int:
    """Tokens of a text that stands on lines of its own in a longer one, which is handed over as a string in JSON."""
    # The \\n before a line becomes one word with a letter that follows.
    return counter.count(json_text(text)) + (4 if text[:1].isalpha() else 1)


def message(m: Message) -> Mapping[str, Json]:
    """A message among those of one session."""
    data: dict[str, Any] = {
        "message_id": m.message_id,
        "seq": m.seq,
        "role": m.role,
        "occurred_at": second(m.occurred_at),
        "content": m.content,
    }
    given = {
        "speaker": m.speaker,
        "tool_name": m.tool_name,
        "tool_call_id": m.tool_call_id,
        "tool_arguments": m.tool_arguments,
    }
    given["status"] = None if m.status == "final" else m.status
    return data | {name: value for name, value in given.items() if value is not None}


def score(found: Hit) -> float:
    """How well a hit answers, to as many places as say anything."""
    return round(found.score, 3)


def hit(found: Hit) -> Mapping[str, Json]:
    """A message found."""
    m = found.message
    data = {"session_id": m.session_id, "session_title": found.session_title, "score": score(found)}
    data["speaker"] = m.speaker
    if found.superseded_by is not None:
        data["superseded_by"] = found.superseded_by
    return data | {name: value for name, value in message(m).items() if not name.startswith("tool_")}


def entry(row: UserContextEntry) -> Mapping[str, Json]:
    """An entry of the user context."""
    data: dict[str, Any] = {
        "key": row.key,
        "value": None if row.deleted else row.value,
        "category": row.category,
        "version": row.version,
        "updated_at": second(row.updated_at),
        "expires_at": second(row.expires_at) if row.expires_at else None,
    }
    given: dict[str, Any] = {
        "project_id": row.project_id,
        "source_message_id": row.source_message_id,
        "source": "inferred" if row.source == "inferred" else None,
        "confidence": row.confidence,
        "removed": True if row.deleted else None,
    }
    return data | {name: value for name, value in given.items() if value is not None}


def summary(made: Summary) -> Mapping[str, Json]:
    """One version of a session's summary."""
    draft = made.draft
    return {
        "session_id": made.session_id,
        "version": made.version,
        "text": draft.text,
        "decisions": [note(fact) for fact in draft.decisions],
        "commitments": [commitment(promise) for promise in draft.commitments],
        "open_questions": [note(fact) for fact in draft.open_questions],
        "facts": [note(fact) for fact in draft.facts],
        "covers_to_seq": made.covers_to_seq,
        "producer": made.producer,
        "note": made.note,
    }


def note(fact: Fact) -> Json:
    """A note of which nothing but its words is known is plain text, as it was handed in."""
    return fact.text if fact.message_id is None else {"text": fact.text, "message_id": fact.message_id}


def commitment(c: Commitment) -> Json:
    """As `note`."""
    given = {"who": c.who, "by_when": c.by_when, "message_id": c.message_id}
    rest = {name: value for name, value in given.items() if value is not None}
    return {"what": c.what, **rest} if rest else c.what
