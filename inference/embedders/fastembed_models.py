"""Embedders of the extra `fastembed`: any of its models, downloaded at first use, hence only when asked for."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from inference.embedders.vectors import RecentQueries, normalised
from memory.errors import Unavailable, shown
from memory.ports import Vector


class FastembedModel:
    """A fastembed text model by its name, such as `BAAI/bge-small-en-v1.5`; its dimension is found by trying it."""

    def __init__(self, model: str) -> None:
        self.name = f"fastembed:{model}"
        self._model = _load(model)
        try:
            self.dimension = int(self._rows(self._model.query_embed("dimension")).shape[1])
        except Exception as error:
            raise _failed(self.name, error) from error
        self._queries = RecentQueries(self._embed_query)

    def embed_query(self, text: str) -> Vector:
        """Shape (dimension,), L2-normalised, read-only. Errors: Unavailable."""
        return self._queries(text)

    def embed_passages(self, texts: Sequence[str]) -> Vector:
        """Shape (len(texts), dimension), rows L2-normalised. Errors: Unavailable."""
        if not texts:
            return np.zeros((0, self.dimension), dtype=np.float32)
        try:
            # One at a time: quantised models give a text another vector in another batch.
            return np.concatenate([self._rows(self._model.passage_embed([text])) for text in texts])
        except Exception as error:
            raise _failed(self.name, error) from error

    def _embed_query(self, text: str) -> Vector:
        try:
            row: Vector = self._rows(self._model.query_embed(text))[0]
        except Exception as error:
            raise _failed(self.name, error) from error
        return row

    @staticmethod
    def _rows(vectors: Iterable[Any]) -> Vector:
        return normalised(np.stack(list(vectors)))


def _load(model: str) -> Any:
    try:
        from fastembed import TextEmbedding
    except ImportError as error:
        raise Unavailable(
            f"The embedder {shown('fastembed:' + model)} needs an extra that is not installed; "
            "install it with: uv tool install 'backstory[fastembed]'."
        ) from error
    try:
        return TextEmbedding(model_name=model, threads=1)
    except Exception as error:
        raise _failed(f"fastembed:{model}", error) from error


def _failed(name: str, error: Exception) -> Unavailable:
    reason = " ".join(str(error).split())[:200] or type(error).__name__
    return Unavailable(
        f"The embedder {shown(name)} does not work: {reason.rstrip('.')}; "
        "check the model's name and the network it is downloaded over, or choose bundled."
    )
