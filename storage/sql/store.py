"""The record over SQLite and PostgreSQL."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from hashlib import blake2b
from itertools import groupby

from sqlalchemy import Connection, text

from memory.model import Change, Message, Owner, Position
from memory.ports import Records, WritableRecords
from storage.sql.audit import audit_sessions
from storage.sql.engine import Database
from storage.sql.feed import last_change, read_cursor, read_feed, read_head, write_cursor
from storage.sql.reading import SqlRecords
from storage.sql.statements import SUMMARIES_OWED
from storage.sql.writing import SqlWritableRecords


class SqlRecordStore:
    """Implements memory.ports.RecordStore."""

    def __init__(self, database: Database) -> None:
        self.database = database

    @contextmanager
    def read(self, owner: Owner) -> Iterator[Records]:
        with self.database.reading() as db:
            yield SqlRecords(db, owner)

    @contextmanager
    def write(self, owner: Owner) -> Iterator[WritableRecords]:
        with self.database.writing() as db:
            if not self.database.is_sqlite:
                lock_owner(db, owner)
            yield SqlWritableRecords(db, owner)
            reached = last_change(db) if self.database.mark else 0
        if self.database.mark:
            self.database.mark.write(reached)

    def hear_reopening(self, listener: Callable[[], None]) -> None:
        """Has `listener` called when another record was found at the same place: what was drawn from it is void."""
        self.database.hear_reopening(listener)

    def lost_changes(self) -> int:
        """How many changes were acknowledged and are not in the record any more, since an older state of it was put in
        its place or its write-ahead log was deleted after a crash; 0 once something new was recorded."""
        if self.database.mark is None:
            return 0
        with self.database.reading() as db:
            return max(0, self.database.mark.read() - last_change(db))

    def feed(self, after: Position, limit: int) -> list[Change]:
        with self.database.reading() as db:
            return read_feed(db, after, limit)

    def feed_messages(self, changes: Sequence[Change]) -> dict[tuple[Owner, str], Message]:
        present: dict[tuple[Owner, str], Message] = {}
        by_owner = sorted(changes, key=_owner_key)
        with self.database.reading() as db:
            for _, group in groupby(by_owner, _owner_key):
                batch = list(group)
                owner = batch[0].owner
                found = SqlRecords(db, owner).messages(list(dict.fromkeys(change.message_id for change in batch)))
                present.update(((owner, message_id), message) for message_id, message in found.items())
        return present

    def head(self) -> Position:
        with self.database.reading() as db:
            return read_head(db)

    def cursor(self, replica: str) -> Position:
        with self.database.reading() as db:
            return read_cursor(db, replica)

    def set_cursor(self, replica: str, position: Position) -> None:
        with self.database.writing() as db:
            write_cursor(db, replica, position)

    def summaries_owed(self, limit: int) -> list[tuple[Owner, str]]:
        with self.database.reading() as db:
            return [(Owner(row[0], row[1]), row[2]) for row in db.execute(SUMMARIES_OWED, {"most": limit})]

    def audit(self) -> list[str]:
        with self.database.reading() as db:
            return audit_sessions(db)

    def close(self) -> None:
        self.database.close()


def _owner_key(change: Change) -> tuple[str, str]:
    return change.owner.tenant_id, change.owner.user_id


def lock_owner(db: Connection, owner: Owner) -> None:
    """Holds the owner's write lock until the transaction ends; owners whose hashes meet only wait for each other."""
    name = repr((owner.tenant_id, owner.user_id)).encode()
    key = int.from_bytes(blake2b(name, digest_size=8).digest(), "big", signed=True)
    db.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": key})
