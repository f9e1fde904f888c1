"""Stretches of time: what words of time mean on the calendar, and how well a message's time suits them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import numpy as np

from memory.recall.columns import Array

_YEARS_BACK = 12
"""A day or month without a year may be of any of so many years."""

_DAYS = {"day": 1, "week": 7, "weekend": 7, "month": 30, "year": 365}
_EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
_SEASON_STARTS = {"spring": 3, "summer": 6, "autumn": 9, "winter": 12}


@dataclass(frozen=True, slots=True)
class Period:
    """A stretch of time [since, until) that a text speaks of; `said` is the text, `unit` how exact it is.

    `yearly`: the year was not said, this is the latest that fits, and the years before may be meant as well.
    """

    since: datetime
    until: datetime
    unit: str
    said: str
    yearly: bool = False


class Calendar:
    """What words of time mean, counted from `now` (aware, in the user's zone).

    Errors: ValueError and OverflowError for what no calendar has.
    """

    def __init__(self, now: datetime) -> None:
        self._now = now
        self._today = now.replace(hour=0, minute=0, second=0, microsecond=0)

    def around(self, moment: datetime, unit: str, said: str) -> Period:
        """The whole unit that `moment` lies in."""
        if unit == "week":
            first = moment - timedelta(days=moment.weekday())
            return Period(first, first + timedelta(days=7), unit, said)
        if unit == "month":
            return Period(moment.replace(day=1), _next_month(moment.replace(day=1)), unit, said)
        if unit == "year":
            first = moment.replace(month=1, day=1)
            return Period(first, first.replace(year=first.year + 1), unit, said)
        return Period(moment, moment + timedelta(days=1), "day", said)

    def absolute(self, year: int | None, month: int | None, day: int | None, said: str) -> Period:
        """A year, month or day; without a year, the latest that has begun."""
        known = year or self._latest_year(month or 1, day or 1)
        if month is None:
            first = self._today.replace(year=known, month=1, day=1)
            return Period(first, first.replace(year=known + 1), "year", said)
        first = self._today.replace(year=known, month=month, day=day or 1)
        if day is None:
            return Period(first, _next_month(first), "month", said, year is None)
        return Period(first, first + timedelta(days=1), "day", said, year is None)

    def coming(self, month: int, said: str) -> Period:
        """The month of that number that has not begun yet."""
        return self.absolute(self._now.year + (month <= self._now.month), month, None, said)

    def _latest_year(self, month: int, day: int) -> int:
        """The latest year in which that day has begun (and exists)."""
        for year in range(self._now.year, self._now.year - 9, -1):
            try:
                if self._today.replace(year=year, month=month, day=day) <= self._today:
                    return year
            except ValueError:
                continue
        return self._now.year

    def day(self, days: int, said: str) -> Period:
        """So many days from today."""
        return _day(self._today + timedelta(days=days), said)

    def lately(self, count: int, unit: str, said: str) -> Period:
        """From so many units ago until today."""
        since = self._now - timedelta(days=count * _DAYS[unit])
        return Period(since, self._now + timedelta(days=1), "range", said)

    def shifted(self, unit: str, step: int, said: str) -> Period:
        """The last (`step` -1), this (0) or next (1) day, week, weekend, month or year."""
        return Period(*self._unit(unit, step), unit, said)

    def weekday_of(self, unit: str, step: int, weekday: int, said: str) -> Period:
        """A weekday of the last, this or next week."""
        since, _ = self._unit(unit, step)
        return _day(since + timedelta(days=weekday), said)

    def _unit(self, unit: str, step: int) -> tuple[datetime, datetime]:
        today = self._today
        if unit == "day":
            return today + timedelta(days=step), today + timedelta(days=step + 1)
        if unit in {"week", "weekend"}:
            monday = today - timedelta(days=today.weekday()) + timedelta(weeks=step)
            return (monday if unit == "week" else monday + timedelta(days=4)), monday + timedelta(days=7)
        if unit == "month":
            first = today.replace(day=1)
            first = (first - timedelta(days=1)).replace(day=1) if step < 0 else _next_month(first) if step else first
            return first, _next_month(first)
        first = today.replace(month=1, day=1, year=today.year + step)
        return first, first.replace(year=first.year + 1)

    def weekday(self, weekday: int, shift: str, said: str) -> Period:
        """`shift`: 'last', 'next', or anything else for the latest."""
        gap = (self._today.weekday() - weekday) % 7
        first = self._today - timedelta(days=gap or (7 if shift == "last" else 0))
        if shift == "next":
            first = self._today + timedelta(days=(7 - gap) or 7)
        return _day(first, said)

    def season(self, season: str, year: int | None, step: int, said: str) -> Period:
        month = _SEASON_STARTS[season]
        first = self._today.replace(year=year or self._now.year, month=month, day=1)
        if year is None and step <= 0:
            while first > self._today or (step < 0 and _months_on(first, 3) > self._today):
                first = first.replace(year=first.year - 1)
        elif year is None and first <= self._today:
            first = first.replace(year=first.year + 1)
        return Period(first, _months_on(first, 3), "month", said, year is None and step == 0)

    def ago(self, count: int, unit: str, said: str) -> Period:
        """People round: the stretch is as wide as the unit, around the day that is meant."""
        if unit == "year":
            first = self._today.replace(year=self._today.year - count, month=1, day=1)
            return Period(first, first.replace(year=first.year + 1), "year", said)
        if unit == "month":
            first = _months_on(self._today.replace(day=1), -count)
            return Period(first, _next_month(first), "month", said)
        middle = self._today - timedelta(days=count * _DAYS[unit])
        slack = timedelta(days=0 if unit == "day" and count < 5 else max(1, count // 4) if unit == "day" else 3)
        return Period(middle - slack, middle + slack + timedelta(days=1), unit, said)

    def bounded(self, bound: str, period: Period) -> Period:
        """All time 'since', 'after', 'until' or 'before' `period`."""
        if bound == "since":
            return replace(period, until=max(self._now + timedelta(days=1), period.until), unit="range", yearly=False)
        if bound == "after":
            later = max(self._now + timedelta(days=1), period.until)
            return replace(period, since=period.until, until=later, unit="range", yearly=False)
        end = period.until if bound == "until" else period.since
        return replace(period, since=min(_EARLIEST, end), until=end, unit="range", yearly=False)


def beside(side: str, period: Period, count: int, unit: str, said: str) -> Period:
    """The two weeks 'before' or 'after' `period`: what lies between, and a little more."""
    width = timedelta(days=count * _DAYS[unit] + (3 if unit != "day" else 1))
    if side == "before":
        return replace(period, since=period.since - width, unit="range", said=said)
    return replace(period, until=period.until + width, unit="range", said=said)


def through(first: Period, last: Period) -> Period:
    """From the one to the end of the other."""
    if first.yearly and not last.yearly:
        first = replace(first, since=first.since.replace(year=last.since.year), until=last.until)
    since, until = min(first.since, last.since), max(first.until, last.until)
    return Period(since, until, "range", f"{first.said} - {last.said}", first.yearly and last.yearly)


def date_match(spoken: Sequence[Period], occurred: Array) -> Array:
    """0..1 for each message time (seconds since 1970): in a period, or in the days when it is still talked about."""
    best = np.zeros(len(occurred))
    for period in spoken:
        for back in range(_YEARS_BACK if period.yearly else 1):
            try:
                since, until = _years_back(period.since, back), _years_back(period.until, back)
            except ValueError:
                continue
            np.maximum(best, _suits(since.timestamp(), until.timestamp(), period.unit, occurred), out=best)
    return best


def _suits(since: float, until: float, unit: str, occurred: Array) -> Array:
    day = 86_400.0
    if unit == "year":
        return np.where((occurred >= since) & (occurred < until), 0.3, 0.0)
    inside = (occurred >= since - (day if unit == "day" else 0.0)) & (occurred < until)
    length, share = {"day": (14 * day, 1.0), "week": (14 * day, 0.6), "weekend": (14 * day, 0.6)}.get(
        unit, (31 * day, 0.6)
    )
    after = (
        (occurred >= until) & (occurred < until + length)
        if unit != "range"
        else np.zeros(len(occurred), dtype=np.bool_)
    )
    return np.where(inside, 1.0, np.where(after, share, 0.0))


def _years_back(moment: datetime, years: int) -> datetime:
    if not years:
        return moment
    try:
        return moment.replace(year=moment.year - years)
    except ValueError:
        return moment.replace(year=moment.year - years, day=28)


def _day(first: datetime, said: str) -> Period:
    return Period(first, first + timedelta(days=1), "day", said)


def _next_month(first: datetime) -> datetime:
    return _months_on(first, 1)


def _months_on(first: datetime, months: int) -> datetime:
    count = first.year * 12 + first.month - 1 + months
    return first.replace(year=count // 12, month=count % 12 + 1)
