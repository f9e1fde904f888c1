"""The users and tokens beside the record, for commands that need nothing else of a memory."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from server.settings import Settings

if TYPE_CHECKING:
    from storage.sql.directory import SqlDirectory


@contextmanager
def opened_directory(settings: Settings) -> "Generator[SqlDirectory, None, None]":
    """Opens the database alone. Errors: StorageFailed."""
    from storage.sql import open_store, sqlite_url
    from storage.sql.directory import SqlDirectory

    url = settings.database_url.reveal() if settings.database_url else sqlite_url(settings.data_dir / "backstory.db")
    store = open_store(url, migrate=settings.embedded)
    try:
        yield SqlDirectory(store.database)
    finally:
        store.close()
