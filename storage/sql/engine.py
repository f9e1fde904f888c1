"""Connections: how each database is opened, and what its errors mean to a person."""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError

from memory.errors import BackstoryError, Invalid, StorageFailed

BUSY_TIMEOUT_S = 30


def sqlite_url(path: Path) -> str:
    """The URL of a SQLite file."""
    return URL.create("sqlite", database=str(path.absolute())).render_as_string(hide_password=False)


def parse_url(url: str) -> URL:
    """`url` with the driver that we bring. Errors: Invalid for a database that we do not speak."""
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise Invalid("The database URL", "cannot be read", "give sqlite:///FILE or postgresql://…") from None
    kind = parsed.drivername.split("+")[0]
    if kind in ("postgres", "postgresql"):
        return parsed.set(drivername="postgresql+psycopg")
    if kind == "sqlite" and parsed.database and parsed.database != ":memory:":
        return parsed.set(drivername="sqlite")
    raise Invalid(
        "The database URL", f"names {kind!r} without a file or server", "give sqlite:///FILE or postgresql://…"
    )


class Database:
    """An engine with read and write transactions. Writes of one process queue fairly instead of polling a file lock."""

    def __init__(self, url: str) -> None:
        self.url = parse_url(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self._writing = threading.Lock()
        self.engine = self._sqlite_engine() if self.is_sqlite else self._postgresql_engine()

    def _sqlite_engine(self) -> Engine:
        with translated_errors(self.where()):
            try:
                Path(self.url.database or "").parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise StorageFailed(
                    f"The data directory of {self.where()} cannot be made: {error.strerror}."
                ) from error
        engine = create_engine(
            self.url,
            connect_args={"timeout": BUSY_TIMEOUT_S, "check_same_thread": False},
            pool_size=16,
            max_overflow=48,
        )
        event.listen(engine, "connect", prepare_sqlite)
        event.listen(engine, "begin", begin_sqlite)
        return engine

    def _postgresql_engine(self) -> Engine:
        return create_engine(
            self.url, pool_size=8, max_overflow=24, pool_pre_ping=True, isolation_level="REPEATABLE READ"
        )

    def where(self) -> str:
        """The database's name for messages; never its password."""
        return str(self.url.database) if self.is_sqlite else self.url.render_as_string(hide_password=True)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        with translated_errors(self.where()), self.engine.connect() as db, db.begin():
            yield db

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        if self.is_sqlite:
            with self._writing, translated_errors(self.where()), self.engine.connect() as db:
                db = db.execution_options(immediate=True)
                with db.begin():
                    yield db
        else:
            with translated_errors(self.where()), self.engine.connect() as db:
                db = db.execution_options(isolation_level="READ COMMITTED")
                with db.begin():
                    yield db

    def close(self) -> None:
        self.engine.dispose()


def prepare_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}").close()


def begin_sqlite(db: Connection) -> None:
    immediate = db.get_execution_options().get("immediate", False)
    db.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")


@contextmanager
def translated_errors(where: str) -> Iterator[None]:
    """Turns what a database raises into one sentence."""
    try:
        yield
    except BackstoryError:
        raise
    except DBAPIError as error:
        raise StorageFailed(explained(error, where)) from error
    except (SQLAlchemyError, sqlite3.Error) as error:
        raise StorageFailed(f"The database {where} failed: {first_line(error)}.") from error


CAUSES = (
    ("disk is full", "has no room left on its disk; free some space, nothing was half written"),
    ("disk i/o error", "cannot be written: the disk reports an error or is full; nothing was half written"),
    ("readonly", "is read-only; make the file and its directory writable for this user"),
    ("unable to open", "cannot be opened; check that the directory exists and is writable for this user"),
    ("not a database", "is not a Backstory database (the file is damaged or something else); restore a backup"),
    ("malformed", "is damaged; restore a backup or run `backstory doctor`"),
    ("locked", f"was locked by another program for more than {BUSY_TIMEOUT_S} seconds; try again"),
    ("connection", "cannot be reached; check that the server runs and the URL is right"),
)


def explained(error: DBAPIError, where: str) -> str:
    words = first_line(error.orig or error)
    for sign, meaning in CAUSES:
        if sign in words.lower():
            return f"The database {where} {meaning}."
    return f"The database {where} failed: {words}."


def first_line(error: BaseException) -> str:
    return str(error).strip().split("\n", 1)[0].rstrip(".")


def ping(database: Database) -> None:
    """Raises StorageFailed when the database does not answer."""
    with database.reading() as db:
        db.execute(text("SELECT 1"))
