"""What a subcommand works on: the whole memory, or the record alone where neither index nor model is needed."""

import logging
import sys
from collections.abc import Generator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from server.opening import LazyMemory
from server.record import open_record
from server.settings import Settings

if TYPE_CHECKING:
    from server.parts import Parts
    from storage.sql import SqlRecordStore
    from storage.sql.directory import SqlDirectory


@contextmanager
def opened_memory(settings: Settings, *, background: bool = True) -> Generator["Parts", None, None]:
    """The memory, open; without `background` it only reads, and does not begin to index.

    Errors: BackstoryError, when it cannot be opened.
    """
    from server.parts import open_parts

    configure_logging(settings)
    index_log = logging.getLogger("backstory.index")
    before = index_log.level
    try:
        with LazyMemory(settings, opener=partial(open_parts, background=background)) as lazy:
            memory = lazy.wait()
            try:
                yield memory
            finally:
                # Closing interrupts a batch that is under way: no news, it is taken up by whoever comes next.
                index_log.setLevel(logging.CRITICAL)
    finally:
        index_log.setLevel(before)


@contextmanager
def opened_record(settings: Settings) -> Generator["SqlRecordStore", None, None]:
    """The record alone. Errors: BackstoryError."""
    configure_logging(settings)
    store = open_record(settings)
    try:
        yield store
    finally:
        store.close()


@contextmanager
def opened_directory(settings: Settings) -> Generator["SqlDirectory", None, None]:
    """The users and tokens beside the record. Errors: BackstoryError."""
    from storage.sql.directory import SqlDirectory

    with opened_record(settings) as store:
        yield SqlDirectory(store.database)


def configure_logging(settings: Settings) -> None:
    """Plain lines on standard error. That the memory does not open is told by the command itself."""
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger("backstory").setLevel(settings.log_level)
    logging.getLogger("backstory.app").addFilter(lambda record: record.levelno < logging.ERROR)
