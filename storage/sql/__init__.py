"""The record in SQL: SQLite by default, PostgreSQL by URL."""

from storage.sql.engine import Database, sqlite_url
from storage.sql.migrating import adopt_feed, require_current
from storage.sql.migrating import migrate as migrate_database
from storage.sql.store import SqlRecordStore

__all__ = ["SqlRecordStore", "open_store", "sqlite_url"]


def open_store(url: str, *, migrate: bool = True) -> SqlRecordStore:
    """Opens the record; `migrate` applies missing migrations, else they are an error.

    Errors: Invalid for a URL that cannot be used, StorageFailed when the database cannot be opened, is damaged, or
    comes from a newer program.
    """
    database = Database(url)
    try:
        (migrate_database if migrate else require_current)(database)
        adopt_feed(database)
    except BaseException:
        database.close()
        raise
    return SqlRecordStore(database)
