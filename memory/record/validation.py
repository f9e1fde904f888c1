"""What a value must be before it is recorded. Each check raises Invalid with one sentence."""

import json
from collections.abc import Mapping
from dataclasses import fields, replace
from datetime import UTC, datetime
from typing import Any, get_args

from memory.errors import Invalid, TooLarge, shown
from memory.model import CONTENT_BYTES, JSON_BYTES, NAME_BYTES, Json, NewMessage, Role, Status
from memory.names import project_named

# All of a message's optional text but the id, which clients call otherwise.
_NAMES = tuple(f.name for f in fields(NewMessage) if f.type == str | None and f.name != "client_id")


def _check_content(what: str, value: Any, limit: int) -> None:
    """What was said: text of at most `limit` bytes in UTF-8. Errors: TooLarge for more, Invalid."""
    size = _utf8_size(what, _text(what, value))
    if size > limit:
        raise TooLarge(what, f"takes {size:,} bytes", f"at most {limit:,} are accepted")


def _text(what: str, value: Any) -> str:
    if not isinstance(value, str):
        raise Invalid(what, f"is {type(value).__name__}, not text", "give a string")
    return value


def _utf8_size(what: str, value: str) -> int:
    if value.isascii():
        return len(value)
    try:
        return len(value.encode())
    except UnicodeEncodeError:
        raise Invalid(what, "holds half of a surrogate pair, which is not a character", "send valid Unicode") from None


def check_name(what: str, value: str | None) -> str | None:
    """An id or a name: not empty, one line, no control characters."""
    if value is None:
        return None
    if (size := _utf8_size(what, _text(what, value))) > NAME_BYTES:
        raise Invalid(what, f"takes {size:,} bytes", f"at most {NAME_BYTES:,} are accepted")
    if not value.strip():
        raise Invalid(what, "is empty", "leave it out or give it a value")
    if any(ord(c) < 32 or ord(c) == 127 for c in value):
        raise Invalid(what, "holds control characters", "use printable characters alone")
    return value


def check_project(project_id: str | None) -> str | None:
    """The project's one form. Errors: Invalid."""
    return check_name(
        "project_id", project_id if project_id is None else project_named(_text("project_id", project_id))
    )


def check_choice(what: str, value: Any, choices: Any) -> None:
    """`choices` is the Literal that lists them."""
    if value not in get_args(choices):
        raise Invalid(what, f"is {shown(str(value))}", f"use one of {', '.join(get_args(choices))}")


def check_json(what: str, value: Json) -> Json:
    """`value` as it will be read back: names are text, tuples are lists."""
    if value is None:
        return None
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
        size, plain = _utf8_size(what, text), json.loads(text)
    except (TypeError, ValueError, RecursionError):
        raise Invalid(what, "is not JSON", "use objects, lists, text, finite numbers, true, false and null") from None
    if size > JSON_BYTES:
        raise Invalid(what, f"takes {size:,} bytes as JSON", f"at most {JSON_BYTES:,} are accepted")
    return plain


def _check_moment(what: str, value: datetime | None) -> datetime | None:
    """`value` in UTC; without a zone it is taken for UTC."""
    if value is None:
        return None
    if not isinstance(value, datetime):
        raise Invalid(what, f"is {type(value).__name__}, not a time", "give a date and time")
    try:
        moment = value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    except (OverflowError, ValueError):
        raise Invalid(what, "is outside the calendar", "use a year from 1 to 9999") from None
    return moment


def check_message(message: NewMessage, place: str, content_limit: int = CONTENT_BYTES) -> NewMessage:
    """`message` as it will be read back; `place` names it in its batch, for example 'messages[3]', and `content_limit`
    is in bytes of UTF-8."""
    check_choice(f"{place}.role", message.role, Role)
    check_choice(f"{place}.status", message.status, Status)
    _check_content(f"{place}.content", message.content, content_limit)
    check_name(f"{place}.id", message.client_id)
    for name in _NAMES:
        check_name(f"{place}.{name}", getattr(message, name))
    if message.metadata is not None and not isinstance(message.metadata, Mapping):
        raise Invalid(f"{place}.metadata", "is not an object", "give names with JSON values")
    return replace(
        message,
        occurred_at=_check_moment(f"{place}.occurred_at", message.occurred_at),
        tool_arguments=check_json(f"{place}.tool_arguments", message.tool_arguments),
        intent_confidence=_check_share(f"{place}.intent_confidence", message.intent_confidence),
        entities=check_json(f"{place}.entities", message.entities),
        metadata=None if message.metadata is None else check_json(f"{place}.metadata", dict(message.metadata)),
    )


def _check_share(what: str, value: float | None) -> float | None:
    """`value` as it will be read back: 1 is 1.0."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise Invalid(what, f"is {shown(str(value))}", "give a number from 0 to 1")
    return float(value)
