"""Portions as lines, one JSON object each: what `backstory import` reads."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from typing import Any

from memory.model import Message, Session, Summary, UserContextEntry
from memory.text.plain import plain
from server.formats.portions import Portion


def to_jsonl(parts: Iterable[Portion]) -> Iterator[str]:
    for part in parts:
        yield json.dumps(line(part), ensure_ascii=False) + "\n"


def line(portion: Portion) -> dict[str, Any]:
    """One portion as an object with a `type`, without what is empty."""
    match portion:
        case Session():
            told = asdict(portion)
            for name in ("last_seq", "message_digest"):
                del told[name]
            return {"type": "session", **_present(told)}
        case Message():
            told = asdict(portion)
            told["id"] = told.pop("client_id")
            for name in ("project_id", "channel", "digest"):  # the session's own line says the first two
                del told[name]
            return {"type": "message", **_present(told)}
        case Summary():
            told = asdict(portion)
            draft = told.pop("draft")
            return {"type": "summary", **_present({**told, **draft})}
        case UserContextEntry():
            told = asdict(portion)
            del told["deleted"]
            return {"type": "user_context", **_present(told), "value": portion.value}


def _present(told: Mapping[str, Any]) -> dict[str, Any]:
    return {name: plain(value) for name, value in told.items() if value is not None and value != ()}
