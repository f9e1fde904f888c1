"""The record in SQL: SQLite by default, PostgreSQL by URL."""

from contextlib import nullcontext
from pathlib import Path

from filelock import FileLock

from memory.errors import StorageFailed
from storage.sql.engine import Database, sqlite_url
from storage.sql.migrating import migrate as migrate_database
from storage.sql.migrating import require_current
from storage.sql.store import SqlRecordStore

__all__ = ["SqlRecordStore", "open_store", "sqlite_url"]


def open_store(url: str, *, migrate: bool = True) -> SqlRecordStore:
    """Opens the record; `migrate` applies missing migrations, else they are an error.

    Errors: Invalid for a URL that cannot be used, StorageFailed when the database cannot be opened, is damaged, or
    comes from a newer program.
    """
    database = Database(url)
    try:
        with opening_lock(database):
            (migrate_database if migrate else require_current)(database)
    except OSError as error:
        database.close()
        raise StorageFailed(f"The database {database.where()} cannot be opened: {error.strerror or error}.") from error
    except BaseException:
        database.close()
        raise
    return SqlRecordStore(database)


def opening_lock(database: Database) -> nullcontext[None] | FileLock:
    """A SQLite file's first opening switches its journal, which must not happen twice at once."""
    if not database.is_sqlite:
        return nullcontext()
    path = Path(str(database.url.database))
    return FileLock(path.with_name(path.name + ".lock"), timeout=60)
