"""The stage: a real store and index with many users' messages, on a scratch directory.

Vectors of the measured user are the model's own. Those of all others are drawn around a few hundred real ones, since
embedding a million messages would take hours and no search of one user's looks at another's vectors.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from zlib import crc32

import numpy as np

from memory.model import NewMessage, Owner
from memory.ports import Embedder, Vector
from memory.recall import Recall, analyzer
from memory.record.recording import record
from memory.record.sessions import Target
from server.latency.talk import conversation
from server.record import open_record
from server.settings import Settings
from storage.lance import IndexWriter, LanceIndex, following
from storage.sql import SqlRecordStore

ME = Owner("default", "me")
SESSION = 50
_A_USER = 1000
_BANK = 256
_NOISE = 0.6
BEGIN = datetime(2024, 1, 1, tzinfo=UTC)
Tell = Callable[[str, float, float], None]


def now() -> datetime:
    return datetime.now(UTC)


class _StageEmbedder:
    """The real model for the texts in `real` and for queries; for others a real vector of the bank, and noise."""

    def __init__(self, model: Embedder, real: set[str]) -> None:
        self.name = model.name
        self._model = model
        self._real = real
        texts = [message.content for message in conversation(-1, BEGIN, _BANK)]
        self._bank = model.embed_passages(texts)
        self.embedded = 0

    @property
    def dimension(self) -> int:
        return self._model.dimension

    def embed_query(self, text: str) -> Vector:
        return self._model.embed_query(text)

    def embed_passages(self, texts: Sequence[str]) -> Vector:
        return np.stack([self._one(text) for text in texts])

    def _one(self, text: str) -> Vector:
        if text.partition(": ")[2] in self._real or text in self._real:
            self.embedded += 1
            real: Vector = self._model.embed_passages([text])[0]
            return real
        seed = crc32(text.encode())
        noise = np.random.default_rng(seed).standard_normal(self.dimension, dtype=np.float32)
        drawn = self._bank[seed % _BANK] + _NOISE * noise / np.linalg.norm(noise)
        vector: Vector = (drawn / np.linalg.norm(drawn)).astype(np.float32)
        return vector


@dataclass(frozen=True, slots=True)
class Stage:
    """What is measured: `search_parts` makes a Recall that knows nothing yet."""

    store: SqlRecordStore
    index: LanceIndex
    writer: IndexWriter
    embedder: Embedder

    def recall(self) -> Recall:
        return Recall(self.store, self.index, self.embedder, now)

    def close(self) -> None:
        self.writer.stop()
        self.index.close()
        self.store.close()


def build(directory: Path, model: Embedder, messages: int, mine: int, tell: Tell) -> Stage:
    """Records `messages` of many users in turn, `mine` of them of ME, and waits until all is indexed."""
    store = open_record(Settings(data_dir=directory))
    my_talk = list(conversation(0, BEGIN, mine))
    embedder = _StageEmbedder(model, {message.content for message in my_talk})
    index = LanceIndex(directory / "index", embedder.name, embedder.dimension)
    writer = IndexWriter(store, index, analyzer(), embedder)
    stage = Stage(store, index, writer, embedder)
    done = 0
    for owner, name, batch in batches(my_talk, messages):
        record(store, owner, batch, Target(external_id=name, title=name), now)
        done += len(batch)
        tell("recording", done, messages)
    writer.start()
    with _large_batches():
        while not writer.wait_until_caught_up(0.5):
            lag = writer.lag()
            tell("indexing", 2 * done - lag.keywords - (lag.vectors or 0), 2 * done)
    return stage


@contextmanager
def _large_batches() -> Iterator[None]:
    """Vectors come in batches that fit a model's speed; ours are drawn, and a million of them would take an hour."""
    usual = following.STEP
    following.STEP = {"keywords": 4000, "vectors": 4000}  # type: ignore[misc]  # final for all but this
    try:
        yield
    finally:
        following.STEP = usual  # type: ignore[misc]


def batches(my_talk: list[NewMessage], messages: int) -> Iterator[tuple[Owner, str, list[NewMessage]]]:
    """Everybody's sessions in turn, so that one user's rows lie scattered among the others'."""
    others = max(0, messages - len(my_talk))
    users = max(1, -(-others // _A_USER))
    talks = [
        (Owner("default", f"user{n}"), conversation(n, BEGIN, _share(others, users, n - 1)))
        for n in range(1, users + 1)
    ]
    everybody = [(ME, iter(my_talk)), *talks]
    number = 0
    while everybody:
        number += 1
        left = []
        for owner, talk in everybody:
            batch = list(islice(talk, SESSION))
            if batch:
                yield owner, f"session {number}", batch
                left.append((owner, talk))
        everybody = left


def _share(total: int, parts: int, part: int) -> int:
    return total * (part + 1) // parts - total * part // parts
