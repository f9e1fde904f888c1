"""The JSON of the LoCoMo benchmark (Maharana et al. 2024): long conversations of two people, in dated sessions.

Each conversation becomes a project named by its `sample_id`; `speaker_a` is recorded as the user and `speaker_b` as
the assistant, with their names. A session's date is its first turn's; the others follow a second apart.
"""

import contextlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from memory.model import NewMessage, Role
from server.formats.items import BadFile, Item, Skipped, Thread, Turn

_DATE = re.compile(r"(\d{1,2}):(\d{2})\s*([ap])\.?m\.?\s+on\s+(\d{1,2})\s+([A-Za-z]+),?\s+(\d{4})", re.IGNORECASE)
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
SESSION = re.compile(r"session_(\d+)")
_MARKS = (b'"dia_id"', b'"speaker_a"', b'"evidence"')


def detects(head: bytes) -> bool:
    return head.lstrip()[:1] in (b"[", b"{") and any(mark in head for mark in _MARKS)


def read(path: Path, project_id: str | None, taken: Callable[[int], None]) -> Iterator[Item]:
    """Every turn of every conversation in the file."""
    samples = loaded(path)
    size = path.stat().st_size
    for number, sample in enumerate(samples, 1):
        yield from sample_turns(path, sample, number, project_id)
        taken(size * number // len(samples))


def loaded(path: Path) -> list[Any]:
    try:
        data = json.loads(path.read_text(encoding="utf-8-sig"))
    except UnicodeDecodeError as error:
        raise BadFile(path, f"byte {error.start}", "not UTF-8 text; save the file as UTF-8.") from error
    except json.JSONDecodeError as error:
        raise BadFile(path, f"line {error.lineno}", f"not valid JSON ({error.msg}).") from error
    except RecursionError as error:
        raise BadFile(path, None, "not valid JSON (nested too deeply).") from error
    return data if isinstance(data, list) else [data]


def sample_turns(path: Path, sample: Any, number: int, project_id: str | None) -> Iterator[Turn | Skipped]:
    """A conversation's turns; what is wrong with it, one of its sessions or turns costs that alone."""
    try:
        yield from _turns(path, sample, number, project_id)
    except BadFile as error:
        yield error.skipped()


def _turns(path: Path, sample: Any, number: int, project_id: str | None) -> Iterator[Turn | Skipped]:
    place = f"conversation {number}"
    conversation = sample.get("conversation") if isinstance(sample, dict) else None
    if not isinstance(conversation, dict):
        raise BadFile(path, place, "there is no 'conversation' object, so it is not a LoCoMo conversation.")
    sample_id = sample.get("sample_id")
    if not isinstance(sample_id, str) or not sample_id:
        raise BadFile(path, place, "there is no 'sample_id' text to name it by.")
    project = project_id or sample_id
    prefix = project if project == sample_id else f"{project}:{sample_id}"
    for key in sorted((k for k in conversation if SESSION.fullmatch(k)), key=lambda k: int(k.removeprefix("session_"))):
        within = f"{place} ({sample_id}), {key}"
        try:
            started = _session_date(path, within, conversation.get(f"{key}_date_time"))
        except BadFile as error:
            yield error.skipped()
            continue
        thread = Thread(
            external_id=f"{prefix}:{key}",
            project_id=project,
            title=f"{conversation.get('speaker_a')} and {conversation.get('speaker_b')}, session {key[8:]}",
            channel="chat",
            started_at=started,
        )
        if not isinstance(conversation[key], list):
            yield Skipped(within, "a session must be a list of turns.")
            continue
        for offset, turn in enumerate(conversation[key]):
            where = f"{within}, turn {offset + 1}"
            at = None if started is None else started + timedelta(seconds=offset)
            try:
                yield Turn(thread, message(path, where, turn, sample_id, conversation, at), where)
            except BadFile as error:
                yield error.skipped()


def message(
    path: Path, where: str, turn: Any, sample_id: str, conversation: Mapping[str, Any], at: datetime | None
) -> NewMessage:
    if not isinstance(turn, dict) or not isinstance(turn.get("text"), str) or not isinstance(turn.get("dia_id"), str):
        raise BadFile(path, where, "a turn must have 'dia_id' and 'text'.")
    speaker = turn.get("speaker")
    role: Role = "assistant" if speaker is not None and speaker == conversation.get("speaker_b") else "user"
    caption = turn.get("blip_caption")
    content = turn["text"]
    if caption:
        content = f"{content} [shared an image: {caption}]".lstrip()
    metadata = {"sample_id": sample_id, "dia_id": turn["dia_id"]} | {
        name: turn[key]
        for name, key in (("image_urls", "img_url"), ("image_caption", "blip_caption"), ("image_query", "query"))
        if turn.get(key)
    }
    client_id = f"{sample_id}:{turn['dia_id']}"
    return NewMessage(
        role=role, content=content, client_id=client_id, occurred_at=at, speaker=speaker, metadata=metadata
    )


def _session_date(path: Path, where: str, text: Any) -> datetime | None:
    """'1:56 pm on 8 May, 2023', or an ISO date; taken as UTC. None where there is none."""
    if text is None or text == "":
        return None
    if isinstance(text, str):
        with contextlib.suppress(ValueError):
            at = _said_date(text) or datetime.fromisoformat(text.strip())
            return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    raise BadFile(path, where, f"the date {text!r} is not like '1:56 pm on 8 May, 2023' or an ISO 8601 date.")


def _said_date(text: str) -> datetime | None:
    """Errors: ValueError where the words have the right form but name no day there is."""
    found = _DATE.search(text)
    if found is None or found[5][:3].lower() not in _MONTHS:
        return None
    hour, minute, half, day, month, year = found.groups()
    clock = int(hour) % 12 + (12 if half.lower() == "p" else 0)
    return datetime(int(year), _MONTHS.index(month[:3].lower()) + 1, int(day), clock, int(minute), tzinfo=UTC)
