"""What a value must be before it is recorded. Each check raises Invalid with one sentence."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from memory.errors import Invalid
from memory.model import Json, NewMessage

CONTENT_LIMIT = 10 * 1024 * 1024
JSON_LIMIT = 1024 * 1024
NAME_LIMIT = 200

ROLES = ("user", "assistant", "system", "tool")
STATUSES = ("final", "partial", "interrupted")
CHANNELS = ("chat", "voice", "sms", "email")


def check_text(what: str, value: Any, limit: int = CONTENT_LIMIT) -> str:
    """`value` as text of at most `limit` characters that UTF-8 can carry."""
    if not isinstance(value, str):
        raise Invalid(what, f"is {type(value).__name__}, not text", "give a string")
    if len(value) > limit:
        raise Invalid(what, f"has {len(value):,} characters", f"at most {limit:,} are accepted")
    if any("\ud800" <= c <= "\udfff" for c in value) if not value.isascii() else False:
        raise Invalid(what, "holds half of a surrogate pair, which is not a character", "send valid Unicode")
    return value


def check_name(what: str, value: str | None) -> str | None:
    """An id or a name: not empty, one line, no control characters."""
    if value is None:
        return None
    check_text(what, value, NAME_LIMIT)
    if not value.strip():
        raise Invalid(what, "is empty", "leave it out or give it a value")
    if any(ord(c) < 32 or ord(c) == 127 for c in value):
        raise Invalid(what, "holds control characters", "use printable characters alone")
    return value


def check_choice(what: str, value: str | None, allowed: tuple[str, ...]) -> None:
    if value is not None and value not in allowed:
        raise Invalid(what, f"is {value!r}", f"use one of {', '.join(allowed)}")


def check_json(what: str, value: Json) -> None:
    try:
        size = len(json.dumps(value, allow_nan=False))
    except (TypeError, ValueError, RecursionError):
        raise Invalid(what, "is not JSON", "use objects, lists, text, finite numbers, true, false and null") from None
    if size > JSON_LIMIT:
        raise Invalid(what, f"takes {size:,} characters as JSON", f"at most {JSON_LIMIT:,} are accepted")


def check_moment(what: str, value: datetime | None) -> datetime | None:
    """`value` in UTC; without a zone it is taken for UTC."""
    if value is None:
        return None
    try:
        moment = value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    except (OverflowError, ValueError):
        raise Invalid(what, "is outside the calendar", "use a year from 1 to 9999") from None
    return moment


def check_message(message: NewMessage, place: str) -> None:
    """`place` names the message in its batch, for example 'messages[3]'."""
    check_choice(f"{place}.role", message.role, ROLES)
    check_text(f"{place}.content", message.content)
    check_choice(f"{place}.status", message.status, STATUSES)
    for name in ("speaker", "tool_name", "tool_call_id", "intent"):
        check_name(f"{place}.{name}", getattr(message, name))
    check_name(f"{place}.id", message.client_id)
    check_json(f"{place}.tool_arguments", message.tool_arguments)
    check_json(f"{place}.entities", message.entities)
    if message.metadata is not None and not isinstance(message.metadata, Mapping):
        raise Invalid(f"{place}.metadata", "is not an object", "give names with JSON values")
    check_json(f"{place}.metadata", message.metadata and dict(message.metadata))
    confidence = message.intent_confidence
    if confidence is not None and not 0 <= confidence <= 1:
        raise Invalid(f"{place}.intent_confidence", f"is {confidence}", "give a number from 0 to 1")
    check_moment(f"{place}.occurred_at", message.occurred_at)
