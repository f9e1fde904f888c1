"""The times a question speaks of: absolute, relative to now, ranges."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from memory.model import QUERY_LENGTH
from memory.recall.date_bounds import Calendar, Period, beside, through
from memory.recall.date_scan import Mark, may_speak_of_time, scan
from memory.recall.dates_elsewhere import locale_of, read_dates
from memory.recall.languages import plausible, script_language
from memory.recall.terms import words

_STEPS = {"last": -1, "back": -1, "this": 0, "next": 1}


def periods(text: str, now: datetime) -> tuple[Period, ...]:
    """What `text` says of time, relative to `now` (aware, in the user's zone); [] when it says nothing."""
    text = text[:QUERY_LENGTH]
    marks = scan(text)
    found = list(_Reader(marks, Calendar(now)).read()) if may_speak_of_time(marks) else []
    return tuple(dict.fromkeys(found or _elsewhere(text, now)))


def _elsewhere(text: str, now: datetime) -> list[Period]:
    """In the languages that are left to a library."""
    pieces = words(text)
    scripts = {script for script in map(script_language, pieces) if script}
    locale = locale_of(text, tuple(scripts) if len(scripts) == 1 else plausible(pieces))
    if locale is None:
        return []
    calendar = Calendar(now)
    return [calendar.around(moment, unit, said) for moment, unit, said in read_dates(text, locale, now)]


class _Reader:
    """Reads marks from left to right, the longest reading first."""

    def __init__(self, marks: Sequence[Mark], calendar: Calendar) -> None:
        self._marks = marks
        self._calendar = calendar

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
                yield period if pending is None else through(pending, period)
                pending, bound = None, None
            else:
                yield self._calendar.bounded(bound, period)
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
        return beside(self._kind(bound), period, count, unit, self._said(start, end)), end

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
            return self._calendar.coming(mark.number, self._said(at, month + 1)), month + 1
        return self._with_year(at, month + 1, mark.number, None)

    def _absolute(
        self, start: int, end: int, year: int | None, month: int | None, day: int | None
    ) -> tuple[Period, int]:
        return self._calendar.absolute(year, month, day, self._said(start, end)), end

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
                return self._shifted(at, after + 1, kind, self._marks[after])
        if kind in {"unit", "weekday", "season"}:
            after = self._past_fill(at + 1)
            shift = self._kind(after)
            if shift in {"last", "next", "back"} and not self._begins_own(after):
                return self._shifted(at, after + 1, shift, self._marks[at])
        if kind == "number" and self._kind(at + 1) == "back" and self._kind(at + 2) == "unit":
            return self._lately(at, at + 3, self._marks[at].number, self._marks[at + 2].value)
        return None

    def _begins_own(self, at: int) -> bool:
        """Whether what stands at `at` rather belongs to what follows it: "on Monday, last week"."""
        return self._marks[at].text in {"last", "next", "past"} and self._kind(at + 1) in {"unit", "weekday", "month"}

    def _weekday_of(self, at: int, unit: int, day: int) -> tuple[Period, int]:
        """先週の月曜日, 上周一: that day of that week."""
        step, said = _STEPS[self._kind(at)], self._said(at, day + 1)
        return self._calendar.weekday_of(self._marks[unit].value, step, self._marks[day].number, said), day + 1

    def _lately(self, start: int, end: int, count: int, unit: str) -> tuple[Period, int]:
        return self._calendar.lately(count, unit, self._said(start, end)), end

    def _shifted(self, start: int, end: int, shift: str, mark: Mark) -> tuple[Period, int]:
        said = self._said(start, end)
        if mark.kind == "weekday":
            return self._calendar.weekday(mark.number, "last" if shift == "back" else shift, said), end
        if mark.kind == "season":
            return self._calendar.season(mark.value, None, _STEPS[shift], said), end
        return self._calendar.shifted(mark.value, _STEPS[shift], said), end

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
        return self._calendar.ago(count, unit, self._said(start, end)), end

    def _single(self, at: int) -> tuple[Period, int] | None:
        """yesterday; Monday; Christmas 2022; summer of 2022; 2022."""
        mark = self._marks[at]
        if mark.kind == "day":
            return self._calendar.day(mark.number, mark.text), at + 1
        if mark.kind == "weekday":
            shown = self._kind(at - 1) != "word" or self._kind(at + 1) in {"stop", "end"}
            return (self._calendar.weekday(mark.number, "on", mark.text), at + 1) if shown else None
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
            return (self._calendar.season(mark.value, known, 0, self._said(at, end)), end) if shown else None
        return None
