"""Column types that behave the same on SQLite and PostgreSQL."""

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import BigInteger, Dialect, Text
from sqlalchemy.types import TypeDecorator, TypeEngine

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

# PostgreSQL's text holds no NUL, and UTF-8 no half of a surrogate pair. A control character that nobody types escapes
# them, and itself, on both databases alike: every Python string comes back as it was, and may be asked for.
_ESCAPE = "\x1a"
_UNSTORABLE = re.compile("[\0\x1a\ud800-\udfff]")
_ESCAPED = re.compile(_ESCAPE + "([0-9a-f]{4})")


def to_stored(value: str) -> str:
    if "\0" not in value and _ESCAPE not in value and _encodes(value):
        return value
    return _UNSTORABLE.sub(lambda found: f"{_ESCAPE}{ord(found[0]):04x}", value)


def from_stored(value: str) -> str:
    return value if _ESCAPE not in value else _ESCAPED.sub(lambda found: chr(int(found[1], 16)), value)


def _encodes(value: str) -> bool:
    if value.isascii():
        return True
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def to_micros(moment: datetime) -> int:
    """Microseconds since 1970 UTC; negative before."""
    return (moment - _EPOCH) // _MICROSECOND


def from_micros(micros: int) -> datetime:
    return _EPOCH + timedelta(microseconds=micros)


# The processors are given whole, not as process_result_value: its wrapper costs more than what it wraps, and a reader
# of a thousand messages pays for it twenty thousand times.


def _read_text(value: str | None) -> str | None:
    return value if value is None or _ESCAPE not in value else from_stored(value)


def _write_text(value: str | None) -> str | None:
    return None if value is None else to_stored(value)


def _read_moment(value: int | None) -> datetime | None:
    return None if value is None else from_micros(value)


def _write_moment(value: datetime | None) -> int | None:
    return None if value is None else to_micros(value)


def _read_json(value: str | None) -> Any:
    return None if value is None else json.loads(value)


def _write_json(value: Any) -> str | None:
    return None if value is None else json.dumps(value, separators=(",", ":"), allow_nan=False)


class Micros(TypeDecorator[datetime]):
    """A UTC datetime as whole microseconds since 1970."""

    impl = BigInteger
    cache_ok = True

    def bind_processor(self, dialect: Dialect) -> Any:
        return _write_moment

    def result_processor(self, dialect: Dialect, coltype: object) -> Any:
        return _read_moment


class SafeText(TypeDecorator[str]):
    """Any Python string, compared and ordered by code point."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[str]:
        return dialect.type_descriptor(Text(collation="C") if dialect.name == "postgresql" else Text())

    def bind_processor(self, dialect: Dialect) -> Any:
        return _write_text

    def result_processor(self, dialect: Dialect, coltype: object) -> Any:
        return _read_text


class SafeJson(TypeDecorator[Any]):
    """Any JSON value as ASCII text, so that NUL and every other character survive; None is SQL NULL."""

    impl = Text
    cache_ok = True

    def bind_processor(self, dialect: Dialect) -> Any:
        return _write_json

    def result_processor(self, dialect: Dialect, coltype: object) -> Any:
        return _read_json
