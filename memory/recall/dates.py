"""The times a question speaks of: absolute, relative to now, ranges; and how well a message's time suits them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import numpy as np

from memory.recall.columns import Array
from memory.recall.date_scan import Mark, may_speak_of_time, scan
from memory.recall.dates_elsewhere import locale_of, read_dates
from memory.recall.languages import plausible, script_language
from memory.recall.terms import words

YEARS_BACK = 12
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


def periods(text: str, now: datetime) -> tuple[Period, ...]:
    """What `text` says of time, relative to `now` (aware, in the user's zone); [] when it says nothing."""
    marks = scan(text)
    found = list(_Reader(marks, now).read()) if may_speak_of_time(marks) else []
    return tuple(dict.fromkeys(found or _elsewhere(text, now)))


def _elsewhere(text: str, now: datetime) -> list[Period]:
    """In the languages that are left to a library."""
    pieces = words(text)
    scripts = {script for script in map(script_language, pieces) if script}
    locale = locale_of(text, tuple(scripts) if len(scripts) == 1 else plausible(pieces))
    if locale is None:
        return []
    reader = _Reader((), now)
    return [reader.around(moment, unit, said) for moment, unit, said in read_dates(text, locale, now)]


def date_match(spoken: Sequence[Period], occurred: Array) -> Array:
    """0..1 for each message time (seconds since 1970): in a period, or in the days when it is still talked about."""
    best = np.zeros(len(occurred))
    for period in spoken:
        for back in range(YEARS_BACK if period.yearly else 1):
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


class _Reader:
    """Reads marks from left to right, the longest reading first."""

    def __init__(self, marks: Sequence[Mark], now: datetime) -> None:
        self._marks = marks
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

    def read(self) -> Iterable[Period]:
        at = 0
        bound: str | None = None
        bound_at = -9
        pending: Period | None = None
        while at < len(self._marks):
            mark = self._marks[at]
            try:
                found = self._at(at)
            except (ValueError, OverflowError):
                found = None
            if found is not None and self._kind(found[1]) in {"before", "after"}:
                near = self._next_to(at, found[1])
                if near is not None:
                    yield near[0]
                    at, bound = near[1], None
                    continue
            if found is None:
                near = self._next_to(at, self._span(at))
                if near is not None:
                    yield near[0]
                    at, bound = near[1], None
                    continue
                if mark.kind in {"since", "until", "before", "after", "between"}:
                    bound, bound_at = mark.kind, at
                at += 1
                continue
            period, end = found
            limit = {"between": 2, "since": 6}.get(bound or "", 3)
            if bound is None or at - bound_at > limit:
                yield period
                pending = None
            elif bound == "between" and pending is None and self._kind(end) == "and":
                pending = period
                bound_at = end
                at = end + 1
                continue
            elif bound == "between":
                yield period if pending is None else _through(pending, period)
                pending, bound = None, None
            else:
                yield self._bounded(bound, period)
                bound = None
            at = end
        if pending is not None:
            yield pending

    def _span(self, at: int) -> int:
        """The end of "two weeks" or "weekend" at `at`; `at` itself where neither stands there."""
        unit = at + 1 if self._kind(at) == "number" else at
        return unit + 1 if self._kind(unit) == "unit" else at

    def _next_to(self, start: int, bound: int) -> tuple[Period, int] | None:
        """The week before 9 June, two days after Christmas, the Sunday before 25 May: what lies between."""
        if bound == start or self._kind(bound) not in {"before", "after"}:
            return None
        other = self._at(self._past_fill(bound + 1))
        if other is None:
            return None
        period, end = other
        count = next((m.number for m in self._marks[start:bound] if m.kind == "number"), 1)
        unit = next((m.value for m in self._marks[start:bound] if m.kind == "unit"), "week")
        width = timedelta(days=count * _DAYS[unit] + (3 if unit != "day" else 1))
        said = self._said(start, end)
        if self._kind(bound) == "before":
            return replace(period, since=period.since - width, unit="range", said=said), end
        return replace(period, until=period.until + width, unit="range", said=said), end

    def _bounded(self, bound: str, period: Period) -> Period:
        if bound == "since":
            return replace(period, until=max(self._now + timedelta(days=1), period.until), unit="range", yearly=False)
        if bound == "after":
            later = max(self._now + timedelta(days=1), period.until)
            return replace(period, since=period.until, until=later, unit="range", yearly=False)
        end = period.until if bound == "until" else period.since
        return replace(period, since=min(_EARLIEST, end), until=end, unit="range", yearly=False)

    def _kind(self, at: int) -> str:
        return self._marks[at].kind if 0 <= at < len(self._marks) else "end"

    def _past_fill(self, at: int) -> int:
        while self._kind(at) == "fill":
            at += 1
        return at

    def _at(self, at: int) -> tuple[Period, int] | None:
        """(the period that begins at this mark, the mark after it)."""
        for reading in (self._date, self._day_month, self._month, self._relative, self._count, self._single):
            found = reading(at)
            if found is not None:
                return found
        return None

    def _said(self, start: int, end: int) -> str:
        return " ".join(mark.text for mark in self._marks[start:end] if mark.text)

    def _date(self, at: int) -> tuple[Period, int] | None:
        if self._kind(at) != "date":
            return None
        year, month, *rest = (int(part) for part in self._marks[at].value.split("-"))
        return self._absolute(at, at + 1, year or None, month or None, (rest[0] if rest else 0) or None)

    def _day_month(self, at: int) -> tuple[Period, int] | None:
        """7 May 2023; the 7th of May; 7 de mayo de 2023; May 7, 2023."""
        if self._kind(at) == "number" and 1 <= self._marks[at].number <= 31:
            month = self._past_fill(at + 1)
            if self._kind(month) == "month":
                return self._with_year(at, month + 1, self._marks[month].number, self._marks[at].number)
        if self._kind(at) == "month":
            day = self._past_fill(at + 1)
            if self._kind(day) == "number" and 1 <= self._marks[day].number <= 31 and self._kind(day + 1) != "unit":
                return self._with_year(at, day + 1, self._marks[at].number, self._marks[day].number)
        return None

    def _with_year(self, start: int, at: int, month: int, day: int | None) -> tuple[Period, int]:
        year = self._past_fill(at)
        if self._kind(year) == "year":
            return self._absolute(start, year + 1, self._marks[year].number, month, day)
        return self._absolute(start, at, None, month, day)

    def _month(self, at: int) -> tuple[Period, int] | None:
        """in May; May 2023; last May. `may`, `march` and short forms need something that shows a month is meant."""
        relative = self._kind(at) if self._kind(at) in {"last", "this", "next"} else None
        month = at + 1 if relative else at
        if self._kind(month) != "month":
            return None
        mark = self._marks[month]
        after = self._kind(self._past_fill(month + 1))
        shown = (
            relative
            or after == "year"
            or self._kind(at - 1) in {"fill", "since", "until", "before", "after", "between", "and"}
        )
        if (
            (mark.text in {"may", "march", "mars", "marche"} or len(mark.text) < 4)
            and not shown
            and len(self._marks) > 1
        ):
            return None
        if relative == "next":
            year = self._now.year + (mark.number <= self._now.month)
            return self._absolute(at, month + 1, year, mark.number, None)
        return self._with_year(at, month + 1, mark.number, None)

    def _absolute(
        self, start: int, end: int, year: int | None, month: int | None, day: int | None
    ) -> tuple[Period, int]:
        said = self._said(start, end)
        known = year or self._latest_year(month or 1, day or 1)
        if month is None:
            first = self._today.replace(year=known, month=1, day=1)
            return Period(first, first.replace(year=known + 1), "year", said), end
        first = self._today.replace(year=known, month=month, day=day or 1)
        if day is None:
            return Period(first, _next_month(first), "month", said, year is None), end
        return Period(first, first + timedelta(days=1), "day", said, year is None), end

    def _latest_year(self, month: int, day: int) -> int:
        """The latest year in which that day has begun (and exists)."""
        for year in range(self._now.year, self._now.year - 9, -1):
            try:
                if self._today.replace(year=year, month=month, day=day) <= self._today:
                    return year
            except ValueError:
                continue
        return self._now.year

    def _relative(self, at: int) -> tuple[Period, int] | None:
        """last week, la semaine dernière, next Monday, the last three months, this summer."""
        kind = self._kind(at)
        if kind in {"last", "this", "next", "back"}:
            after = self._past_fill(at + 1)
            if self._kind(after) in {"number", "days"} and self._kind(after + 1) == "unit":
                return self._lately(at, after + 2, self._marks[after].number, self._marks[after + 1].value)
            if self._marks[at].text in {"past", "back"} and self._kind(after) == "unit":
                return self._lately(at, after + 1, 1, self._marks[after].value)
            if self._kind(after) in {"unit", "weekday", "season"}:
                day = self._past_fill(after + 1)
                if self._kind(after) == "unit" and self._kind(day) == "weekday" and kind != "back":
                    return self._weekday_of(at, after, day)
                return self._shifted(at, after + 1, "last" if kind == "back" else kind, self._marks[after])
        if kind in {"unit", "weekday", "season"}:
            after = self._past_fill(at + 1)
            shift = self._kind(after)
            if shift in {"last", "next", "back"} and not self._begins_own(after):
                return self._shifted(at, after + 1, "last" if shift == "back" else shift, self._marks[at])
        if kind == "number" and self._kind(at + 1) == "back" and self._kind(at + 2) == "unit":
            return self._lately(at, at + 3, self._marks[at].number, self._marks[at + 2].value)
        return None

    def _begins_own(self, at: int) -> bool:
        """Whether what stands at `at` rather belongs to what follows it: "on Monday, last week"."""
        return self._marks[at].text in {"last", "next", "past"} and self._kind(at + 1) in {"unit", "weekday", "month"}

    def _weekday_of(self, at: int, unit: int, day: int) -> tuple[Period, int]:
        """先週の月曜日, 上周一: that day of that week."""
        week, _ = self._shifted(at, unit + 1, self._kind(at), self._marks[unit])
        first = week.since + timedelta(days=self._marks[day].number)
        return Period(first, first + timedelta(days=1), "day", self._said(at, day + 1)), day + 1

    def _lately(self, start: int, end: int, count: int, unit: str) -> tuple[Period, int]:
        since = self._now - timedelta(days=count * _DAYS[unit])
        return Period(since, self._now + timedelta(days=1), "range", self._said(start, end)), end

    def _shifted(self, start: int, end: int, shift: str, mark: Mark) -> tuple[Period, int]:
        step = {"last": -1, "this": 0, "next": 1}[shift]
        said = self._said(start, end)
        if mark.kind == "weekday":
            return self._weekday(mark.number, shift, said), end
        if mark.kind == "season":
            return self._season(mark.value, None, step, said), end
        first, last = self._unit(mark.value, step)
        return Period(first, last, mark.value, said), end

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

    def _weekday(self, weekday: int, shift: str, said: str) -> Period:
        gap = (self._today.weekday() - weekday) % 7
        first = self._today - timedelta(days=gap or (7 if shift == "last" else 0))
        if shift == "next":
            first = self._today + timedelta(days=(7 - gap) or 7)
        return Period(first, first + timedelta(days=1), "day", said)

    def _season(self, season: str, year: int | None, step: int, said: str) -> Period:
        month = _SEASON_STARTS[season]
        first = self._today.replace(year=year or self._now.year, month=month, day=1)
        if year is None and step <= 0:
            while first > self._today or (step < 0 and _months_on(first, 3) > self._today):
                first = first.replace(year=first.year - 1)
        elif year is None and first <= self._today:
            first = first.replace(year=first.year + 1)
        return Period(first, _months_on(first, 3), "month", said, year is None and step == 0)

    def _count(self, at: int) -> tuple[Period, int] | None:
        """two months ago, vor zwei Monaten, il y a 3 jours, 2 недели назад, قبل شهرين."""
        kind = self._kind(at)
        if kind in {"days", "weeks", "months", "years"}:
            return self._ago(at, at + 1, self._marks[at].number, kind[:-1])
        if kind == "number" and self._kind(self._past_fill(at + 1)) == "unit":
            unit = self._past_fill(at + 1)
            if self._kind(unit + 1) == "ago":
                return self._ago(at, unit + 2, self._marks[at].number, self._marks[unit].value)
        if kind == "ago":
            number = self._past_fill(at + 1)
            if self._kind(number) in {"days", "weeks", "months", "years"}:
                return self._ago(at, number + 1, self._marks[number].number, self._kind(number)[:-1])
            unit = self._past_fill(number + 1)
            if self._kind(number) == "number" and self._kind(unit) == "unit":
                return self._ago(at, unit + 1, self._marks[number].number, self._marks[unit].value)
            if self._kind(number) == "unit" and self._marks[at].text in {"قبل", "منذ"}:
                return self._ago(at, number + 1, 1, self._marks[number].value)
        if kind == "unit" and self._kind(at + 1) == "ago" and self._marks[at + 1].text in {"назад", "ago"}:
            return self._ago(at, at + 2, 1, self._marks[at].value)
        return None

    def _ago(self, start: int, end: int, count: int, unit: str) -> tuple[Period, int]:
        """People round: the stretch is as wide as the unit, around the day that is meant."""
        said = self._said(start, end)
        if unit == "year":
            first = self._today.replace(year=self._today.year - count, month=1, day=1)
            return Period(first, first.replace(year=first.year + 1), "year", said), end
        if unit == "month":
            first = _months_on(self._today.replace(day=1), -count)
            return Period(first, _next_month(first), "month", said), end
        middle = self._today - timedelta(days=count * _DAYS[unit])
        slack = timedelta(days=0 if unit == "day" and count < 5 else max(1, count // 4) if unit == "day" else 3)
        return Period(middle - slack, middle + slack + timedelta(days=1), unit, said), end

    def _single(self, at: int) -> tuple[Period, int] | None:
        """yesterday; Monday; Christmas 2022; summer of 2022; 2022."""
        mark = self._marks[at]
        if mark.kind == "day":
            first = self._today + timedelta(days=mark.number)
            return Period(first, first + timedelta(days=1), "day", mark.text), at + 1
        if mark.kind == "weekday":
            shown = self._kind(at - 1) != "word" or self._kind(at + 1) in {"stop", "end"}
            return (self._weekday(mark.number, "on", mark.text), at + 1) if shown else None
        if mark.kind == "year":
            return self._absolute(at, at + 1, mark.number, None, None)
        if mark.kind == "feast":
            month, day = (int(part) for part in mark.value.split("-"))
            return self._with_year(at, at + 1, month, day)
        if mark.kind == "season":
            year = self._past_fill(at + 1)
            known = self._marks[year].number if self._kind(year) == "year" else None
            end = year + 1 if known else at + 1
            shown = known is not None or self._kind(at - 1) == "fill" or len(self._marks) == 1
            return (self._season(mark.value, known, 0, self._said(at, end)), end) if shown else None
        return None


def _through(first: Period, last: Period) -> Period:
    if first.yearly and not last.yearly:
        first = replace(first, since=first.since.replace(year=last.since.year), until=last.until)
    since, until = min(first.since, last.since), max(first.until, last.until)
    return Period(since, until, "range", f"{first.said} - {last.said}", first.yearly and last.yearly)


def _next_month(first: datetime) -> datetime:
    return _months_on(first, 1)


def _months_on(first: datetime, months: int) -> datetime:
    count = first.year * 12 + first.month - 1 + months
    return first.replace(year=count // 12, month=count % 12 + 1)
