"""The two tables: their columns, their indices, and rows from messages."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from memory.model import Message, Owner, Passage, Position
from memory.ports import Vector
from storage.lance.catalog import Build
from storage.lance.connection import Connection
from storage.lance.filters import message_key, micros, owner_key

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True)
class Entry:
    """A passage on its way into a table, with the change that put it there."""

    owner: Owner
    message: Message
    passage: Passage
    position: Position


def _schema_of(build: Build) -> "pa.Schema":
    """The build's columns. `owner` and `key` are hashes to filter on; (xid, change_id) is the row's position."""
    import pyarrow as pa

    texts = ("owner", "key", "tenant_id", "user_id", "message_id", "session_id", "role")
    fields = [pa.field(name, pa.string(), nullable=False) for name in texts]
    fields += [pa.field(name, pa.string()) for name in ("project_id", "channel")]
    fields += [pa.field("part", pa.int32(), nullable=False)]
    fields += [pa.field(name, pa.int64(), nullable=False) for name in ("occurred_at", "xid", "change_id")]
    if build.replica == "keywords":
        return pa.schema([*fields, pa.field("terms", pa.string(), nullable=False)])
    return pa.schema([*fields, pa.field("vector", pa.list_(pa.float32(), build.dimension), nullable=False)])


def create_table(connection: Connection, build: Build) -> Any:
    """Makes the build's table, empty, with its indices. Errors: LanceFailed."""
    return connection.run(_create(connection, build))


def matching(terms: str) -> Any:
    """A query for rows with any of the terms, best BM25 first."""
    from lancedb.query import MatchQuery

    query: Any = MatchQuery
    return query(terms, "terms")


async def _create(connection: Connection, build: Build) -> Any:
    from lancedb.index import FTS, BTree

    db = await connection.db()
    table = await db.create_table(build.table, schema=_schema_of(build))
    await table.create_index("owner", config=BTree())
    if build.replica == "keywords":
        # The terms come analysed: whatever this tokenizer changed or dropped could never be found again.
        config = FTS(
            with_position=False,
            base_tokenizer="whitespace",
            max_token_length=None,
            lower_case=False,
            stem=False,
            remove_stop_words=False,
            ascii_folding=False,
        )
        await table.create_index("terms", config=config)
    return table


def rows(build: Build, entries: Sequence[Entry], vectors: Vector | None = None) -> "pa.Table":
    """The entries as an Arrow table; with `vectors` (len(entries) x dimension) for the table of that name."""
    import pyarrow as pa

    columns: dict[str, Any] = {
        "owner": [owner_key(e.owner) for e in entries],
        "key": [message_key(e.owner, e.message.message_id) for e in entries],
        "tenant_id": [e.owner.tenant_id for e in entries],
        "user_id": [e.owner.user_id for e in entries],
        "message_id": [e.message.message_id for e in entries],
        "session_id": [e.message.session_id for e in entries],
        "role": [e.message.role for e in entries],
        "project_id": [e.message.project_id for e in entries],
        "channel": [e.message.channel for e in entries],
        "part": [e.passage.part for e in entries],
        "occurred_at": [micros(e.message.occurred_at) for e in entries],
        "xid": [e.position.xid for e in entries],
        "change_id": [e.position.change_id for e in entries],
    }
    if vectors is None:
        columns["terms"] = [e.passage.terms for e in entries]
    else:
        flat = pa.array(np.ascontiguousarray(vectors, dtype=np.float32).reshape(-1))
        columns["vector"] = pa.FixedSizeListArray.from_arrays(flat, build.dimension)
    return pa.table(columns, schema=_schema_of(build))
