"""Running a recall bench from a data file to a report."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from memory.errors import Invalid
from memory.ports import Embedder
from memory.recall.weights import weights_for
from server.bench.datasets import Conversation, load
from server.bench.metrics import Found, figures
from server.bench.rankings import Ranking, baselines, recall_ranking, topic_evidence
from server.bench.report import RecallReport, Row, Run
from server.bench.store import BenchStore, Told, filled


def _silent(what: str, done: int, total: int) -> None:
    """No progress shown."""


def run_recall_bench(
    data_path: Path,
    model: Embedder | None,
    *,
    without: Sequence[str] = (),
    ablate: bool = False,
    compare: bool = False,
    reworded: bool = False,
    directory: Path | None = None,
    told: Told = _silent,
) -> RecallReport:
    """Records the data set in a real store, asks every question, and reports.

    `without` switches features off; `ablate` compares with each feature off in turn, `compare` with the baselines and
    with recall whole when something is off; `reworded` passes the questions' own `queries` on; `directory` keeps the
    store there. Errors: Invalid (file, feature), Unavailable (index).
    """
    conversations = load(data_path)
    weights = weights_for(model.name if model else None)
    used = _less(weights, without)
    with filled(conversations, model, directory, told) as bench:
        main = _run(
            "recall" + "".join(f" -{name}" for name in without),
            recall_ranking(bench, used, reworded=reworded),
            bench,
            conversations,
            told,
        )
        topics = topic_evidence(bench, used, conversations, told)
        others: dict[str, Ranking] = {}
        if compare:
            others |= baselines(bench)
            if without:
                others["recall"] = recall_ranking(bench, weights, reworded=reworded)
        if ablate:
            for name in [n for n, weight in used.items() if weight]:
                others[f"without {name}"] = recall_ranking(bench, _less(used, [name]), reworded=reworded)
        compared = tuple(_run(name, ranking, bench, conversations, told) for name, ranking in others.items())
    return RecallReport(
        data=data_path.name,
        embedder=model.name if model else "none",
        conversations=len(conversations),
        messages=sum(len(s.messages) for c in conversations for s in c.sessions),
        left_out=sum(c.left_out for c in conversations),
        main=main,
        topics=topics,
        others=compared,
    )


def _less(weights: Mapping[str, float], without: Sequence[str]) -> dict[str, float]:
    for name in without:
        if name not in weights:
            raise Invalid("The feature", f"{name!r} is not known", f"known are {', '.join(weights)}")
    return {name: 0.0 if name in without else weight for name, weight in weights.items()}


def _run(name: str, ranking: Ranking, bench: BenchStore, conversations: Sequence[Conversation], told: Told) -> Run:
    rows: list[Row] = []
    total = sum(len(c.questions) for c in conversations)
    for conversation in conversations:
        for question in conversation.questions:
            told(name, len(rows), total)
            began = time.perf_counter()
            found = ranking(conversation, question)
            took = 1000 * (time.perf_counter() - began)
            evidence = [bench.ids[conversation.name, e] for e in question.evidence]
            rows.append(
                Row(
                    conversation=conversation.name,
                    question_id=question.question_id,
                    question=question.text,
                    category=question.category,
                    asked_at=question.asked_at.isoformat(),
                    milliseconds=took,
                    figures=figures(found, evidence, [bench.sessions[e] for e in evidence]),
                    places=_places(found, evidence),
                    first=tuple(hit.message_id for hit in found[:10]),
                )
            )
    told(name, total, total)
    return Run(name, tuple(rows))


def _places(found: Sequence[Found], evidence: Sequence[str]) -> dict[str, int | None]:
    at = {hit.message_id: place for place, hit in enumerate(found, 1)}
    return {name: at.get(name) for name in evidence}
