"""The floors: what the same machine needs, in the same run, for the least that the work could be made of."""

import asyncio
import sqlite3
from datetime import timedelta
from pathlib import Path
from typing import Any

from memory.model import MessageFilter, NewMessage, Owner
from memory.ports import Embedder
from storage.lance.filters import admitted
from storage.lance.tables import matching


class BareCommit:
    """One row into one table of a SQLite file, committed: WAL, synchronous=FULL, one index."""

    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        self._db.execute("CREATE TABLE messages (id TEXT PRIMARY KEY, role TEXT, content TEXT, at INTEGER)")

    def __call__(self, message: NewMessage) -> None:
        self._db.execute("BEGIN IMMEDIATE")
        row = (message.client_id, message.role, message.content, 0)
        self._db.execute("INSERT INTO messages VALUES (?, ?, ?, ?)", row)
        self._db.execute("COMMIT")

    def close(self) -> None:
        self._db.close()


class RawQueries:
    """One embedding, one exact vector query and one keyword query of LanceDB, for one owner's rows.

    What a search over this index would cost with no thought spent on it. `terms` are those that the index holds.
    """

    def __init__(self, uri: str, tables: tuple[str, str], owner: Owner, embedder: Embedder) -> None:
        self._loop = asyncio.new_event_loop()
        self._condition = admitted(owner, MessageFilter())
        self._embedder = embedder
        self._keywords, self._vectors = self._loop.run_until_complete(self._opened(uri, tables))

    async def _opened(self, uri: str, tables: tuple[str, str]) -> tuple[Any, Any]:
        import lancedb

        db = await lancedb.connect_async(uri, read_consistency_interval=timedelta(0))
        return await db.open_table(tables[0]), await db.open_table(tables[1])

    def __call__(self, query: str, terms: list[str]) -> None:
        vector = self._embedder.embed_query(query)
        self._loop.run_until_complete(self._ask(vector, " ".join(terms)))

    async def _ask(self, vector: Any, terms: str) -> None:
        near = self._vectors.query().nearest_to(vector).distance_type("cosine").bypass_vector_index()
        await near.where(self._condition).select(["message_id", "_distance"]).limit(50).to_arrow()
        words = self._keywords.query().nearest_to_text(matching(terms))
        await words.where(self._condition).select(["message_id", "_score"]).limit(50).to_arrow()

    def close(self) -> None:
        self._loop.close()
