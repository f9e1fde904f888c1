"""The parts of which hosts make a message's content, as the text that is recorded, the tool calls among them aside.

Told by what they hold, not by who sends them: the chat APIs' parts, content blocks of the protocol, realtime items.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, urlsplit

_NAME_LENGTH = 100
_DEEPEST = 8
_TEXTS = ("text", "refusal", "transcript")
_THOUGHTS = frozenset({"thinking", "redacted_thinking", "reasoning", "thought"})
_RESULTS = ("tool_result", "tool-result", "call_output")
_CALLS = frozenset(
    {"tool_use", "server_tool_use", "mcp_tool_use", "tool_call", "tool-call", "function_call", "function"}
)
_KINDS = ("image", "audio", "video", "file")
_KIND_OF = {"document": "file", "resource": "file", "resource_link": "file", "media": "file", "blob": "file"}
_HOLDERS = (
    *("source", "image_url", "input_audio", "audio", "video_url", "file", "resource", "inlineData", "inline_data"),
    *("fileData", "file_data", "image", "audio_url", "file_url", "document", "video"),
)
_NAMES = ("filename", "file_name", "name", "displayName", "display_name", "title")
_WHERE = (
    *("url", "uri", "fileUri", "file_uri", "image_url", "file_url", "video_url", "audio_url", "image", "file", "audio"),
    *("video", "source", "data", "blob", "file_data", "base64", "bytes"),
)
"""Where an address stands, or in its place the bytes."""
_TYPES = ("media_type", "mimeType", "mime_type", "mediaType", "format")
_SIZES = ("size", "file_size", "size_bytes", "bytes")
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{1,20}://")
_WITHOUT_TYPE = frozenset({
    *("text", "refusal", "transcript", "parts", "role", "thought", "thoughtSignature", "thought_signature"),
    *("inlineData", "inline_data", "fileData", "file_data", "functionCall", "function_call", "functionResponse"),
    *("function_response", "toolUse", "toolResult", "json", "image", "document", "video", "videoMetadata"),
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call that a message makes. `arguments` is JSON as it was meant, not its text."""

    name: str | None
    call_id: str | None
    arguments: Any


@dataclass(slots=True)
class Told:
    """What a content says: its texts in order, the calls it makes, and whose results it holds."""

    texts: list[str] = field(default_factory=list)
    calls: list[ToolCall] = field(default_factory=list)
    results: list[tuple[str | None, str | None]] = field(default_factory=list)
    """(tool name, call id) of each."""
    others: int = 0
    """Parts that are no results."""

    @property
    def text(self) -> str:
        return "\n".join(text for text in self.texts if text)


def told(content: Any, *, exact: bool = False) -> Told | None:
    """What a list of parts, or one part, says; None for what is none. `exact`: a part of a kind that is not known is
    none, since it may be what a tool gave back."""
    parts = content if isinstance(content, list) else [content]
    if not all(isinstance(part, str) or _is_part(part, exact) for part in parts if part is not None):
        return None
    found = Told()
    _take(found, parts, _DEEPEST)
    return found


def call_of(value: Any) -> ToolCall | None:
    """The call that an entry of `tool_calls`, or a part, makes; None for what is none."""
    if not isinstance(value, Mapping):
        return None
    inner = _first(value, ("function", "functionCall", "function_call", "toolUse"), Mapping) or value
    name = _first(inner, ("name", "toolName", "tool_name"), str)
    if name is None:
        return None
    call_id = _first({**inner, **value}, ("call_id", "toolCallId", "tool_call_id", "toolUseId", "id"), str)
    arguments = next((inner[key] for key in ("arguments", "input", "args") if inner.get(key) is not None), None)
    return ToolCall(name, call_id, _as_meant(arguments))


def call_text(call: ToolCall) -> str:
    """The call as a mark in a text."""
    arguments = "" if call.arguments is None else f" {_json(call.arguments)}"
    return f"[tool call: {_clean(call.name or '')}{arguments}]"


def _is_part(value: Any, exact: bool) -> bool:
    if not isinstance(value, Mapping):
        return False
    kind = value.get("type")
    if not isinstance(kind, str):
        return bool(value) and _WITHOUT_TYPE.issuperset(value)
    known = kind in _THOUGHTS or kind in _CALLS or kind.endswith(_RESULTS) or _text(value) is not None
    return known or not exact or _is_media(kind, value)


def _is_media(kind: str, part: Mapping[str, Any]) -> bool:
    return any(known in kind for known in (*_KINDS, *_KIND_OF)) or any(key in part for key in _HOLDERS)


def _take(found: Told, parts: Iterable[Any], deep: int) -> None:
    for part in parts:
        if isinstance(part, str):
            found.texts.append(part)
            found.others += 1
        elif isinstance(part, Mapping) and deep:
            _take_part(found, part, deep)


def _take_part(found: Told, part: Mapping[str, Any], deep: int) -> None:
    kind = part["type"] if isinstance(part.get("type"), str) else ""
    response = _first(part, ("functionResponse", "function_response", "toolResult"), Mapping)
    if response is not None or kind.endswith(_RESULTS):
        _take_result(found, response or part, deep)
        return
    found.others += 1
    if kind in _THOUGHTS or part.get("thought") is True:
        return
    if isinstance(part.get("parts"), list):
        _take(found, part["parts"], deep - 1)
    elif (kind in _CALLS or not kind) and (call := call_of(part)) is not None:
        found.calls.append(call)
    elif (text := _text(part)) is not None:
        found.texts.append(text)
    elif kind in ("text", "input_text", "output_text"):
        return
    else:
        found.texts.append(_mark(part, kind))


def _take_result(found: Told, part: Mapping[str, Any], deep: int) -> None:
    name = _first(part, ("name", "toolName", "tool_name"), str)
    call_id = _first(part, ("tool_use_id", "call_id", "toolCallId", "tool_call_id", "toolUseId", "id"), str)
    found.results.append((name, call_id))
    result = next((part[key] for key in ("content", "output", "response", "result") if part.get(key) is not None), None)
    found.texts.append(result_text(result, deep - 1))


def result_text(result: Any, deep: int = _DEEPEST) -> str:
    """What a tool gave back, as text: its parts where it has any, else its JSON."""
    if result is None or isinstance(result, str):
        return result or ""
    parts = result if isinstance(result, list) else [result]
    if deep > 0 and parts and all(isinstance(part, str) or _is_part(part, True) for part in parts):
        inside = Told()
        _take(inside, parts, deep)
        return "\n".join(part for part in (inside.text, *map(call_text, inside.calls)) if part)
    return _json(result)


def _json(value: Any) -> str:
    try:
        return json.dumps(value, ensure_ascii=False)
    except RecursionError:
        return "[nested too deeply]"


def _text(part: Mapping[str, Any]) -> str | None:
    """The words of a part, or of a file that is text."""
    for key in _TEXTS:
        value = part.get(key)
        value = value.get("value") if isinstance(value, Mapping) else value
        if isinstance(value, str):
            return value
    if set(part) == {"json"}:
        return _json(part["json"])
    for key in ("source", "resource", "audio", "input_audio"):
        holder = part.get(key)
        if isinstance(holder, Mapping):
            data = holder.get("data") if holder.get("type") == "text" else None
            words = next((w for w in (holder.get("text"), holder.get("transcript"), data) if isinstance(w, str)), None)
            if words is not None:
                is_file = key in ("source", "resource")
                return f"{_mark(part, str(part.get('type') or 'file'))}\n{words}" if is_file else words
            if isinstance(holder.get("content"), str | list):
                return result_text(holder["content"])
    return None


def _mark(part: Mapping[str, Any], kind: str) -> str:
    """What stands for a picture, a recording or a file: its kind, name and size, never its bytes."""
    holders = [part, *(part[key] for key in _HOLDERS if isinstance(part.get(key), Mapping))]
    given = [holder[key] for holder in holders for key in _WHERE if isinstance(holder.get(key), str)]
    name = _found(holders, _NAMES) or next(filter(None, map(_base_name, given)), None)
    media = _found(holders, _TYPES) or next(filter(None, map(_media_type, given)), None)
    size = _size(holders, given)
    about = ", ".join([*(_clean(text) for text in (name or media,) if text), *([_in_units(size)] if size else [])])
    return f"[{_clean(_kind(kind, media or '', part))}{f': {about}' if about else ''}]"


def _kind(kind: str, media: str, part: Iterable[str]) -> str:
    """What it is, by the part's type, else by the media type, else by what the part's fields are called."""
    signs = (kind, media.partition("/")[0], *(key.lower() for key in part))
    known = (one for sign in signs for one in _KINDS if one in sign)
    return next(known, _KIND_OF.get(kind, kind or "file"))


def _found(holders: Iterable[Mapping[str, Any]], keys: Iterable[str]) -> str | None:
    return next((h[k] for k in keys for h in holders if isinstance(h.get(k), str) and h[k].strip()), None)


def _base_name(given: str) -> str:
    """The last part of an address's path; '' for bytes, and for addresses that are the bytes."""
    if not _ADDRESS.match(given) or len(given) > 4000:
        return ""
    try:
        return unquote(urlsplit(given).path).rstrip("/").rpartition("/")[2]
    except ValueError:
        return ""


def _media_type(given: str) -> str:
    return given[5:_NAME_LENGTH].partition(",")[0].partition(";")[0] if given[:5].lower() == "data:" else ""


def _size(holders: Iterable[Mapping[str, Any]], given: Iterable[str]) -> int:
    """In bytes; 0 where nobody knows."""
    for holder in holders:
        for key in _SIZES:
            if isinstance(holder.get(key), int) and not isinstance(holder[key], bool):
                return max(0, int(holder[key]))
    return next((len(text.rpartition(",")[2]) * 3 // 4 for text in given if not _ADDRESS.match(text)), 0)


def _in_units(size: int) -> str:
    if size < 1024:
        return f"{size} B"
    return f"{round(size / 1024):,} KB" if size < 1024 * 1024 else f"{size / 1024 / 1024:,.1f} MB"


def _clean(text: str) -> str:
    """One line without the mark's own brackets."""
    shown = "".join(c if c.isprintable() and c not in "[]" else " " for c in text[:_NAME_LENGTH])
    return " ".join(shown.split())


def _first(value: Mapping[str, Any], keys: Iterable[str], kind: type) -> Any:
    return next((value[key] for key in keys if isinstance(value.get(key), kind) and value[key]), None)


def _as_meant(arguments: Any) -> Any:
    if isinstance(arguments, str):
        try:
            return json.loads(arguments) if arguments.strip() else None
        except (ValueError, RecursionError):
            return arguments
    return arguments
