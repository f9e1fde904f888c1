"""Embedders behind an OpenAI-compatible endpoint, through the `openai` package."""

import time
from collections.abc import Callable, Sequence
from threading import Lock
from typing import Any, Final
from urllib.parse import urlsplit

import numpy as np
import openai

from inference.embedders.vectors import RecentQueries, normalised
from memory.errors import Unavailable, shown
from memory.ports import Vector

_OPENAI: Final = "https://api.openai.com/v1"
BATCH: Final = 64
"""Texts a request; every known endpoint takes at least as many."""
_QUERY_SECONDS: Final = 4.0
"""A search waits no longer than this for its vector, and then goes by keywords alone."""
_PASSAGE_SECONDS: Final = 30.0
_RETRIES: Final = 3
_AWAY_SECONDS: Final = 15.0
"""After a query found nobody there, the next ones do not wait to find the same."""
_SHORTEST_CUT: Final = 200
_TOO_LONG: Final = frozenset({400, 413, 422})
_KNOWN_DIMENSIONS: Final = {
    "text-embedding-3-small": 1536,
    "text-embedding-3-large": 3072,
    "text-embedding-ada-002": 1536,
}


class OpenAICompatible:
    """Vectors from `POST {base_url}/embeddings`. Nothing is contacted before the first text, or the first look at
    `dimension` of a model that is not well known."""

    def __init__(
        self,
        model: str,
        *,
        base_url: str | None = None,
        api_key: str | None = None,
        query_seconds: float = _QUERY_SECONDS,
        passage_seconds: float = _PASSAGE_SECONDS,
        retries: int = _RETRIES,
    ) -> None:
        if not api_key and not base_url:
            raise Unavailable(
                f"The embedder {shown('openai:' + model)} needs OPENAI_API_KEY, "
                "or OPENAI_BASE_URL for an endpoint that asks for no key."
            )
        self.name = f"openai:{model}"
        self._model = model
        self._host = urlsplit(base_url or _OPENAI).netloc.rpartition("@")[2]
        self._client = self._made(base_url or _OPENAI, api_key or "none")
        self._patient = self._client.with_options(timeout=passage_seconds, max_retries=retries)
        self._hasty = self._client.with_options(timeout=query_seconds, max_retries=0)
        self._dimension = _KNOWN_DIMENSIONS.get(model) if base_url in (None, _OPENAI) else None
        self._probing = Lock()
        self._away_until = 0.0
        self._queries = RecentQueries(self._embed_query)

    def _made(self, base_url: str, api_key: str) -> openai.OpenAI:
        """Errors: Unavailable, since a proxy of the environment may be one that the library does not speak to."""
        try:
            return openai.OpenAI(base_url=base_url, api_key=api_key)
        except Exception as error:  # of whatever kind: ImportError, ValueError, the transport's own
            why = (
                f"its client cannot be made ({type(error).__name__}), for which HTTP_PROXY, HTTPS_PROXY or ALL_PROXY is"
            )
            raise Unavailable(self._sentence(f"{why} the usual cause")) from error

    @property
    def dimension(self) -> int:
        """As the endpoint answers. Errors: Unavailable while it cannot be reached."""
        with self._probing:
            if self._dimension is None:
                self._dimension = int(self._asked(["dimension"]).shape[1])
            return self._dimension

    def embed_query(self, text: str) -> Vector:
        """Shape (dimension,), L2-normalised, read-only. Errors: Unavailable, after a few seconds at most."""
        return self._queries(text)

    def embed_passages(self, texts: Sequence[str]) -> Vector:
        """Shape (len(texts), dimension), rows L2-normalised. Errors: Unavailable, after retries."""
        if not texts:
            return np.zeros((0, self.dimension), dtype=np.float32)
        return np.concatenate([self._rows(texts[at : at + BATCH]) for at in range(0, len(texts), BATCH)])

    def close(self) -> None:
        """Gives up the connections; a request under way fails as Unavailable."""
        self._client.close()

    def _embed_query(self, text: str) -> Vector:
        row: Vector = self._fitting(self._asked, text)[0]
        return row

    def _asked(self, texts: Sequence[str]) -> Vector:
        """For somebody who waits."""
        if time.monotonic() < self._away_until:
            raise Unavailable(self._sentence("it could not be reached just now"))
        try:
            return self._request(self._hasty, texts)
        except _Away:
            self._away_until = time.monotonic() + _AWAY_SECONDS
            raise

    def _told(self, texts: Sequence[str]) -> Vector:
        """For the background."""
        rows = self._request(self._patient, texts)
        self._away_until = 0.0
        return rows

    def _rows(self, texts: Sequence[str]) -> Vector:
        try:
            return self._told(texts)
        except _Refused:
            # One text too long spoils its whole request: each by itself, and that one cut.
            return np.concatenate([self._fitting(self._told, text) for text in texts])

    def _fitting(self, ask: Callable[[Sequence[str]], Vector], text: str) -> Vector:
        while True:
            try:
                return ask([text])
            except _Refused as refused:
                if len(text) <= _SHORTEST_CUT:
                    raise Unavailable(self._sentence(str(refused))) from refused
                text = text[: max(_SHORTEST_CUT, len(text) // 2)]

    def _request(self, client: Any, texts: Sequence[str]) -> Vector:
        # Endpoints refuse an empty text; a blank one means as little.
        readable = [text if text.strip() else "." for text in texts]
        try:
            answer = client.embeddings.create(model=self._model, input=readable, encoding_format="float")
            return self._matrix(answer, len(texts))
        except openai.APIStatusError as error:
            if error.status_code in _TOO_LONG:
                raise _Refused(f"it answered {error.status_code}") from error
            raise Unavailable(self._sentence(f"it answered {error.status_code}")) from error
        except openai.APITimeoutError as error:
            raise _Away(self._sentence("it did not answer in time")) from error
        except openai.OpenAIError as error:
            raise _Away(self._sentence("it could not be reached")) from error
        except (AttributeError, TypeError, ValueError) as error:
            raise Unavailable(self._sentence("its answer is not a list of embeddings")) from error

    def _matrix(self, answer: Any, rows: int) -> Vector:
        ordered = sorted(answer.data, key=lambda item: item.index)
        matrix = np.asarray([item.embedding for item in ordered], dtype=np.float32)
        expected = self._dimension or (matrix.shape[1] if matrix.ndim == 2 else 0)
        if matrix.shape != (rows, expected) or not expected or not np.isfinite(matrix).all():
            raise ValueError(f"shape {matrix.shape}")
        return normalised(matrix)

    def _sentence(self, why: str) -> str:
        return (
            f"The embedding endpoint at {self._host} cannot be used for {shown(self._model)} because {why}; "
            "check OPENAI_BASE_URL, the model's name and the key."
        )


class _Away(Unavailable):
    """Nobody answers there."""


class _Refused(Exception):
    """The endpoint rejects these very texts; asking again would not help."""
