"""Reading the index: candidates for a search, and the vectors of an owner."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

import numpy as np

from memory.errors import Invalid
from memory.model import START, MessageFilter, Owner, Position
from memory.ports import Replica, Vector
from storage.lance.catalog import Build, CatalogFiles
from storage.lance.connection import Connection, LanceFailed, located
from storage.lance.filters import admitted, message_key, owned
from storage.lance.tables import matching

if TYPE_CHECKING:
    import pyarrow as pa

T = TypeVar("T")
Scored = list[tuple[str, float]]
_SPARE: Final = 32
_TIED: Final = 1000
_KEYS_A_READ: Final = 1000
_QUIET_SECONDS: Final = 2.0
"""How long a table that failed is left alone before it is tried again."""

log = logging.getLogger("backstory.index")


class Cursors(Protocol):
    """Where the record keeps how far each build was folded."""

    def cursor(self, replica: str) -> Position: ...


class LanceIndex:
    """The index at `uri`: a directory, or an object store's address with a local `home` for its catalog.

    Opened at first use, and again whenever another process has rebuilt it. A table that cannot be read answers nothing
    and stands at START until it is rebuilt, so callers look at the record instead. Vectors made by another embedder
    than `embedder_name` are as good as none.
    """

    def __init__(
        self,
        uri: str | Path,
        embedder_name: str | None = None,
        dimension: int | None = None,
        *,
        store: Cursors | None = None,
        home: Path | None = None,
    ) -> None:
        self.uri = located(uri)
        self.embedder_name = embedder_name
        self._dimension = dimension
        self._store = store
        if home is None and "://" in self.uri:
            raise Invalid("The index", "lies in an object store", "name a local directory for its catalog as well")
        self.files = CatalogFiles(home or Path(self.uri))
        self.connection = Connection(self.uri)
        self._tables: dict[Replica, tuple[Build, Any]] = {}
        self._failed: dict[Replica, tuple[Build, float]] = {}
        self._lock = Lock()

    def attach(self, store: Cursors) -> None:
        """Names the record that knows the cursors, unless one was given. Without one every position is START."""
        self._store = self._store or store

    def open(self) -> None:
        """Loads LanceDB and opens what there is, so that the first search need not."""
        for replica in ("keywords", "vectors"):
            self._ask(replica, lambda table: table.count_rows("1 = 0"))

    def position(self, replica: Replica) -> Position:
        """How far this replica has folded; START while it cannot answer. Ask before asking for candidates."""
        build = self._serving(replica)
        catalog = self.files.read()
        if build is None or catalog is None or self._store is None:
            return START
        return self._store.cursor(catalog.cursor_name(build))

    def keyword_candidates(self, owner: Owner, where: MessageFilter, terms: Sequence[str], limit: int) -> Scored:
        """(message_id, BM25 score) best first, ties by id; a message once."""
        if not terms or limit < 1:
            return []
        condition = admitted(owner, where)

        async def best(table: Any) -> Scored:
            words = matching(" ".join(terms))

            async def fetch(count: int) -> Scored:
                query = table.query().nearest_to_text(words).where(condition)
                found = await query.select(["message_id", "_score"]).limit(count).to_arrow()
                return _pairs(found, "_score", lambda scores: scores)

            return await _ranked(fetch, limit)

        return self._ask("keywords", best) or []

    def holders(
        self, owner: Owner, where: MessageFilter, tokens: Sequence[Sequence[str]], limit: int
    ) -> list[list[str]]:
        """For each token the ids of messages with one of its terms, in no order: all of them, or `limit` or more."""
        condition = admitted(owner, where)

        async def having(table: Any, terms: Sequence[str]) -> list[str]:
            count = limit + _SPARE
            while True:
                query = table.query().nearest_to_text(matching(" ".join(terms))).where(condition)
                found = await query.select(["message_id"]).limit(count).to_arrow()
                names = list(dict.fromkeys(found.column("message_id").to_pylist()))
                if len(found) < count or len(names) >= limit:
                    return names
                count *= 4

        async def all_having(table: Any) -> list[list[str]]:
            return list(await asyncio.gather(*(having(table, terms) for terms in tokens)))

        return (self._ask("keywords", all_having) if tokens else None) or [[] for _ in tokens]

    def vector_candidates(self, owner: Owner, where: MessageFilter, vector: Vector, limit: int) -> Scored:
        """(message_id, cosine) best first, ties by id; a message once, by its best passage; exact."""
        build = self._serving("vectors")
        if build is None or limit < 1 or vector.shape != (build.dimension,):
            return []
        condition = admitted(owner, where)

        async def best(table: Any) -> Scored:
            async def fetch(count: int) -> Scored:
                query = table.query().nearest_to(vector).distance_type("cosine").bypass_vector_index()
                found = await query.where(condition).select(["message_id", "_distance"]).limit(count).to_arrow()
                return _pairs(found, "_distance", lambda distances: 1.0 - distances)

            return await _ranked(fetch, limit)

        return self._ask("vectors", best) or []

    def vectors(self, owner: Owner, message_ids: Sequence[str] | None = None) -> tuple[list[str], list[int], Vector]:
        """(message ids, passage parts, matrix n x dimension, normalised rows) of the owner, or of these messages."""
        conditions = [owned(owner)]
        if message_ids is not None:
            keys = [message_key(owner, message_id) for message_id in dict.fromkeys(message_ids)]
            conditions = [owned(owner, keys[at : at + _KEYS_A_READ]) for at in range(0, len(keys), _KEYS_A_READ)]

        async def read(table: Any) -> list["pa.Table"]:
            columns = ["message_id", "part", "vector"]
            return [await table.query().where(condition).select(columns).to_arrow() for condition in conditions]

        found = (self._ask("vectors", read) if conditions else None) or []
        ids = [message_id for table in found for message_id in table.column("message_id").to_pylist()]
        parts = [part for table in found for part in table.column("part").to_pylist()]
        matrices = [_matrix(table.column("vector").combine_chunks()) for table in found if len(table)]
        if not matrices:
            return [], [], np.zeros((0, self._dimension or 0), dtype=np.float32)
        return ids, parts, matrices[0] if len(matrices) == 1 else np.concatenate(matrices)

    def close(self) -> None:
        """Ends the connection; what is asked afterwards finds nothing."""
        self.connection.close()

    def _serving(self, replica: Replica) -> Build | None:
        catalog = self.files.read()
        build = catalog.builds(replica).active if catalog else None
        if build is None or (replica == "vectors" and not self._understands(build)):
            return None
        failed = self._failed.get(replica)
        if failed is not None and failed[0] == build and time.monotonic() < failed[1]:
            return None
        return build

    def _understands(self, build: Build) -> bool:
        return build.embedder == self.embedder_name and self._dimension in (None, build.dimension)

    def _ask(self, replica: Replica, question: Callable[[Any], Awaitable[T]]) -> T | None:
        """The answer; None where there is nothing to ask. A failure is tried once more on a table opened afresh."""
        failure: LanceFailed | None = None
        for _ in range(2):
            build = self._serving(replica)
            if build is None:
                return None
            try:
                answer: T = self.connection.run(_answer(question, self._table(build)))
            except LanceFailed as error:
                failure = error
                with self._lock:
                    self._tables.pop(replica, None)
            else:
                self._failed.pop(replica, None)
                return answer
        if build is not None and failure is not None:
            self._give_up(build, failure)
        return None

    def _table(self, build: Build) -> Any:
        with self._lock:
            known = self._tables.get(build.replica)
            if known is None or known[0] != build:
                known = (build, self.connection.open_table(build.table))
                self._tables[build.replica] = known
            return known[1]

    def _give_up(self, build: Build, failure: LanceFailed) -> None:
        first = self._failed.get(build.replica, (None, 0.0))[0] != build
        self._failed[build.replica] = (build, time.monotonic() + _QUIET_SECONDS)
        if first:
            log.error("The index's %s cannot be read: %s. Search goes on without them.", build.replica, failure.reason)
        if not failure.surroundings:
            try:
                self.files.ask("damaged", build.replica)
            except OSError as error:
                log.debug("no note could be left: %s", error)


async def _answer(question: Callable[[Any], Awaitable[T]], table: Any) -> T:
    return await question(table)


async def _ranked(fetch: Callable[[int], Awaitable[Scored]], limit: int) -> Scored:
    """The best `limit` messages. LanceDB breaks ties as it likes, so all that tie with the last one are fetched,
    up to some thousands: of more that are all alike, none has a better right."""
    count = limit + _SPARE
    while True:
        found = await fetch(count)
        best: dict[str, float] = {}
        for message_id, score in found:
            best[message_id] = max(score, best.get(message_id, score))
        ranked = sorted(best.items(), key=lambda pair: (-pair[1], pair[0]))
        everything = len(found) < count
        if everything or count > _TIED or (len(ranked) >= limit and ranked[limit - 1][1] > found[-1][1]):
            return ranked[:limit]
        count = max(count * 4, _TIED + 1) if count * 4 > _TIED // 4 else count * 4


def _pairs(found: "pa.Table", column: str, score: Callable[[Any], Any]) -> Scored:
    scores = score(found.column(column).to_numpy().astype(np.float64)).tolist()
    pairs = zip(found.column("message_id").to_pylist(), scores, strict=True)
    return sorted(pairs, key=lambda pair: (-pair[1], pair[0]))


def _matrix(column: Any) -> Vector:
    flat = column.flatten().to_numpy(zero_copy_only=False)
    matrix: Vector = np.ascontiguousarray(flat.reshape(len(column), -1), dtype=np.float32)
    return matrix
