"""How much each feature of `memory.recall.ranking` counts: the one place where that is said.

`variety` is no feature of single messages, but what `memory.recall.variety` takes off.
"""

from collections.abc import Mapping

_COMMON: Mapping[str, float] = {
    "vector": 0.5,
    "window": 1.2,
    "own": 0.6,
    "session": 0.6,
    "session_vector": 0.6,
    "rarest": 2.0,
    "answers": 1.6,
    "speaker": 1.6,
    "role": 0.8,
    "date": 2.0,
    "question": -1.5,
    "times": 0.25,
    "variety": 0.2,
}
"""With any embedder: what was as good on friends' chats, people's chats and chats with assistants."""

_KEYWORDS_ONLY: Mapping[str, float] = {**_COMMON, "vector": 0.0, "session_vector": 0.0}

_PER_EMBEDDER: Mapping[str, Mapping[str, float]] = {}
"""By the embedder's name, where another set did better by more than noise."""


def weights_for(embedder: str | None) -> Mapping[str, float]:
    """The weights to use with the embedder of this name; None: no vectors."""
    return _KEYWORDS_ONLY if embedder is None else _PER_EMBEDDER.get(embedder, _COMMON)
