"""Folding the change feed into one table: in order, again where it was interrupted, never twice."""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any, Final

import numpy as np

from memory.errors import Unavailable
from memory.model import START, Change, Message, Owner, Passage, Position
from memory.ports import Analyzer, Embedder, RecordStore, Vector
from storage.lance.catalog import Build, CatalogFiles, Mark
from storage.lance.connection import Connection
from storage.lance.filters import among, beyond, message_key, owner_key
from storage.lance.tables import Entry, matching, rows

_FIRST_BATCH: Final = 32
_LARGE_BATCH_CHARACTERS: Final = 8 << 20
_KEYS_A_DELETE: Final = 500
_TEXTS_A_CALL: Final = 16
_WRITE_SECONDS: Final = 300.0
_PROBED: Final = 50

log = logging.getLogger("backstory.index")


class Damaged(Exception):
    """The table does not hold what the record says was folded into it; it has to be built anew."""


class Stopped(Exception):
    """The fold was told to end in the middle of a batch; nothing of the batch was written."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What a stretch of the feed comes to: rows to remove by (owner, message id), then messages to add."""

    removed: tuple[tuple[Owner, str], ...]
    added: tuple[tuple[Owner, Message, Position], ...]


def reduced(changes: Sequence[Change], present: dict[tuple[Owner, str], Message]) -> Batch:
    """The net effect of `changes`, given the messages that are there now.

    A message only ever added in this stretch has no row yet. A message whose last change here is its erasure is
    removed even if it is there now: then it was recorded again later, and a later change will say so.
    """
    kinds: dict[tuple[Owner, str], list[Change]] = {}
    for change in changes:
        kinds.setdefault((change.owner, change.message_id), []).append(change)
    removed = tuple(key for key, told in kinds.items() if [c.kind for c in told] != ["message_added"])
    added = tuple(
        (key[0], present[key], told[-1].position)
        for key, told in kinds.items()
        if told[-1].kind != "message_erased" and key in present
    )
    return Batch(removed, added)


@dataclass(frozen=True, slots=True)
class Recipe:
    """How messages become rows. Without an embedder: keyword rows. At most `parts` passages of a message are taken."""

    analyzer: Analyzer
    embedder: Embedder | None = None
    parts: int | None = None
    stopped: Callable[[], bool] = lambda: False

    def entries(self, batch: Batch) -> list[Entry]:
        """The batch's passages; those with a text for the embedder where there is one.

        A message that cannot be analysed is left out, and said so by its id alone.
        """
        return [
            Entry(owner, message, passage, position)
            for owner, message, position in batch.added
            for passage in self._passages(message)[: self.parts]
            if self.embedder is None or passage.text
        ]

    def embedded(self, entries: list[Entry]) -> tuple[list[Entry], Vector | None]:
        """The entries with one vector each, less those that cannot be embedded; no vectors without an embedder.

        Errors: Unavailable, Stopped.
        """
        if self.embedder is None or not entries:
            return entries, None
        kept: list[Entry] = []
        pieces: list[Vector] = []
        for at in range(0, len(entries), _TEXTS_A_CALL):
            if self.stopped():
                raise Stopped
            for some, vectors in self._embedded(self.embedder, entries[at : at + _TEXTS_A_CALL]):
                kept += some
                pieces.append(vectors)
        return kept, np.concatenate(pieces) if pieces else None

    def _embedded(self, embedder: Embedder, entries: list[Entry]) -> Iterator[tuple[list[Entry], Vector]]:
        try:
            yield entries, embedder.embed_passages([entry.passage.text for entry in entries])
        except Unavailable:
            raise
        except Exception as error:
            if len(entries) > 1:
                for entry in entries:
                    yield from self._embedded(embedder, [entry])
            else:
                self._leave_out(entries[0].message, error)

    def _passages(self, message: Message) -> list[Passage]:
        try:
            return self.analyzer.passages(message)
        except Exception as error:
            self._leave_out(message, error)
            return []

    @staticmethod
    def _leave_out(message: Message, error: Exception) -> None:
        log.error("Message %d of a session cannot be indexed (%s); it is left out.", message.seq, type(error).__name__)


class Fold:
    """One table and its cursor. `step` takes the next batch; an interrupted one is undone before the next."""

    def __init__(
        self,
        store: RecordStore,
        connection: Connection,
        files: CatalogFiles,
        build: Build,
        cursor_name: str,
        recipe: Recipe,
    ) -> None:
        self._store = store
        self._connection = connection
        self._files = files
        self._recipe = recipe
        self._table: Any = None
        self._settled = False
        self._batch = _FIRST_BATCH
        self.build = build
        self.cursor_name = cursor_name
        self.cursor = START
        self.writes = 0
        """Fragments made since the last optimization, about."""
        self.rows = 0
        """Rows added since then: not in the table's indices yet."""
        self.hungry = False
        """Whether the last step took a full batch, so that more is likely waiting."""

    def open(self) -> None:
        """Opens the table and undoes what an interrupted batch left. Errors: LanceFailed, Damaged, StorageFailed."""
        self._table = self._connection.open_table(self.build.table)
        self.writes, self.rows = self._connection.run(self._untidiness())
        self._settle()

    def step(self, most: int, *, only_adding: bool = False) -> int:
        """Folds the next `most` changes or fewer; how many. `only_adding` stops before the first edit or erasure.

        Errors: as `open`, Unavailable, Stopped, OSError.
        """
        if not self._settled:
            self._settle()
        limit = min(most, self._batch)
        changes = self._store.feed(self.cursor, limit)
        if only_adding:
            changes = list(takewhile(lambda change: change.kind == "message_added", changes))
        self.hungry = len(changes) >= limit
        if not changes:
            return 0
        batch = reduced(changes, self._store.feed_messages(changes))
        self._fit_batch(batch, most)
        table = self._rows(batch)
        self._settled = False
        version = self._connection.run(self._write(batch.removed, table), _WRITE_SECONDS)
        end = changes[-1].position
        self._files.put_mark(self.build, Mark(self.cursor, end, version))
        self._store.set_cursor(self.cursor_name, end)
        self._files.put_mark(self.build, Mark(end, end, version))
        self.cursor = end
        self._settled = True
        return len(changes)

    def _rows(self, batch: Batch) -> Any:
        entries, vectors = self._recipe.embedded(self._recipe.entries(batch))
        if not entries:
            return None
        if vectors is not None and vectors.shape[1] != self.build.dimension:
            raise Damaged(f"its vectors have {self.build.dimension} dimensions and the embedder's {vectors.shape[1]}")
        return rows(self.build, entries, vectors)

    def _fit_batch(self, batch: Batch, most: int) -> None:
        # Messages may be large, and a batch is held in memory several times over.
        characters = sum(len(message.content) for _, message, _ in batch.added)
        if characters > _LARGE_BATCH_CHARACTERS:
            self._batch = max(1, self._batch // 4)
        elif self.hungry:
            self._batch = min(most, self._batch * 2)

    def _settle(self) -> None:
        self.cursor = self._store.cursor(self.cursor_name)
        mark = self._files.mark(self.build)
        if self.cursor not in (mark.start, mark.end):
            raise Damaged("the record is not the one it was made from")
        version = self._connection.run(self._undo(), _WRITE_SECONDS)
        if version < mark.version:
            raise Damaged("writes to it were lost")
        self._settled = True

    async def _undo(self) -> int:
        condition = beyond(self.cursor)
        version: int = await self._table.version()
        if await self._table.count_rows(condition):
            await self._table.delete(condition)
        return version

    async def _write(self, removed: Sequence[tuple[Owner, str]], table: Any) -> int:
        for at in range(0, len(removed), _KEYS_A_DELETE):
            some = removed[at : at + _KEYS_A_DELETE]
            owners = sorted({owner_key(owner) for owner, _ in some})
            condition = among(owners, [message_key(owner, message_id) for owner, message_id in some])
            if await self._table.count_rows(condition):
                await self._table.delete(condition)
                self.writes += 1
        if table is not None:
            await self._table.add(table)
            self.writes += 1
            self.rows += len(table)
        version: int = await self._table.version()
        return version

    async def _untidiness(self) -> tuple[int, int]:
        stats = await self._table.stats()
        index = await self._table.index_stats("owner_idx")
        return int(stats["fragment_stats"]["num_small_fragments"]), int(index.num_unindexed_rows) if index else 0


def probe(connection: Connection, build: Build) -> None:
    """Reads all of a table's columns once, and its keyword index. Errors: LanceFailed when something is unreadable."""
    connection.run(_probe(connection, build), _WRITE_SECONDS)


async def _probe(connection: Connection, build: Build) -> None:
    table = await (await connection.db()).open_table(build.table)
    sampled: list[str] = []
    async for batch in await table.query().to_batches(max_batch_length=4096):
        if build.replica == "keywords" and batch.num_rows and len(sampled) < _PROBED:
            sampled += batch.column("terms")[:1].to_pylist()
    for index in await table.list_indices():
        await table.prewarm_index(index.name)
    for terms in sampled:
        await table.query().nearest_to_text(matching(terms)).select(["message_id"]).limit(1).to_arrow()
