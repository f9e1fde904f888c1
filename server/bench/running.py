"""Asks every question of a data set, and sets the figures beside those of the baselines."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from memory.errors import Invalid
from memory.ports import Embedder
from memory.recall.ranking import FEATURES
from server.bench.datasets import APART, BenchQuestion, Conversation, load
from server.bench.metrics import NAMES, Figures, difference, figures, mean
from server.bench.rankings import Ranking, baseline_rankings, recall_ranking
from server.bench.store import BenchStore, Told, filled

COMPARED = ("recall@10", "ndcg@10")


@dataclass(frozen=True, slots=True)
class Plan:
    """What to measure: `without` switches features off, `ablate` does so one by one, beside the whole."""

    data: Path
    without: tuple[str, ...] = ()
    ablate: bool = False
    baselines: bool = True
    reworded: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """One question's figures under one ranking."""

    conversation: str
    question: BenchQuestion
    ranked: tuple[str, ...]
    figures: Figures


def run_recall_bench(plan: Plan, embedder: Embedder | None, told: Told) -> dict[str, Any]:
    """The whole measurement as JSON: `overall`, `by_category`, `apart`, `rankings` with differences, `questions`.

    Errors: Invalid for a file that cannot be read or a feature that does not exist.
    """
    unknown = [name for name in plan.without if name not in FEATURES]
    if unknown:
        raise Invalid("--without", f"names {unknown[0]!r}", f"features are {', '.join(FEATURES)}")
    conversations = load(plan.data)
    with filled(conversations, embedder, None, told) as bench:
        compared = {"recall": recall_ranking(bench, without=plan.without, reworded=plan.reworded)}
        if plan.ablate:
            for name in FEATURES:
                without = (*plan.without, name)
                compared[f"without {name}"] = recall_ranking(bench, without=without, reworded=plan.reworded)
        if plan.baselines:
            compared.update(baseline_rankings(bench))
        rows = {name: asked(bench, conversations, rank, name, told) for name, rank in compared.items()}
    return report(plan, embedder, conversations, rows)


def asked(bench: BenchStore, conversations: Sequence[Conversation], rank: Ranking, name: str, told: Told) -> list[Row]:
    rows: list[Row] = []
    every = [(conversation, question) for conversation in conversations for question in conversation.questions]
    for done, (conversation, question) in enumerate(every):
        told(f"asking, {name}", done, len(every))
        evidence = [bench.ids[conversation.name, wanted] for wanted in question.evidence]
        ranking = rank(conversation, question)
        measured = figures(ranking, evidence, [bench.sessions[message_id] for message_id in evidence])
        rows.append(Row(conversation.name, question, tuple(hit.message_id for hit in ranking[:20]), measured))
    told(f"asking, {name}", len(every), len(every))
    return rows


def report(
    plan: Plan, embedder: Embedder | None, conversations: Sequence[Conversation], rows: Mapping[str, list[Row]]
) -> dict[str, Any]:
    ours = rows["recall"]
    counted = total(ours)
    categories = sorted({row.question.category for row in ours})
    return {
        "data": plan.data.name,
        "embedder": embedder.name if embedder else None,
        "without": list(plan.without),
        "conversations": len(conversations),
        "messages": sum(len(session.messages) for c in conversations for session in c.sessions),
        "questions_asked": len(counted),
        "questions_left_out": sum(c.left_out for c in conversations),
        "overall": mean([row.figures for row in counted]),
        "by_category": {name: of_category(ours, name) for name in categories if name not in APART},
        "apart": {name: of_category(ours, name) for name in categories if name in APART},
        "rankings": {name: compared(counted, total(others)) for name, others in rows.items()},
        "questions": [as_json(row) for row in ours],
    }


def total(rows: Sequence[Row]) -> list[Row]:
    return [row for row in rows if row.question.category not in APART]


def of_category(rows: Sequence[Row], category: str) -> dict[str, float]:
    picked = [row.figures for row in rows if row.question.category == category]
    return {"questions": len(picked), **mean(picked)}


def compared(ours: Sequence[Row], others: Sequence[Row]) -> dict[str, Any]:
    """A ranking's figures, and how far ours is above it, with the bounds of a 95 % bootstrap interval."""
    gaps = {
        name: difference([row.figures[name] for row in ours], [row.figures[name] for row in others])
        for name in COMPARED
    }
    return {
        **mean([row.figures for row in others]),
        "ours_minus_this": {name: [gap.mean, gap.low, gap.high] for name, gap in gaps.items()},
    }


def as_json(row: Row) -> dict[str, Any]:
    return {
        "conversation": row.conversation,
        "question_id": row.question.question_id,
        "question": row.question.text,
        "category": row.question.category,
        "evidence": list(row.question.evidence),
        "ranked": list(row.ranked),
        **{name: row.figures[name] for name in NAMES},
    }
