"""Opening the record, the only thing that a memory cannot do without."""

from typing import TYPE_CHECKING

from server.settings import Settings

if TYPE_CHECKING:
    from storage.sql import SqlRecordStore


def open_record(settings: Settings, *, migrate: bool = False) -> "SqlRecordStore":
    """The record that `settings` name; its schema is brought up to date where it is a file of this machine, elsewhere
    only with `migrate`.

    Errors: StorageFailed, Invalid, Unavailable, each in one sentence.
    """
    from storage.sql import open_store, sqlite_url

    url = settings.database_url.reveal() if settings.database_url is not None else sqlite_url(settings.database_file)
    return open_store(url, migrate=migrate or settings.embedded)
