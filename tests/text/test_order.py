"""The order in which things were said, against that in which they arrived."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from memory.model import Message, Role
from memory.text.order import as_said, by_time

START = datetime(2026, 11, 1, 10, tzinfo=UTC)


def message(seq: int, said: float | None, role: Role = "user", call: str | None = None) -> Message:
    recorded = START + timedelta(days=1, seconds=seq)
    occurred = recorded if said is None else START + timedelta(seconds=said)
    return Message(f"m{seq}", "s", seq, role, "words", occurred, recorded, tool_call_id=call)


def seqs(*messages: Message) -> list[int]:
    return [m.seq for m in as_said(messages)]


def test_a_line_that_arrives_late_stands_where_it_was_said() -> None:
    assert seqs(message(1, 0), message(2, 9), message(3, 5)) == [1, 3, 2]
    assert seqs(message(1, 0), message(2, 9), message(3, 9), message(4, 9)) == [1, 2, 3, 4]


def test_what_has_no_time_of_its_own_stays_behind_what_came_before_it() -> None:
    assert seqs(message(1, None), message(2, None), message(3, None)) == [1, 2, 3]
    assert seqs(message(1, None), message(2, 9), message(3, None), message(4, 5), message(5, None)) == [1, 4, 5, 2, 3]


def test_a_result_never_comes_before_its_call() -> None:
    assert seqs(message(1, 5, "assistant", "c"), message(2, 3, "tool", "c"), message(3, 4)) == [3, 1, 2]


@given(times=st.lists(st.none() | st.integers(0, 5), max_size=12))
def test_everything_is_there_once_and_in_order(times: list[int | None]) -> None:
    order = by_time([None if time is None else float(time) for time in times])
    assert sorted(order) == list(range(len(times)))
    told = [time for index in order if (time := times[index]) is not None]
    assert told == sorted(told)
    if None not in times:
        assert by_time([float(time) for time in told]) == list(range(len(times)))
