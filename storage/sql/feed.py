"""The append-only feed of changes and the cursors of those who fold it.

On PostgreSQL ids commit out of order. A change carries the id of its transaction, the feed is ordered by
(transaction, change), and ends before the oldest transaction that is still open: nothing can come to stand before
what was read.
"""

from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, literal_column, select, true, tuple_

from memory.model import START, Change, Position
from storage.sql.rows import to_change
from storage.sql.tables import changes, index_replicas


def is_postgresql(db: Connection) -> bool:
    return db.dialect.name == "postgresql"


def settled(db: Connection) -> ColumnElement[bool]:
    """True for changes that no open transaction can still precede."""
    if not is_postgresql(db):
        return true()
    return changes.c.xid < literal_column("pg_snapshot_xmin(pg_current_snapshot())::text::bigint")


def feed_rows(after: Position, limit: int) -> Select[Any]:
    return (
        select(changes)
        .where(tuple_(changes.c.xid, changes.c.change_id) > tuple_(after.xid, after.change_id))
        .order_by(changes.c.xid, changes.c.change_id)
        .limit(limit)
    )


def read_feed(db: Connection, after: Position, limit: int) -> list[Change]:
    return [to_change(row) for row in db.execute(feed_rows(after, limit).where(settled(db)))]


def read_head(db: Connection) -> Position:
    query = (
        select(changes.c.xid, changes.c.change_id)
        .where(settled(db))
        .order_by(changes.c.xid.desc(), changes.c.change_id.desc())
        .limit(1)
    )
    row = db.execute(query).first()
    return START if row is None else Position(row.xid, row.change_id)


def read_cursor(db: Connection, replica: str) -> Position:
    row = db.execute(
        select(index_replicas.c.xid, index_replicas.c.change_id).where(index_replicas.c.replica == replica)
    ).first()
    return START if row is None else Position(row.xid, row.change_id)


def write_cursor(db: Connection, replica: str, position: Position) -> None:
    place = {"xid": position.xid, "change_id": position.change_id}
    moved = db.execute(index_replicas.update().where(index_replicas.c.replica == replica).values(place))
    if moved.rowcount == 0:
        db.execute(index_replicas.insert().values(replica=replica, **place))
