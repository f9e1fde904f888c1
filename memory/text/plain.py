"""Values as plain text: times, anything that JSON can hold, anything on one line."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

_LOOKED_AT = 16


def iso(moment: datetime, timespec: str = "auto") -> str:
    """ISO 8601 in UTC, ending in Z, with microseconds only where there are any (or as `timespec` says)."""
    return moment.astimezone(UTC).isoformat(timespec=timespec).replace("+00:00", "Z")


def second(moment: datetime) -> str:
    """The same to the second: what a model reads needs no more, and each digit costs."""
    return iso(moment, "seconds")


def minute(moment: datetime) -> str:
    """For people, in UTC: 2025-05-07 12:04."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M}"


def plain(value: Any) -> Any:
    """As JSON can hold it: names are text, tuples are lists, times are ISO 8601 UTC."""
    if isinstance(value, datetime):
        return iso(value)
    if isinstance(value, Mapping):
        return {str(name): plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    return value


def beginning(text: str, limit: int) -> str:
    """As much of `text` as is worth a look where `limit` characters are shown: room for white space and for what is
    not shown at all."""
    return text.lstrip()[: _LOOKED_AT * limit]


def one_line(text: str, limit: int) -> str:
    """`text` with single spaces for all white space, its end cut off with a mark beyond `limit` characters."""
    flat = " ".join(beginning(text, limit).split())
    return flat if len(flat) <= limit else flat[: limit - 1] + "…"


def folded(text: str) -> str:
    """For telling whether one text says what another does: small letters, single spaces."""
    return " ".join(text.lower().split())
