"""What a question is understood to ask for: times, who is meant, whether it asks when."""

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest

from memory.model import MessageFilter
from memory.recall.understanding import understood

NOW = datetime(2026, 3, 18, 12, tzinfo=UTC)
"""A Wednesday."""

TIMES = {
    "what did I do yesterday": ("2026-03-17", "2026-03-18"),
    "where did we go last week": ("2026-03-09", "2026-03-16"),
    "the trip in May": ("2025-05-01", "2025-06-01"),
    "what happened two months ago": ("2026-01-01", "2026-02-01"),
    "what she said on 7 May 2023": ("2023-05-07", "2023-05-08"),
    "anything new since the call on Monday": ("2026-03-16", "2026-03-19"),
    "dinner on 29 Dec": ("2025-12-29", "2025-12-30"),
    "the fireworks of 01.01.2024": ("2024-01-01", "2024-01-02"),
    "the invoice of 2024-02-03": ("2024-02-03", "2024-02-04"),
    "what did we plan last summer": ("2025-06-01", "2025-09-01"),
    "what was in 2023": ("2023-01-01", "2024-01-01"),
    "between March and May 2025": ("2025-03-01", "2025-06-01"),
    "the day before yesterday": ("2026-03-16", "2026-03-17"),
    "what I asked this morning": ("2026-03-18", "2026-03-19"),
    "was war letzte Woche": ("2026-03-09", "2026-03-16"),
    "vor drei Monaten": ("2025-12-01", "2026-01-01"),
    "qu'est-ce que j'ai dit il y a deux jours": ("2026-03-16", "2026-03-17"),
    "el mes pasado": ("2026-02-01", "2026-03-01"),
    "что было вчера": ("2026-03-17", "2026-03-18"),
    "先週の会議": ("2026-03-09", "2026-03-16"),
}


@pytest.mark.parametrize(("query", "bounds"), TIMES.items(), ids=list(TIMES))
def test_times_in_words_and_figures(query: str, bounds: tuple[str, str]) -> None:
    (period,) = understood(query, [], ["english", "german"], NOW, MessageFilter()).periods
    assert (period.since.date(), period.until.date()) == tuple(map(date.fromisoformat, bounds))


@pytest.mark.parametrize("query", ["may I ask something", "what is my dog called", "march on", "who won 3 to 1"])
def test_words_that_only_look_like_times(query: str) -> None:
    assert understood(query, [], ["english"], NOW, MessageFilter()).periods == ()


def test_days_begin_at_the_users_midnight() -> None:
    late = datetime(2026, 3, 18, 23, 30, tzinfo=UTC)
    tokyo = ZoneInfo("Asia/Tokyo")
    (period,) = understood("today", [], [], late.astimezone(tokyo), MessageFilter()).periods
    assert period.since == datetime(2026, 3, 19, tzinfo=tokyo)


@pytest.mark.parametrize(
    ("query", "named", "bare"),
    [
        ("what did Ana say about the boat", ("Ana Lopez",), "what did say about the boat"),
        ("What is Ana Lopez's dog called?", ("Ana Lopez",), "What is dog called?"),
        ("did Ben meet Ana", ("Ana Lopez", "Ben"), "did meet"),
        ("the banana bread", (), "the banana bread"),
    ],
)
def test_participants_by_first_or_full_name(query: str, named: tuple[str, ...], bare: str) -> None:
    question = understood(query, ["Ana Lopez", "Ben"], [], NOW, MessageFilter())
    assert set(question.named) == set(named)
    assert question.bare == bare


@pytest.mark.parametrize(
    ("query", "role", "asks_when"),
    [
        ("what did I say about the rent", "user", False),
        ("which hotel did you recommend", "assistant", False),
        ("was hast du mir empfohlen", "assistant", False),
        ("when does my train leave", "user", True),
        ("wann zieht Jonas um", None, True),
        ("the price of the boat", None, False),
    ],
)
def test_who_is_meant_and_whether_it_asks_when(query: str, role: str | None, asks_when: bool) -> None:
    question = understood(query, [], [], NOW, MessageFilter())
    assert (question.role, question.asks_when) == (role, asks_when)
    assert understood(query, [], [], NOW, MessageFilter(role="tool")).role is None
