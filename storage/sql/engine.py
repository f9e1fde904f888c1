"""Connections: how each database is opened, and its read and write transactions."""

import logging
import os
import random
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from functools import partial
from pathlib import Path
from threading import RLock
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.pool import QueuePool

from memory.errors import Invalid, StorageFailed
from storage.sql.failures import explained_errors
from storage.sql.sqlite_file import Mark, SqliteFile
from storage.sql.turnstile import Turnstile

log = logging.getLogger("backstory.store")
BUSY_TIMEOUT_S = 30
_RETRY_S = (0.0005, 0.004)
_SQLITE = "sqlite:///"
_GIVE = "give sqlite:///FILE or postgresql://USER:PASSWORD@HOST/NAME"


def sqlite_url(path: Path) -> str:
    """The URL of a SQLite file."""
    return f"{_SQLITE}{path.absolute()}"


def _parse_url(url: str) -> URL:
    """`url` with the driver that we bring. Errors: Invalid for a database that we do not speak."""
    if url.startswith(_SQLITE):
        # All that follows is the file's path, whatever characters it has.
        path = url.removeprefix(_SQLITE)
        if path in ("", ":memory:"):
            raise Invalid("The database URL", "names no file", "give sqlite:///FILE")
        return URL.create("sqlite", database=str(Path(path).expanduser().absolute()))
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise Invalid("The database URL", "cannot be read", _GIVE) from None
    if parsed.drivername in ("postgres", "postgresql", "postgresql+psycopg"):
        return parsed.set(drivername="postgresql+psycopg")
    raise Invalid("The database URL", f"begins with {parsed.drivername!r}", _GIVE)


class Database:
    """An engine with read and write transactions. Writes of one process queue up instead of polling a file lock.

    A SQLite file that is replaced while it is open is opened anew, one that is deleted is refused: see `sqlite_file`.
    """

    def __init__(self, url: str) -> None:
        self.url = _parse_url(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self._turn = Turnstile(BUSY_TIMEOUT_S)
        self._file = SqliteFile(Path(str(self.url.database))) if self.is_sqlite else None
        self.mark = Mark(self._file.path) if self._file else None
        self.engine = _sqlite_engine(self._file) if self._file else _postgresql_engine(self.url)
        self._reopening = RLock()
        self._listeners: list[Callable[[], None]] = []
        self._told: str | None = None

    def where(self) -> str:
        """The database's name for messages; never its password."""
        if self.is_sqlite:
            return str(self.url.database)
        host = self.url.host or self.url.query.get("host") or "localhost"
        return f"{self.url.database or 'postgres'} at {host}"

    def hear_reopening(self, listener: Callable[[], None]) -> None:
        """Has `listener` called each time another file was found at the path, once it is open."""
        self._listeners.append(listener)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """One consistent snapshot."""
        self._look()
        with explained_errors(self.where()), self.engine.connect() as db, db.begin():
            yield db

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Committed on a clean exit, else rolled back. On SQLite one at a time, also across processes."""
        self._look()
        turn = self._turn.passage() if self.is_sqlite else nullcontext()
        options = {"immediate": True} if self.is_sqlite else {"isolation_level": "READ COMMITTED"}
        with turn, explained_errors(self.where()), self.engine.connect() as db:
            db = db.execution_options(**options)
            with db.begin():
                yield db
            if self._file is not None:
                self._file.confirm()

    def close(self) -> None:
        self.engine.dispose()
        if self.mark is not None:
            self.mark.close()

    def _look(self) -> None:
        """Sees that what is open is what lies at the path. Errors: StorageFailed when nothing does."""
        if self._file is None or self._turn.is_mine:
            return
        try:
            if self._file.is_replaced() or self._file.has_lost_log():
                self._reopen(self._file)
        except StorageFailed as error:
            if self._told != str(error):
                self._told = str(error)
                log.error("%s", error)
            raise
        self._told = None

    def _reopen(self, file: SqliteFile) -> None:
        with self._reopening:
            with self._turn.passage():
                replaced = file.is_replaced()
                if not replaced and not file.has_lost_log():
                    return
                if not replaced:
                    self._save_log()
                self.engine.dispose()
                file.forget(replaced=replaced)
            if self.mark is not None:
                self.mark.close()
            if replaced:
                log.error("The database %s was replaced while it was open; what lies there now was opened.", file)
            else:
                log.error("The write-ahead log of %s was deleted while it was open; nothing of it was lost.", file)
            for listener in self._listeners:
                listener()

    def _save_log(self) -> None:
        """Moves what the deleted log holds into the database, through a connection that still has it."""
        deadline = time.monotonic() + BUSY_TIMEOUT_S
        with explained_errors(self.where()), self.engine.connect() as db:
            # Not through SQLAlchemy, which would begin a transaction, within which nothing is moved.
            driver: Any = db.connection.dbapi_connection
            while driver.execute("PRAGMA wal_checkpoint(FULL)").fetchone()[0]:
                if time.monotonic() > deadline:
                    raise StorageFailed(
                        f"The write-ahead log of {self.where()} was deleted while it was open; try again."
                    )
                time.sleep(random.uniform(*_RETRY_S))


def _sqlite_engine(file: SqliteFile) -> Engine:
    engine = create_engine(
        "sqlite://", creator=partial(_connect_sqlite, file), poolclass=QueuePool, pool_size=16, max_overflow=48
    )
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _postgresql_engine(url: URL) -> Engine:
    engine = create_engine(url, pool_size=8, max_overflow=24, pool_pre_ping=True, isolation_level="REPEATABLE READ")
    event.listen(engine, "connect", _prepare_postgresql)
    return engine


def _connect_sqlite(file: SqliteFile) -> sqlite3.Connection:
    if not file.is_open:
        _make_private_file(file.path)
    db = sqlite3.connect(
        f"{file.path.as_uri()}?mode=rw", uri=True, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
    )
    try:
        _switch_to_wal(db)
        # Erased rows are overwritten, not only unlinked.
        for pragma in ("synchronous=FULL", "foreign_keys=ON", "secure_delete=ON", "journal_size_limit=67108864"):
            db.execute(f"PRAGMA {pragma}").close()
        file.opened(db)
    except BaseException:
        db.close()
        raise
    return db


def _make_private_file(path: Path) -> None:
    """Nobody but its user may read a person's memory; SQLite gives its side files the same rights."""
    if path.exists():
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            os.close(os.open(path, os.O_CREAT | os.O_EXCL, 0o600))
    except OSError as error:
        raise StorageFailed(
            f"The database {path} cannot be made: {error.strerror}; choose another directory."
        ) from error


def _switch_to_wal(db: sqlite3.Connection) -> None:
    """The first opening of a file switches its journal. SQLite does not wait there for another that does the same."""
    _insist(db, "PRAGMA journal_mode=WAL")


def _begin_sqlite(db: Connection) -> None:
    driver: Any = db.connection.dbapi_connection
    if not db.get_execution_options().get("immediate", False):
        driver.execute("BEGIN").close()
        return
    # SQLite's own waiting sleeps up to a tenth of a second at a time, while those who come later take the lock.
    driver.execute("PRAGMA busy_timeout=0").close()
    try:
        _insist(driver, "BEGIN IMMEDIATE")
    finally:
        driver.execute(f"PRAGMA busy_timeout={int(BUSY_TIMEOUT_S * 1000)}").close()


def _insist(db: sqlite3.Connection, statement: str) -> None:
    """Tries again and again while another process holds the lock, until the time-out."""
    deadline = time.monotonic() + BUSY_TIMEOUT_S
    while True:
        try:
            db.execute(statement).close()
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorname != "SQLITE_BUSY" or time.monotonic() > deadline:
                raise
            time.sleep(random.uniform(*_RETRY_S))


def _prepare_postgresql(connection: Any, _record: object) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"SET lock_timeout = {int(BUSY_TIMEOUT_S * 1000)}")
    connection.commit()
