"""The append-only feed of changes and the cursors of those who fold it.

On PostgreSQL ids commit out of order. A change carries the id of its transaction, the feed is ordered by
(transaction, change), and ends before the oldest transaction that is still open: nothing can come to stand before
what was read.
"""

from sqlalchemy import Connection, select

from memory.model import START, Change, Position
from storage.sql.rows import to_change
from storage.sql.statements import FEED, HEAD
from storage.sql.tables import index_replicas


def is_postgresql(db: Connection) -> bool:
    return db.dialect.name == "postgresql"


def place(position: Position) -> dict[str, int]:
    return {"xid": position.xid, "change_id": position.change_id}


def read_feed(db: Connection, after: Position, limit: int) -> list[Change]:
    return [to_change(row) for row in db.execute(FEED[db.dialect.name], {**place(after), "most": limit}).all()]


def read_head(db: Connection) -> Position:
    row = db.execute(HEAD[db.dialect.name]).first()
    return START if row is None else Position(row.xid, row.change_id)


def last_change(db: Connection) -> int:
    """The number of the newest change in a SQLite file, this transaction's own included; 0 when there is none."""
    return int(db.exec_driver_sql("SELECT coalesce(max(change_id), 0) FROM changes").scalar_one())


def read_cursor(db: Connection, replica: str) -> Position:
    row = db.execute(
        select(index_replicas.c.xid, index_replicas.c.change_id).where(index_replicas.c.replica == replica)
    ).first()
    return START if row is None else Position(row.xid, row.change_id)


def write_cursor(db: Connection, replica: str, position: Position) -> None:
    moved = db.execute(index_replicas.update().where(index_replicas.c.replica == replica).values(place(position)))
    if moved.rowcount == 0:
        db.execute(index_replicas.insert().values(replica=replica, **place(position)))
