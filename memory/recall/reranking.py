"""The optional second look: a model that reads question and message together. Off unless one is handed in."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from memory.model import Hit
from memory.recall.passages import speaker_name

TOP = 30
"""Hits that are looked at again."""

_WEIGHT = 0.19
"""What one unit of the model's scale counts beside the score of parts."""

_READ = 2_000
"""Characters of a message that the model is given."""

log = logging.getLogger("backstory.recall")


class Reranker(Protocol):
    """A cross-encoder; slower and better than any score of parts. Measured: a little better for 0.4 s of CPU."""

    def scores(self, query: str, texts: Sequence[str]) -> Sequence[float]:
        """One figure a text, higher is better, on the scale of a logit."""
        ...


def reranked(reranker: Reranker, query: str, hits: Sequence[Hit]) -> list[Hit]:
    """The first `TOP` hits in a new order by both scores, ties by message id; as they were when the model fails."""
    head, rest = hits[:TOP], list(hits[TOP:])
    texts = [f"{speaker_name(h.message)} ({h.message.occurred_at:%d %B %Y}): {h.message.content[:_READ]}" for h in head]
    try:
        values = [float(value) for value in reranker.scores(query, texts)]
        moved = [replace(h, score=h.score + _WEIGHT * value) for h, value in zip(head, values, strict=True)]
    except Exception as error:
        log.warning("The second look at the hits failed, they stay in order: %s", type(error).__name__)
        return [*head, *rest]
    return [*sorted(moved, key=lambda h: (-h.score, h.message.message_id)), *rest]
