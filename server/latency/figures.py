"""Timings, and how they are shown."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from time import perf_counter
from typing import Any


@dataclass(frozen=True, slots=True)
class Timings:
    """Milliseconds of single calls."""

    count: int
    p50: float
    p95: float
    p99: float

    @classmethod
    def of(cls, seconds: Iterable[float]) -> "Timings":
        ordered = sorted(one * 1000 for one in seconds)

        def at(share: float) -> float:
            return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))], 3)

        return cls(len(ordered), at(0.5), at(0.95), at(0.99))


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the report: what was timed, its floor from the same run, and what else is worth saying."""

    what: str
    timings: Timings
    floor: Timings | None = None
    note: str = ""

    def as_json(self) -> dict[str, Any]:
        told: dict[str, Any] = {"what": self.what, "ms": shown(self.timings)}
        if self.floor:
            told["floor_ms"] = shown(self.floor)
        return told | ({"note": self.note} if self.note else {})


def shown(timings: Timings) -> dict[str, float]:
    return {"p50": timings.p50, "p95": timings.p95, "p99": timings.p99, "count": timings.count}


def timed(call: Callable[[], object]) -> float:
    """Seconds that the call took."""
    started = perf_counter()
    call()
    return perf_counter() - started


def markdown(figures: Iterable[Figure]) -> str:
    """A table: milliseconds of p50 / p95 / p99, and the floor's."""
    lines = ["| | p50 | p95 | p99 ms | floor p50 | p95 ms | |", "|---|---|---|---|---|---|---|"]
    for figure in figures:
        ours = " | ".join(number(value) for value in (figure.timings.p50, figure.timings.p95, figure.timings.p99))
        floor = f"{number(figure.floor.p50)} | {number(figure.floor.p95)}" if figure.floor else " | "
        lines.append(f"| {figure.what} | {ours} | {floor} | {figure.note} |")
    return "\n".join(lines)


def number(milliseconds: float) -> str:
    return f"{milliseconds:.2f}" if milliseconds < 10 else f"{milliseconds:.0f}"
