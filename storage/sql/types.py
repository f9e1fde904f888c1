"""Column types that behave the same on SQLite and PostgreSQL."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import BigInteger, Dialect, Text
from sqlalchemy.types import TypeDecorator

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)

# PostgreSQL's text cannot hold NUL. A private-use character escapes it, and itself, on both databases alike.
ESCAPE = "\ue000"


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
    """Text that may hold NUL."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        if value is None or ("\0" not in value and ESCAPE not in value):
            return value
        return value.replace(ESCAPE, ESCAPE + "0").replace("\0", ESCAPE + "1")

    def process_result_value(self, value: Any, dialect: Dialect) -> str | None:
        if value is None or ESCAPE not in value:
            return None if value is None else str(value)
        return str(value).replace(ESCAPE + "1", "\0").replace(ESCAPE + "0", ESCAPE)


class SafeJson(TypeDecorator[Any]):
    """Any JSON value as ASCII text, so that NUL and every other character survive; None is SQL NULL."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        return None if value is None else json.dumps(value, separators=(",", ":"))

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:
        return None if value is None else json.loads(value)
