"""The store a bench runs on: SQLite and LanceDB in a directory, filled through the same use cases as a server's."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from memory.errors import Unavailable
from memory.model import Owner
from memory.ports import Clock, Embedder, RecordStore
from memory.recall import analyzer
from memory.record.recording import record
from memory.record.sessions import Target
from server.bench.datasets import BenchSession, Conversation
from storage.lance import IndexWriter, LanceIndex
from storage.sql import open_store, sqlite_url

OWNER = Owner("bench", "bench")
BATCH = 200
Told = Callable[[str, int, int], None]
"""Told of progress: what is being done, how much of it is done, how much there is."""


@dataclass(slots=True)
class Asking:
    """A clock that stands where a question is asked."""

    now: datetime

    def __call__(self) -> datetime:
        return self.now


@dataclass(frozen=True, slots=True)
class BenchStore:
    """What is searched, and which record holds which message of the data set."""

    store: RecordStore
    index: LanceIndex
    embedder: Embedder | None
    ids: dict[tuple[str, str], str]
    sessions: dict[str, str]


@contextmanager
def filled(
    conversations: Sequence[Conversation], embedder: Embedder | None, directory: Path | None, told: Told
) -> Iterator[BenchStore]:
    """A store with all conversations in it, indexed to the end; in `directory`, or in one that is removed after."""
    with TemporaryDirectory(prefix="backstory-bench-", ignore_cleanup_errors=True) as scratch:
        home = directory or Path(scratch)
        home.mkdir(parents=True, exist_ok=True)
        store = open_store(sqlite_url(home / "bench.db"))
        name, dimension = (embedder.name, embedder.dimension) if embedder else (None, None)
        index = LanceIndex(home / "index", name, dimension)
        writer = IndexWriter(store, index, analyzer(), embedder)
        try:
            ids, sessions = _record(store, conversations, told)
            writer.start()
            _await(writer, told)
            yield BenchStore(store, index, embedder, ids, sessions)
        finally:
            writer.stop()
            index.close()
            store.close()


def _record(
    store: RecordStore, conversations: Sequence[Conversation], told: Told
) -> tuple[dict[tuple[str, str], str], dict[str, str]]:
    """((conversation, id in the data set) -> message id, message id -> session id)."""
    ids: dict[tuple[str, str], str] = {}
    sessions: dict[str, str] = {}
    every = [(conversation.name, session) for conversation in conversations for session in conversation.sessions]
    for done, (project, session) in enumerate(every):
        told("recording", done, len(every))
        for at in range(0, len(session.messages), BATCH):
            some = session.messages[at : at + BATCH]
            recorded = record(store, OWNER, some, _target(project, session), _clock(session))
            for new, message in zip(some, recorded.messages, strict=True):
                sessions[message.message_id] = message.session_id
                if new.client_id is not None:
                    ids[project, new.client_id] = message.message_id
    told("recording", len(every), len(every))
    return ids, sessions


def _target(project: str, session: BenchSession) -> Target:
    return Target(
        external_id=f"{project}/{session.name}", project_id=project, title=session.title, channel=session.channel
    )


def _clock(session: BenchSession) -> Clock:
    last = max(m.occurred_at for m in session.messages if m.occurred_at is not None)
    return lambda: last


def _await(writer: IndexWriter, told: Told) -> None:
    """Errors: Unavailable when the index makes no headway for two minutes."""
    most = least = None
    moved = time.monotonic()
    while not writer.wait_until_caught_up(0.5):
        lag = writer.lag()
        left = max(lag.keywords, lag.vectors or 0)
        most = most or left
        if least is None or left < least:
            least, moved = left, time.monotonic()
        if time.monotonic() - moved > 120:
            raise Unavailable("The index makes no headway; see the log for the reason.")
        told("indexing", max(0, most - left), most)
    told("indexing", 1, 1)
