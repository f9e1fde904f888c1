"""What a run found, as data and as tables."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from server.bench.datasets import APART
from server.bench.metrics import NAMES, Difference, Figures, difference, mean

_JUDGED = ("recall@5", "recall@10", "ndcg@10")


@dataclass(frozen=True, slots=True)
class Row:
    """One question's outcome: its figures, and where its evidence stood (1 is first; None: not found)."""

    conversation: str
    question_id: str
    question: str
    category: str
    asked_at: str
    milliseconds: float
    figures: Figures
    places: Mapping[str, int | None]
    first: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Run:
    """One way of ranking over all questions."""

    name: str
    rows: tuple[Row, ...]

    def counted(self) -> list[Row]:
        """The questions of the total: adversarial ones stand apart."""
        return [row for row in self.rows if row.category not in APART]

    def overall(self) -> Figures:
        return mean([row.figures for row in self.counted()])

    def by_category(self) -> dict[str, Figures]:
        names = sorted({row.category for row in self.rows})
        return {name: mean([row.figures for row in self.rows if row.category == name]) for name in names}

    def by_conversation(self) -> dict[str, Figures]:
        names = dict.fromkeys(row.conversation for row in self.counted())
        return {name: mean([row.figures for row in self.counted() if row.conversation == name]) for name in names}

    def against(self, other: "Run") -> dict[str, Difference]:
        """This run minus `other`, over the same questions."""
        ours, theirs = self.counted(), other.counted()
        return {
            name: difference([r.figures[name] for r in ours], [r.figures[name] for r in theirs]) for name in _JUDGED
        }


@dataclass(frozen=True, slots=True)
class RecallReport:
    """The run that was asked for, and what it was compared with.

    `topics`: the share of the evidence in what `get_context_around_topic` gives, by its budget in tokens.
    """

    data: str
    embedder: str
    conversations: int
    messages: int
    left_out: int
    main: Run
    topics: Mapping[int, float]
    others: tuple[Run, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Everything, per question as well."""
        rows = self.main.rows
        return {
            "data": self.data,
            "embedder": self.embedder,
            "conversations": self.conversations,
            "messages": self.messages,
            "questions": len(self.main.counted()),
            "questions_apart": len(rows) - len(self.main.counted()),
            "questions_left_out": self.left_out,
            "ranking": self.main.name,
            "overall": self.main.overall(),
            "by_category": self.main.by_category(),
            "by_conversation": self.main.by_conversation(),
            "topic_evidence": {str(tokens): share for tokens, share in self.topics.items()},
            "search_ms": latency(rows),
            "compared": [self._compared(other) for other in self.others],
            "rows": [asdict(row) for row in rows],
        }

    def _compared(self, other: Run) -> dict[str, Any]:
        gaps = {name: asdict(gap) for name, gap in self.main.against(other).items()}
        return {"ranking": other.name, "overall": other.overall(), "difference_of_ours": gaps}


def latency(rows: Sequence[Row]) -> dict[str, float]:
    """Milliseconds of a search, its embedding included: p50 and p95."""
    times = sorted(row.milliseconds for row in rows)
    if not times:
        return {}
    return {"p50": times[len(times) // 2], "p95": times[min(len(times) - 1, int(len(times) * 0.95))]}


def show(report: RecallReport, console: Console) -> None:
    """The tables, for people."""
    head = f"{report.messages} messages, {len(report.main.counted())} questions, embedder {report.embedder}"
    table = Table(title=f"{report.data}: {head}", title_justify="left")
    table.add_column("ranking")
    table.add_column("n", justify="right")
    for name in NAMES:
        table.add_column(name.replace("session_recall", "session r").replace("recall", "r"), justify="right")
    for run in (report.main, *report.others):
        _add(table, run.name, len(run.counted()), run.overall())
    table.add_section()
    for category, figures in report.main.by_category().items():
        count = sum(row.category == category for row in report.main.rows)
        _add(table, f"  {category}" + (" (apart)" if category in APART else ""), count, figures)
    if report.conversations > 1:
        table.add_section()
        for name, figures in report.main.by_conversation().items():
            _add(table, f"  {name}", sum(row.conversation == name for row in report.main.counted()), figures)
    console.print(table)
    for other in report.others:
        gaps = report.main.against(other)
        said = ", ".join(f"{name} {_signed(gap)}" for name, gap in gaps.items())
        console.print(f"{report.main.name} against {other.name}: {said}")
    inside = ", ".join(f"{100 * share:.1f} within {tokens} tokens" for tokens, share in report.topics.items())
    console.print(f"get_context_around_topic: evidence {inside}")
    times = latency(report.main.rows)
    console.print(f"a search took p50 {times.get('p50', 0):.1f} ms, p95 {times.get('p95', 0):.1f} ms")
    if report.left_out:
        console.print(f"{report.left_out} questions without usable evidence were left out")


def _add(table: Any, name: str, count: int, figures: Figures) -> None:
    table.add_row(name, str(count), *(f"{100 * figures[key]:.1f}" if figures else "-" for key in NAMES))


def _signed(gap: Difference) -> str:
    return f"{100 * gap.mean:+.1f} [{100 * gap.low:+.1f}, {100 * gap.high:+.1f}]"
