"""What a subcommand works on: the whole memory, or the record alone where neither index nor model is needed."""

import logging
import sys
from collections.abc import Generator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from server.settings import Settings

if TYPE_CHECKING:
    from server.app import Memory
    from storage.sql import SqlRecordStore


@contextmanager
def opened_memory(settings: Settings, *, background: bool = True) -> Generator["Memory", None, None]:
    """The memory, open; without `background` it only reads, and does not begin to index.

    Errors: BackstoryError, when it cannot be opened.
    """
    from server.app import Memory
    from server.parts import open_parts

    configure_logging(settings)
    with Memory(settings, opener=partial(open_parts, background=background)) as memory:
        memory.wait_until_open()
        try:
            yield memory
        finally:
            # Closing interrupts a batch that is under way: no news, it is taken up by whoever comes next.
            logging.getLogger("backstory.index").setLevel(logging.CRITICAL)


@contextmanager
def opened_record(settings: Settings) -> Generator["SqlRecordStore", None, None]:
    """The record alone, brought up to date where it is a file of this machine. Errors: BackstoryError."""
    configure_logging(settings)
    store = open_record(settings, migrate=settings.embedded)
    try:
        yield store
    finally:
        store.close()


def open_record(settings: Settings, *, migrate: bool) -> "SqlRecordStore":
    from storage.sql import open_store, sqlite_url

    url = settings.database_url.reveal() if settings.database_url else sqlite_url(settings.data_dir / "backstory.db")
    return open_store(url, migrate=migrate)


def configure_logging(settings: Settings) -> None:
    """Plain lines on standard error. That the memory does not open is told by the command itself."""
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger("backstory").setLevel(settings.log_level)
    logging.getLogger("backstory.app").addFilter(lambda record: record.levelno < logging.ERROR)
