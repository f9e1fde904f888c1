"""Times as hosts, bridges and databases write them, read as moments in UTC."""

import re
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from email.utils import parsedate_to_datetime
from typing import Any

_LONGEST = 80
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LEAST_EPOCH = 100_000_000
"""Seconds. A smaller number is a year, a day or a count, and no time since 1970."""
_MOST_SECONDS = 20_000_000_000
"""The year 2603: what is larger counts thousandths, or thousandths of those."""
_NUMBER = re.compile(r"[+-]?\d{9,20}(\.\d{0,20})?")
_LETTER = re.compile(r"\d{1,2} [A-Z]{3} \d{4} \d{2}:\d{2}|[A-Z]{3}, \d{1,2} [A-Z]{3} \d{4} \d{2}:\d{2}")
_ZONE_NAME = re.compile(r"\[[^\[\]]*\]$")
_ZULU = re.compile(r" ?(Z|UTC|GMT)$")
_OFFSET = re.compile(r"(:\d{2}(?:[.,]\d{1,20})?) ?([ +-])(\d{2}(?::?\d{2})?)$")
_LEAP = re.compile(r":60(?=[^:\d]|$)")
_DAY_END = re.compile(r"([T ])24:00(:00([.,]0{1,20})?)?(?=[^:.,\d]|$)")


def moment(value: Any) -> datetime | None:
    """The moment that a number (seconds or thousandths since 1970) or a text says; without a zone it is UTC's.

    A bare date is its beginning. None for what is no time. Errors: OverflowError outside the years 1 to 9999.
    """
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return _since_1970(Decimal(str(value))) if abs(value) < 10**20 else None
    if not isinstance(value, str) or len(value) > _LONGEST or not value.isascii():
        return None
    text = value.strip().upper()
    if _NUMBER.fullmatch(text):
        return _since_1970(Decimal(text))
    try:
        return _in_utc(parsedate_to_datetime(text)) if _LETTER.match(text) else _written(text)
    except ValueError:
        return None


def is_day(value: Any) -> bool:
    """Whether it is a text that names a day and no time of it."""
    return isinstance(value, str) and len(text := value.strip()) <= 10 and not _NUMBER.fullmatch(text)


def _since_1970(number: Decimal) -> datetime | None:
    if not number.is_finite() or abs(number) < _LEAST_EPOCH:
        return None
    while abs(number) >= _MOST_SECONDS:
        number /= 1000
    return _EPOCH + timedelta(microseconds=round(number * 1_000_000))


def _written(text: str) -> datetime:
    """ISO 8601, and what differs from it in a way that leaves no doubt. Errors: ValueError."""
    if is_day(text):
        return datetime.combine(date.fromisoformat(text), time(), UTC)
    text = _ZONE_NAME.sub("", text)
    bare = _ZULU.sub("", text)
    # A plus that nobody escaped in an address arrives as a blank.
    whole, offsets = _OFFSET.subn(lambda found: f"{found[1]}{found[2].replace(' ', '+')}{found[3]}", bare)
    text = whole if offsets or bare == text else f"{bare}Z"
    text, leaps = _LEAP.subn(":59", text, count=1)
    text, ends = _DAY_END.subn(r"\g<1>00:00", text, count=1)
    return _in_utc(datetime.fromisoformat(text)) + timedelta(seconds=leaps, days=ends)


def _in_utc(at: datetime) -> datetime:
    return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)
