"""How good a ranking is, for one question and for many. Pure."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

_WORDS = 500
NAMES = ("recall@5", "recall@10", "recall@20", "hit@10", "mrr", "ndcg@10", "session_recall@5", f"evidence@{_WORDS}w")
Figures = dict[str, float]


@dataclass(frozen=True, slots=True)
class Found:
    """One message of a ranking: what the figures need of it."""

    message_id: str
    session_id: str
    words: int


def figures(ranking: Sequence[Found], evidence: Sequence[str], sessions: Sequence[str]) -> Figures:
    """All of `NAMES`, each 0..1. `sessions` are the evidence's sessions.

    recall@k: the share of the evidence among the first k. nDCG against the ideal over all the evidence. Session recall
    among the first 5 different sessions. evidence@500w: the share inside the first 500 words returned, a speaker and a
    date (4 words) counted for each message.
    """
    gold = set(evidence)
    places = [place for place, found in enumerate(ranking) if found.message_id in gold]
    result = {f"recall@{k}": sum(place < k for place in places) / len(gold) for k in (5, 10, 20)}
    result["hit@10"] = float(any(place < 10 for place in places))
    result["mrr"] = 1 / (places[0] + 1) if places else 0.0
    ideal = sum(1 / math.log2(place + 2) for place in range(min(10, len(gold))))
    result["ndcg@10"] = sum(1 / math.log2(place + 2) for place in places if place < 10) / ideal
    first = list(dict.fromkeys(found.session_id for found in ranking))[:5]
    result["session_recall@5"] = len(set(sessions) & set(first)) / len(set(sessions))
    result[f"evidence@{_WORDS}w"] = len(_within(ranking, _WORDS) & gold) / len(gold)
    return result


def _within(ranking: Sequence[Found], words: int) -> set[str]:
    """The messages that fit into so many words, taken in order until one does not."""
    taken: set[str] = set()
    used = 0
    for found in ranking:
        used += found.words + 4
        if used > words:
            break
        taken.add(found.message_id)
    return taken


def mean(rows: Sequence[Mapping[str, float]]) -> Figures:
    """The mean of each figure; empty for no rows."""
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]} if rows else {}


@dataclass(frozen=True, slots=True)
class Difference:
    """A mean difference with the bounds of its 95 % bootstrap interval."""

    mean: float
    low: float
    high: float


def difference(ours: Sequence[float], theirs: Sequence[float], *, rounds: int = 2000, seed: int = 1) -> Difference:
    """`ours` minus `theirs` over the same questions, resampled question by question."""
    gaps = np.asarray(ours, dtype=np.float64) - np.asarray(theirs, dtype=np.float64)
    if not len(gaps):
        return Difference(0.0, 0.0, 0.0)
    picks = np.random.default_rng(seed).integers(0, len(gaps), size=(rounds, len(gaps)))
    low, high = np.percentile(gaps[picks].mean(axis=1), [2.5, 97.5])
    return Difference(float(gaps.mean()), float(low), float(high))
