"""Column types that behave the same on SQLite and PostgreSQL."""

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import BigInteger, Dialect, Text
from sqlalchemy.types import TypeDecorator, TypeEngine

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)

# PostgreSQL's text holds no NUL, and UTF-8 no half of a surrogate pair. A control character that nobody types escapes
# them, and itself, on both databases alike: every Python string comes back as it was, and may be asked for.
ESCAPE = "\x1a"
ESCAPED = re.compile(ESCAPE + "([0-9a-f]{4})")


def to_stored(value: str) -> str:
    if "\0" not in value and ESCAPE not in value and encodes(value):
        return value
    return re.sub("[\0\x1a\ud800-\udfff]", lambda found: f"{ESCAPE}{ord(found[0]):04x}", value)


def from_stored(value: str) -> str:
    return value if ESCAPE not in value else ESCAPED.sub(lambda found: chr(int(found[1], 16)), value)


def encodes(value: str) -> bool:
    if value.isascii():
        return True
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def to_micros(moment: datetime) -> int:
    """Microseconds since 1970 UTC; negative before."""
    return (moment - EPOCH) // MICROSECOND


def from_micros(micros: int) -> datetime:
    return EPOCH + timedelta(microseconds=micros)


class Micros(TypeDecorator[datetime]):
    """A UTC datetime as whole microseconds since 1970."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:
        return None if value is None else to_micros(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        return None if value is None else from_micros(value)


class SafeText(TypeDecorator[str]):
    """Any Python string, compared and ordered by code point."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[str]:
        return dialect.type_descriptor(Text(collation="C") if dialect.name == "postgresql" else Text())

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return None if value is None else to_stored(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> str | None:
        return None if value is None else from_stored(value)


class SafeJson(TypeDecorator[Any]):
    """Any JSON value as ASCII text, so that NUL and every other character survive; None is SQL NULL."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        return None if value is None else json.dumps(value, separators=(",", ":"), allow_nan=False)

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:
        return None if value is None else json.loads(value)
