"""The record in SQL: SQLite by default, PostgreSQL by URL."""

import logging

from storage.sql.engine import Database, sqlite_url
from storage.sql.migrating import adopt_feed, require_current
from storage.sql.migrating import migrate as migrate_database
from storage.sql.store import SqlRecordStore

log = logging.getLogger("backstory.store")
LOST = (
    "The record %s lacks %s changes that were acknowledged before: an older copy was put in its place, or its "
    "write-ahead log was deleted after a crash; put the newer files back before anything else is recorded."
)

__all__ = ["SqlRecordStore", "open_store", "sqlite_url"]


def open_store(url: str, *, migrate: bool = True) -> SqlRecordStore:
    """Opens the record; `migrate` applies missing migrations, else they are an error.

    Errors: Invalid for a URL that cannot be used, StorageFailed when the database cannot be opened, is damaged, or
    comes from a newer program.
    """
    database = Database(url)

    def ready() -> None:
        (migrate_database if migrate else require_current)(database)
        adopt_feed(database)

    try:
        ready()
        store = SqlRecordStore(database)
        if lost := store.lost_changes():
            log.error(LOST, database.where(), f"{lost:,}")
    except BaseException:
        database.close()
        raise
    database.hear_reopening(ready)
    return store
