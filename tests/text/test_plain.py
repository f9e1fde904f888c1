"""Times, JSON values and single lines: one form each."""

from datetime import UTC, datetime, timedelta, timezone
from types import MappingProxyType

from memory.text.plain import folded, iso, minute, one_line, plain

EAST = datetime(2025, 5, 7, 14, 4, 30, tzinfo=timezone(timedelta(hours=2)))


def test_times_are_told_in_utc() -> None:
    assert iso(EAST) == "2025-05-07T12:04:30Z"
    assert iso(EAST.replace(microsecond=5)) == "2025-05-07T12:04:30.000005Z"
    assert iso(EAST, "milliseconds") == "2025-05-07T12:04:30.000Z"
    assert minute(EAST) == "2025-05-07 12:04"


def test_what_json_cannot_hold_is_put_into_its_terms() -> None:
    held = {"at": (EAST, None), 1: MappingProxyType({"deep": [EAST.astimezone(UTC), 2.5]})}
    assert plain(held) == {"at": ["2025-05-07T12:04:30Z", None], "1": {"deep": ["2025-05-07T12:04:30Z", 2.5]}}


def test_a_line_has_no_breaks_and_an_end() -> None:
    assert one_line(" a\n\tb  c ", 9) == "a b c"
    assert one_line("abcdefghij", 5) == "abcd…"
    assert folded(" A\n b ") == "a b"
