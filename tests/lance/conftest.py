"""A real record, a real index directory, and words and vectors simple enough to be computed by hand."""

import hashlib
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from memory.model import Message, MessageFilter, Owner, Passage, Session
from memory.ports import Analyzer, Embedder, RecordStore, Replica, Vector
from storage.lance import IndexWriter, LanceIndex
from storage.lance.catalog import CatalogFiles
from storage.sql import open_store, sqlite_url

EPOCH = datetime(2024, 5, 1, tzinfo=UTC)
PASSAGE_WORDS = 20


class Words:
    """Every word is a term; a passage is twenty words."""

    def __init__(self, version: str = "1") -> None:
        self.version = version

    def passages(self, message: Message) -> list[Passage]:
        words = re.findall(r"\w+", message.content.lower())
        pieces = [words[at : at + PASSAGE_WORDS] for at in range(0, len(words), PASSAGE_WORDS)]
        return [Passage(message.message_id, n, " ".join(p), " ".join(p)) for n, p in enumerate(pieces)]


class Bag:
    """A text's vector is the sum of its words' random directions: equal texts have cosine 1."""

    def __init__(self, name: str = "bag", dimension: int = 24) -> None:
        self.name = name
        self.dimension = dimension
        self.failing: Exception | None = None
        self.texts = 0

    def embed_query(self, text: str) -> Vector:
        return np.asarray(self.embed_passages([text])[0])

    def embed_passages(self, texts: Sequence[str]) -> Vector:
        if self.failing is not None:
            raise self.failing
        self.texts += len(texts)
        rows = np.stack([sum((self._word(w) for w in t.split()), self._word(self.name)) for t in texts])
        return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)

    def _word(self, word: str) -> NDArray[np.float64]:
        seed = int.from_bytes(hashlib.sha256(word.encode()).digest()[:8], "big")
        return np.random.default_rng(seed).standard_normal(self.dimension)


def message(message_id: str, content: str, *, session_id: str = "s", seq: int = 1, **others: Any) -> Message:
    at = others.pop("occurred_at", EPOCH + timedelta(minutes=seq))
    digest = hashlib.sha256(content.encode()).hexdigest()
    return replace(Message(message_id, session_id, seq, "user", content, at, at, digest=digest), **others)


@dataclass
class Record:
    """A store with short ways to write to it."""

    store: RecordStore
    seqs: dict[tuple[Owner, str], int] = field(default_factory=dict)

    def add(self, owner: Owner, *contents: str, ids: Sequence[str] | None = None, **others: Any) -> list[str]:
        session_id = others.pop("session_id", "s")
        key = (owner, session_id)
        names = list(ids or [f"{session_id}-{self.seqs.get(key, 0) + n + 1}" for n in range(len(contents))])
        with self.store.write(owner) as records:
            if records.session(session_id) is None:
                records.add_session(Session(session_id, EPOCH, EPOCH, project_id=others.get("project_id")))
            batch = []
            for name, content in zip(names, contents, strict=True):
                self.seqs[key] = self.seqs.get(key, 0) + 1
                batch.append(message(name, content, session_id=session_id, seq=self.seqs[key], **others))
            records.add_messages(session_id, batch)
        return names

    def edit(self, owner: Owner, message_id: str, content: str) -> None:
        with self.store.write(owner) as records:
            old = records.message(message_id)
            assert old is not None
            digest = hashlib.sha256(content.encode()).hexdigest()
            records.replace_message(replace(old, content=content, digest=digest))

    def erase(self, owner: Owner, *message_ids: str) -> None:
        with self.store.write(owner) as records:
            records.erase_messages(message_ids)


@dataclass
class House:
    """Opens what a test needs over one directory, and closes it again."""

    directory: Path
    stack: ExitStack
    words: Words = field(default_factory=Words)

    @property
    def index_path(self) -> Path:
        return self.directory / "index"

    def active(self, replica: Replica) -> Path:
        """The directory of the table that answers now."""
        catalog = CatalogFiles(self.index_path).read()
        assert catalog is not None
        build = catalog.builds(replica).active
        assert build is not None
        return self.index_path / f"{build.table}.lance"

    def record(self) -> Record:
        store = open_store(sqlite_url(self.directory / "record.db"))
        self.stack.callback(store.close)
        return Record(store)

    def over(self, store: RecordStore) -> Record:
        return Record(store)

    def index(self, embedder: Embedder | None, store: RecordStore | None = None) -> LanceIndex:
        known = (embedder.name, embedder.dimension) if embedder else (None, None)
        index = LanceIndex(self.index_path, *known, store=store)
        self.stack.callback(index.close)
        return index

    def writer(
        self, record: Record, embedder: Embedder | None, analyzer: Analyzer | None = None, **options: Any
    ) -> IndexWriter:
        index = self.index(embedder)
        options = {"interval": 0.01, "upkeep": False, **options}
        writer = IndexWriter(record.store, index, analyzer or self.words, embedder, **options)
        self.stack.callback(writer.stop, 10)
        return writer

    def running(self, record: Record, embedder: Embedder | None, **options: Any) -> IndexWriter:
        writer = self.writer(record, embedder, **options)
        writer.start()
        return writer


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with ExitStack() as stack:
        yield House(tmp_path, stack)


@pytest.fixture
def record(house: House, sqlite_template: Path) -> Record:
    shutil.copy(sqlite_template, house.directory / "record.db")
    return house.record()


@pytest.fixture
def new_embedder() -> Callable[..., Bag]:
    return Bag


@pytest.fixture
def bag() -> Bag:
    return Bag()


@pytest.fixture
def words() -> Words:
    return Words()


@pytest.fixture
def ann() -> Owner:
    return Owner("t", "ann")


@pytest.fixture
def everything() -> MessageFilter:
    return MessageFilter()
