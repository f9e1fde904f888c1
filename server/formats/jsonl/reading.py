"""Our own line format, read as a stream: one JSON object a line (see docs/import-jsonl.md).

A line is a message unless its `type` says 'session', 'summary' or 'user_context', which exports contain as well.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from memory.model import (
    Category,
    Channel,
    Commitment,
    Fact,
    NewMessage,
    Role,
    Source,
    Status,
    Summary,
    SummaryDraft,
    UserContextEntry,
)
from server.formats.items import BadFile, Extra, Item, Skipped, Thread, Turn
from server.wire.normalising import normalised
from server.wire.values import Since as Time

_LONGEST_LINE = 64 * 1024 * 1024
_PIECE = 1024 * 1024
_HALVES = (b"\\ud", b"\\uD")
"""How halves of surrogate pairs begin in JSON."""
_TYPES = frozenset({"message", "session", "summary", "user_context"})
_SAYS = frozenset({"content", "parts", "tool_calls", "tool_name"})


class _Line(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=False)

    @model_validator(mode="before")
    @classmethod
    def _shaped(cls, data: Any) -> Any:
        return normalised(cls, data)


class SessionLine(_Line):
    type: Literal["session"]
    session_id: str | None = None
    external_id: str | None = None
    project_id: str | None = None
    title: str | None = None
    channel: Channel | None = None
    agent: str | None = None
    started_at: Time | None = None
    metadata: dict[str, Any] | None = None
    # What exports add for the reader's sake; a store keeps its own account of these.
    last_activity_at: Time | None = None
    archived_at: Time | None = None
    message_count: int | None = None


class MessageLine(_Line):
    type: Literal["message"] = "message"
    session_id: str | None = None
    external_id: str | None = None
    project_id: str | None = None
    title: str | None = None
    channel: Channel | None = None
    agent: str | None = None
    role: Role
    content: str
    id: str | None = Field(default=None, min_length=1)
    occurred_at: Time | None = None
    speaker: str | None = None
    tool_name: str | None = None
    tool_call_id: str | None = None
    tool_arguments: Any = None
    intent: str | None = None
    intent_confidence: float | None = None
    entities: Any = None
    metadata: dict[str, Any] | None = None
    status: Status = "final"
    # What exports add for the reader's sake.
    message_id: str | None = None
    seq: int | None = None
    recorded_at: Time | None = None


class SummaryLine(_Line):
    type: Literal["summary"]
    session_id: str
    version: int = Field(ge=1)
    text: str
    decisions: tuple[Fact, ...] = ()
    commitments: tuple[Commitment, ...] = ()
    open_questions: tuple[Fact, ...] = ()
    facts: tuple[Fact, ...] = ()
    entities: tuple[str, ...] = ()
    covers_to_seq: int = Field(ge=0)
    producer: str
    note: str | None = None
    created_at: Time


class UserContextLine(_Line):
    type: Literal["user_context"]
    key: str
    value: Any
    category: Category = "fact"
    version: int = Field(default=1, ge=1)
    updated_at: Time
    expires_at: Time | None = None
    project_id: str | None = None
    source_message_id: str | None = None
    source: Source = "stated"
    confidence: float | None = None


_LINES: dict[str, TypeAdapter[Any]] = {
    "message": TypeAdapter(MessageLine),
    "session": TypeAdapter(SessionLine),
    "summary": TypeAdapter(SummaryLine),
    "user_context": TypeAdapter(UserContextLine),
}


def detects(head: bytes) -> bool:
    """Whether the first line that is JSON, or one that was cut off, is an object of ours."""
    for raw in head.removeprefix(b"\xef\xbb\xbf").splitlines():
        if not raw.strip():
            continue
        if raw.lstrip().startswith(b'{"type":') and any(f'"{t}"'.encode() in raw[:40] for t in _TYPES):
            return True
        try:
            first = json.loads(raw)
        except (ValueError, RecursionError):
            if raw.lstrip().startswith(b"{") and b'"role"' in raw and b'"content"' in raw:
                return True
            if raw.strip() in (b"[", b"{"):
                return False  # a document over several lines
            continue
        if first is not None:
            return isinstance(first, dict) and _is_ours(first)
    return False


def _is_ours(line: Mapping[str, Any]) -> bool:
    return line.get("type") in _TYPES or ("role" in line and not line.keys().isdisjoint(_SAYS))


def read(path: Path, project_id: str | None, taken: Callable[[int], None]) -> Iterator[Item]:
    """Every message, session by session where the file is so ordered; any order is accepted."""
    threads: dict[str, Thread] = {}
    repeats: Counter[bytes] = Counter()
    missing: dict[str, tuple[int, list[range]]] = {}
    for number, raw in _numbered_lines(path, taken):
        where = f"line {number}"
        try:
            line = _parsed(path, where, raw)
        except BadFile as error:
            yield error.skipped()
            continue
        if isinstance(line, SessionLine):
            thread = _session_thread(line, project_id)
            threads.update({name: thread for name in (line.session_id, line.external_id) if name})
        elif isinstance(line, MessageLine):
            thread = _message_thread(line, threads, path, project_id)
            _note_missing(line, missing)
            yield Turn(thread, _new_message(line, thread, repeats), where)
        elif isinstance(line, SummaryLine) and line.session_id not in threads:
            yield Skipped(where, f"the summary's session {line.session_id!r} has no line before it.")
        elif isinstance(line, SummaryLine):
            gaps = missing.get(line.session_id, (0, []))[1]
            gone = sum(max(0, min(gap.stop - 1, line.covers_to_seq) - gap.start + 1) for gap in gaps)
            yield Extra(threads[line.session_id], summary(line, line.covers_to_seq - gone), where)
        else:
            yield Extra(None, _user_context_entry(line, project_id), where)


def _numbered_lines(path: Path, taken: Callable[[int], None]) -> Iterator[tuple[int, bytes | None]]:
    """Lines with text; None in the place of one that is too long."""
    with path.open("rb") as file:
        for number, raw in enumerate(iter(lambda: file.readline(_LONGEST_LINE + 1), b""), 1):
            if len(raw) > _LONGEST_LINE:
                while raw and not raw.endswith(b"\n"):
                    raw = file.readline(_PIECE)
                yield number, None
            else:
                text = raw.removeprefix(b"\xef\xbb\xbf").strip() if number == 1 else raw.strip()
                if text:
                    yield number, text
            taken(file.tell())


def _parsed(path: Path, where: str, raw: bytes | None) -> SessionLine | MessageLine | SummaryLine | UserContextLine:
    """The line as one of our objects. Errors: BadFile naming the line and the field."""
    if raw is None:
        raise BadFile(path, where, f"longer than {_LONGEST_LINE // 1024 // 1024} MiB.")
    try:
        data = json.loads(raw)
        if any(half in raw for half in _HALVES):
            json.dumps(data, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise BadFile(path, where, "holds half of a surrogate pair, which is no character.") from error
    except UnicodeDecodeError as error:
        raise BadFile(path, where, "not UTF-8 text; save the file as UTF-8.") from error
    except (ValueError, RecursionError) as error:
        why = "nested too deeply" if isinstance(error, RecursionError) else getattr(error, "msg", "a number too long")
        raise BadFile(path, where, f"not a valid JSON object ({why}).") from error
    if not isinstance(data, dict):
        raise BadFile(path, where, "must be a JSON object with at least 'role' and 'content'.")
    kind = data.get("type", "message")
    adapter = _LINES.get(kind.strip().lower()) if isinstance(kind, str) else None
    if adapter is None:
        raise BadFile(path, where, f"'type' is {kind!r}; it can be {', '.join(sorted(_TYPES))}.")
    try:
        line: SessionLine | MessageLine | SummaryLine | UserContextLine = adapter.validate_python(data)
    except ValidationError as error:
        raise BadFile(path, where, _first_wrong(error)) from error
    return line


def _first_wrong(error: ValidationError) -> str:
    """The first problem of a line as a sentence, naming the field."""
    first = error.errors(include_url=False, include_input=False)[0]
    said = first.get("ctx", {})
    name = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return f"unknown field '{name}'; put what is yours into 'metadata'."
    if first["type"] == "missing":
        return f"'{name}' is missing."
    if first["type"] == "backstory":
        return f"'{name}' {said['why']}; {said['allowed']}."
    return f"'{name}': {first['msg'].removeprefix('Value error, ')}."


def _session_thread(line: SessionLine, project_id: str | None) -> Thread:
    return Thread(
        external_id=line.external_id,
        session_id=line.session_id,
        project_id=project_id or line.project_id,
        title=line.title,
        channel=line.channel,
        agent=line.agent,
        started_at=line.started_at,
        metadata=line.metadata,
    )


def _message_thread(line: MessageLine, threads: dict[str, Thread], path: Path, project_id: str | None) -> Thread:
    """The session a message names, as its session line or its own fields describe it; else the file's own session."""
    project = project_id or line.project_id
    own = f"file:{path.name}" if project is None else f"file:{path.name}:{project}"
    name = line.session_id or line.external_id or own
    if name not in threads:
        threads[name] = Thread(
            external_id=line.external_id or (own if name == own else None),
            session_id=line.session_id,
            project_id=project,
            title=line.title or (path.stem if name == own else None),
            channel=line.channel,
            agent=line.agent,
        )
    return threads[name]


def _new_message(line: MessageLine, thread: Thread, repeats: Counter[bytes]) -> NewMessage:
    given = {f.name: getattr(line, f.name) for f in fields(NewMessage) if f.name != "client_id"}
    return NewMessage(client_id=line.id or line.message_id or _derived_id(line, thread, repeats), **given)


# Hashed in every derived id, absent or not, as from the first. A field that lines gain later is hashed only where it
# has a value, so that a file imported once more gets the ids that it got before.
_ALWAYS_HASHED = frozenset({
    "type", "project_id", "channel", "agent", "role", "content", "id", "occurred_at", "speaker", "tool_name",
    "tool_call_id", "tool_arguments", "intent", "intent_confidence", "entities", "metadata", "status", "message_id",
})  # fmt: skip


def _derived_id(line: MessageLine, thread: Thread, repeats: Counter[bytes]) -> str:
    """An id for a message without one, the same at each import: of its session, its content, and how often it came."""
    told = line.model_dump(mode="json", exclude={"seq", "recorded_at", "session_id", "external_id", "title"})
    told = {name: value for name, value in told.items() if name in _ALWAYS_HASHED or value is not None}
    text = json.dumps([thread.external_id or thread.session_id, told], sort_keys=True)
    digest = hashlib.sha256(text.encode()).digest()[:12]
    repeats[digest] += 1
    return f"jsonl-{digest.hex()}" + (f"-{repeats[digest]}" if repeats[digest] > 1 else "")


def _note_missing(line: MessageLine, missing: dict[str, tuple[int, list[range]]]) -> None:
    """Keeps the numbers that an export lacks, since messages were erased; imported messages are numbered anew."""
    if line.seq is not None and line.session_id is not None:
        expected, gaps = missing.get(line.session_id, (1, []))
        if line.seq > expected:
            gaps.append(range(expected, line.seq))
        missing[line.session_id] = (line.seq + 1, gaps)


def summary(line: SummaryLine, covers_to_seq: int) -> Summary:
    draft = SummaryDraft(
        text=line.text,
        decisions=line.decisions,
        commitments=line.commitments,
        open_questions=line.open_questions,
        facts=line.facts,
        entities=line.entities,
    )
    return Summary(line.session_id, line.version, draft, covers_to_seq, line.producer, line.created_at, line.note)


def _user_context_entry(line: UserContextLine, project_id: str | None) -> UserContextEntry:
    told: Mapping[str, Any] = line.model_dump(exclude={"type"})
    return UserContextEntry(**{**told, "project_id": project_id or line.project_id})
