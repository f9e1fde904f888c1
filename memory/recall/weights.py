"""How much each feature of `memory.recall.ranking` counts: the one place where that is said.

`variety` is no feature of single messages, but what `memory.recall.variety` takes off.
"""

from collections.abc import Mapping

COMMON: Mapping[str, float] = {
    "vector": 0.5,
    "window": 1.2,
    "own": 0.6,
    "session": 0.6,
    "session_vector": 0.6,
    "answers": 1.6,
    "speaker": 1.6,
    "role": 0.8,
    "date": 2.0,
    "question": -1.5,
    "times": 0.25,
    "variety": 0.2,
}
"""With any embedder: what was as good on friends' chats, people's chats and chats with assistants."""

KEYWORDS_ONLY: Mapping[str, float] = {**COMMON, "vector": 0.0, "session_vector": 0.0}

PER_EMBEDDER: Mapping[str, Mapping[str, float]] = {}
"""By the embedder's name, where another set did better by more than noise."""


def weights_for(embedder: str | None) -> Mapping[str, float]:
    """The weights to use with the embedder of this name; None: no vectors."""
    return KEYWORDS_ONLY if embedder is None else PER_EMBEDDER.get(embedder, COMMON)
