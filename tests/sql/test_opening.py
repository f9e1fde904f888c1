"""Opening a database: new, old, newer, several at once, and where it cannot be opened: one clear sentence."""

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect, make_url, text

from memory.errors import BackstoryError, Invalid, StorageFailed
from memory.model import START, NewMessage, Owner
from memory.record.recording import record
from memory.record.sessions import Target
from storage.sql import SqlRecordStore, open_store, sqlite_url
from storage.sql.engine import Database
from storage.sql.migrating import VERSION_TABLE, known_versions
from storage.sql.tables import metadata

ROOT = Path(__file__).resolve().parents[2]


def python(script: str, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Runs a script in a process of its own."""
    return subprocess.run(
        [sys.executable, "-c", script, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=120, **options
    )


def refusal(url: str, **options: Any) -> str:
    """The sentence with which opening fails."""
    with pytest.raises(BackstoryError) as refused:
        open_store(url, **options)
    sentence = str(refused.value)
    assert "\n" not in sentence
    assert sentence.endswith(".")
    return sentence


def tables(url: str) -> set[str]:
    store = open_store(url)
    try:
        with store.database.reading() as db:
            return set(inspect(db).get_table_names())
    finally:
        store.close()


# Migrations


def other_kind(_context: Any, _column: Any, _known: Any, stored: Any, known: Any) -> bool:
    """Whether types differ by more than the order of letters, which is looked at below."""
    return stored._type_affinity is not known._type_affinity


def test_the_migrations_build_the_tables_that_the_program_knows(store: SqlRecordStore) -> None:
    with store.database.reading() as db:
        context = MigrationContext.configure(db, opts={"version_table": VERSION_TABLE, "compare_type": other_kind})
        assert compare_metadata(context, metadata) == []


def test_partial_indexes_are_partial(store: SqlRecordStore) -> None:
    """What alembic does not compare: an index that lost its condition would grow with every message."""
    partial = {"sessions_open", "sessions_archived", "messages_by_client_id", "messages_by_speaker"}
    catalog = (
        "SELECT name, sql FROM sqlite_master WHERE type = 'index'"
        if store.database.is_sqlite
        else "SELECT indexname, indexdef FROM pg_indexes"
    )
    with store.database.reading() as db:
        written = {name: str(sql) for name, sql in db.execute(text(catalog))}
    assert {name for name in partial if " WHERE " not in written[name]} == set()


def test_text_is_compared_by_code_point_on_postgresql(store: SqlRecordStore) -> None:
    if store.database.is_sqlite:
        return
    with store.database.reading() as db:
        found = db.execute(
            text(
                "SELECT count(*) FROM information_schema.columns WHERE table_schema = 'public' AND data_type = 'text' "
                "AND table_name IN ('messages', 'sessions', 'changes') AND collation_name IS DISTINCT FROM 'C'"
            )
        ).scalar()
    assert found == 0


def test_an_opened_database_opens_again_without_the_migration_library(empty_url: str) -> None:
    script = (
        "import sys; from storage.sql import open_store; open_store(sys.argv[1]).close(); "
        "print('alembic' in sys.modules)"
    )
    assert [python(script, empty_url).stdout.strip() for _ in range(2)] == ["True", "False"]


def test_a_database_of_a_newer_program_is_left_alone(store: SqlRecordStore, database_url: str) -> None:
    with store.database.writing() as db:
        db.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '9999'"))
    try:
        for migrate in (True, False):
            sentence = refusal(database_url, migrate=migrate)
            assert "version 9999, newer than this Backstory knows" in sentence
            assert "install a newer Backstory" in sentence
        with store.database.reading() as db:
            assert db.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar() == "9999"
    finally:
        with store.database.writing() as db:
            db.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = :known"), {"known": known_versions()[-1]})


def test_an_empty_database_gets_its_tables_even_without_leave_to_migrate(empty_url: str) -> None:
    """There is nothing in it that an operator would want to choose the moment for."""
    open_store(empty_url, migrate=False).close()
    assert "messages" in tables(empty_url)


def test_an_older_database_is_brought_up_to_date_with_what_it_holds(
    empty_url: str, owner: Owner, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = known_versions()
    with monkeypatch.context() as older:
        older.setattr("storage.sql.migrating.known_versions", lambda: known[:1])
        store = open_store(empty_url)
        record(store, owner, [NewMessage("user", "before")], Target(), clock)
        store.close()
    assert "is not up to date; run `backstory migrate`" in refusal(empty_url, migrate=False)
    store = open_store(empty_url)
    try:
        record(store, owner, [NewMessage("user", "after")], Target(), clock)
        with store.read(owner) as db:
            session = db.open_session(None)
            assert session is not None
            assert [m.content for m in db.transcript(session.session_id)] == ["before", "after"]
    finally:
        store.close()


def test_a_migration_that_fails_leaves_nothing(empty_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from alembic import op

    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("half way")

    with monkeypatch.context() as broken:
        broken.setattr(op, "bulk_insert", fail)
        with pytest.raises(RuntimeError, match="half way"):
            open_store(empty_url)
    database = Database(empty_url)
    try:
        with database.reading() as db:
            assert inspect(db).get_table_names() == []
    finally:
        database.close()
    assert "messages" in tables(empty_url)


def test_many_processes_open_a_new_database_at_once(empty_url: str) -> None:
    script = """
import sys
from datetime import UTC, datetime
from memory.model import NewMessage, Owner
from memory.record.recording import record
from memory.record.sessions import Target
from storage.sql import open_store
import alembic.command
print("ready", flush=True); sys.stdin.readline()
store = open_store(sys.argv[1])
record(store, Owner("t", "u"), [NewMessage("user", sys.argv[2])], Target(), lambda: datetime.now(UTC))
store.close()
"""
    starters = [
        subprocess.Popen(
            [sys.executable, "-c", script, empty_url, str(n)],
            cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )
        for n in range(6)
    ]  # fmt: skip
    for starter in starters:
        assert starter.stdout is not None
        assert starter.stdout.readline() == "ready\n"
    for starter in starters:
        assert starter.stdin is not None
        starter.stdin.write("go\n")
        starter.stdin.flush()
    errors = [starter.communicate(timeout=120)[1] for starter in starters]
    assert errors == [""] * len(starters)
    store = open_store(empty_url)
    try:
        with store.read(Owner("t", "u")) as db:
            assert db.message_count() == len(starters)
        with store.database.reading() as raw:
            assert raw.execute(text(f"SELECT count(*) FROM {VERSION_TABLE}")).scalar() == 1
    finally:
        store.close()


# URLs


@pytest.mark.parametrize("name", ["plain.db", "what?.db", "a#b%20c&d=e.db", "über uns.db", "new/deep/down.db"])
def test_a_file_of_any_name(tmp_path: Path, name: str) -> None:
    open_store(sqlite_url(tmp_path / name)).close()
    assert (tmp_path / name).is_file()


def test_nobody_else_may_read_the_file(tmp_path: Path, owner: Owner, clock: Any) -> None:
    before = os.umask(0)
    try:
        store = open_store(sqlite_url(tmp_path / "record.db"))
        record(store, owner, [NewMessage("user", "private")], Target(), clock)
    finally:
        os.umask(before)
    try:
        modes = {path.name: path.stat().st_mode & 0o077 for path in tmp_path.iterdir()}
    finally:
        store.close()
    assert modes == dict.fromkeys(["record.db", "record.db-wal", "record.db-shm", "record.db-mark"], 0)


@pytest.mark.parametrize(
    "url", ["", "nonsense", "sqlite://", "sqlite:///", "sqlite:///:memory:", "mysql://h/d", "postgresql+asyncpg://h/d"]
)
def test_a_url_that_cannot_be_used_is_refused(url: str) -> None:
    with pytest.raises(Invalid, match="The database URL"):
        open_store(url)


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_a_server_that_is_not_there_is_named_without_its_password(scheme: str) -> None:
    sentence = refusal(f"{scheme}://ann:hush@127.0.0.1:1/memories")
    assert sentence.startswith("The database memories at 127.0.0.1 cannot be reached")
    assert "hush" not in sentence


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
def test_a_database_that_the_server_does_not_have(database_url: str) -> None:
    url = make_url(database_url).set(database="no_such_database")
    assert "does not exist on the server" in refusal(url.render_as_string(hide_password=False))


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_every_way_to_write_a_postgresql_url(database_url: str, scheme: str) -> None:
    open_store(scheme + database_url[database_url.index("://") :]).close()


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
def test_a_connection_that_broke_is_replaced(store: SqlRecordStore, owner: Owner, clock: Any) -> None:
    record(store, owner, [NewMessage("user", "one")], Target(), clock)
    end_others = text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() "
                      "AND datname = current_database() AND backend_type = 'client backend'")  # fmt: skip
    with store.database.reading() as one, store.database.reading():
        one.execute(end_others)
    record(store, owner, [NewMessage("user", "two")], Target(), clock)
    with pytest.raises(StorageFailed), store.write(owner) as db:
        with store.database.reading() as other:
            other.execute(end_others)
        db.put_strategy("agent", "a", None)
    assert record(store, owner, [NewMessage("user", "three")], Target(), clock).messages[0].seq == 3


# Files that are in the way


def test_a_file_that_is_no_database_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_bytes(b"Dear diary, " * 500)
    assert "is not a Backstory database" in refusal(sqlite_url(path))
    assert path.read_bytes() == b"Dear diary, " * 500


def test_a_directory_in_the_place_of_the_file(tmp_path: Path) -> None:
    assert "cannot be opened" in refusal(sqlite_url(tmp_path))


def test_a_file_in_the_place_of_the_directory(tmp_path: Path) -> None:
    (tmp_path / "data").touch()
    assert "cannot be made" in refusal(sqlite_url(tmp_path / "data" / "record.db"))


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
def test_a_damaged_file_says_so(
    opened: Callable[..., SqlRecordStore], owner: Owner, clock: Any, tmp_path: Path
) -> None:
    store = opened()
    record(store, owner, [NewMessage("user", "x" * 3000) for _ in range(300)], Target(), clock)
    store.close()
    damaged = Path(shutil.copy(tmp_path / "record.db", tmp_path / "damaged.db"))
    size = damaged.stat().st_size
    with damaged.open("r+b") as file:
        file.seek(100 * 4096)
        file.write(os.urandom(size - 100 * 4096))
    with pytest.raises(StorageFailed, match="is damaged; restore a backup"):
        broken = opened(sqlite_url(damaged))
        with broken.read(owner) as db:
            session = db.open_session(None)
            assert session is not None
            db.transcript(session.session_id)
    with pytest.raises(StorageFailed, match="is damaged"):
        opened(sqlite_url(damaged)).audit()


# Where nothing can be written


@pytest.fixture
def public_directory() -> Iterator[Path]:
    """A directory that any user may enter: pytest's own are closed to the user that the scripts below become."""
    path = Path(tempfile.mkdtemp(prefix="backstory-readonly-"))
    path.chmod(0o755)
    yield path
    path.chmod(0o755)
    shutil.rmtree(path)


READ_ONLY_SCRIPT = """
import os, sys
from datetime import UTC, datetime
import alembic.command
from memory.errors import StorageFailed
from memory.model import NewMessage, Owner
from memory.record.recording import record
from memory.record.sessions import Target
from storage.sql import open_store
if os.geteuid() == 0:
    os.seteuid(65534)
try:
    store = open_store(sys.argv[1])
    with store.read(Owner("t", "u")) as db:
        print("read", db.message_count())
    record(store, Owner("t", "u"), [NewMessage("user", "more")], Target(), lambda: datetime.now(UTC))
    print("written")
except StorageFailed as error:
    print(error)
"""


def read_only(path: Path) -> list[str]:
    done = python(READ_ONLY_SCRIPT, sqlite_url(path))
    assert done.stderr == ""
    return done.stdout.splitlines()


def test_a_directory_where_nothing_may_be_made(public_directory: Path) -> None:
    public_directory.chmod(0o555)
    (line,) = read_only(public_directory / "record.db")
    assert line.startswith(f"The database {public_directory / 'record.db'} cannot be made: Permission denied")
    assert list(public_directory.iterdir()) == []


@pytest.mark.parametrize("closed", ["file", "directory", "both"])
def test_a_record_that_may_only_be_read(public_directory: Path, clock: Any, closed: str) -> None:
    path = public_directory / "record.db"
    store = open_store(sqlite_url(path))
    record(store, Owner("t", "u"), [NewMessage("user", "kept")], Target(), clock)
    store.close()
    path.chmod(0o444 if closed != "directory" else 0o666)
    public_directory.chmod(0o555 if closed != "file" else 0o777)
    before = path.read_bytes()
    line = read_only(path)[-1]
    assert "read-only" in line or "cannot be opened" in line
    assert path.read_bytes() == before


def test_a_read_only_server(store: SqlRecordStore, owner: Owner, clock: Any) -> None:
    if store.database.is_sqlite:
        return
    record(store, owner, [NewMessage("user", "kept")], Target(), clock)
    with store.database.engine.connect() as db:
        name = db.execute(text("SELECT current_database()")).scalar()
    admin = store.database.engine.execution_options(isolation_level="AUTOCOMMIT")
    try:
        with admin.connect() as db:
            db.execute(text(f"ALTER DATABASE {name} SET default_transaction_read_only = on"))
        store.database.engine.dispose()
        with pytest.raises(StorageFailed, match="the server is read-only"):
            record(store, owner, [NewMessage("user", "more")], Target(), clock)
        with store.read(owner) as records:
            assert records.message_count() == 1
    finally:
        with admin.connect() as db:
            db.execute(text("SET default_transaction_read_only = off"))
            db.execute(text(f"ALTER DATABASE {name} RESET default_transaction_read_only"))
        store.database.engine.dispose()


# A full disk


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
@pytest.mark.parametrize("size", [200, 200_000])
def test_a_full_database_refuses_whole_turns_and_goes_on_when_there_is_room(
    store: SqlRecordStore, owner: Owner, clock: Any, size: int
) -> None:
    def limit(pages: int) -> None:
        with store.database.engine.connect() as db:
            db.exec_driver_sql(f"PRAGMA max_page_count = {pages}")

    session = record(store, owner, [NewMessage("user", "first")], Target(), clock).session
    with store.database.engine.connect() as db:
        used = int(db.exec_driver_sql("PRAGMA page_count").scalar_one())
    limit(used + 20)
    taken = 1
    with pytest.raises(StorageFailed, match="has no room left on its disk; nothing was half written"):
        for _ in range(10_000):
            record(store, owner, [NewMessage("user", "x" * size), NewMessage("assistant", "y" * size)], Target(), clock)
            taken += 2
    with store.read(owner) as records:
        assert len(records.transcript(session.session_id)) == taken
        assert len(records.changes_after(START, 10_000)) == taken
    assert store.audit() == []
    limit(2**30)
    assert record(store, owner, [NewMessage("user", "z" * size)], Target(), clock).messages[0].seq == taken + 1
    assert store.audit() == []


LIMITED_SCRIPT = """
import resource, sys
from datetime import UTC, datetime
from memory.errors import StorageFailed
from memory.model import NewMessage, Owner
from memory.record.recording import record
from memory.record.sessions import Target
from storage.sql import open_store
store = open_store(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, resource.RLIM_INFINITY))
for n in range(1000):
    try:
        message = NewMessage("user", "x" * 1000, str(n))
        done = record(store, Owner("t", "u"), [message], Target(), lambda: datetime.now(UTC))
    except StorageFailed as error:
        print(error)
        break
    print(done.messages[0].seq)
"""


def test_a_write_that_the_system_refuses_takes_nothing_back(tmp_path: Path) -> None:
    path = tmp_path / "record.db"
    open_store(sqlite_url(path)).close()
    *acknowledged, sentence = python(LIMITED_SCRIPT, sqlite_url(path)).stdout.splitlines()
    assert "nothing was half written" in sentence
    assert acknowledged == [str(n) for n in range(1, len(acknowledged) + 1)]
    assert acknowledged
    store = open_store(sqlite_url(path))
    try:
        assert store.audit() == []
        with store.read(Owner("t", "u")) as db:
            assert db.message_count() == len(acknowledged)
    finally:
        store.close()


# Locks


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
def test_another_program_that_keeps_the_file_locked(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owner: Owner, clock: Any
) -> None:
    monkeypatch.setattr("storage.sql.engine.BUSY_TIMEOUT_S", 0.3)
    store = open_store(database_url)
    other = sqlite3.connect(tmp_path / "record.db", isolation_level=None)
    try:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StorageFailed, match="is kept locked by another program"):
            record(store, owner, [NewMessage("user", "x")], Target(), clock)
        other.execute("ROLLBACK")
        assert record(store, owner, [NewMessage("user", "x")], Target(), clock).messages[0].seq == 1
    finally:
        other.close()
        store.close()


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
def test_another_writer_of_the_same_owner_that_never_ends(
    database_url: str, monkeypatch: pytest.MonkeyPatch, owner: Owner, clock: Any
) -> None:
    monkeypatch.setattr("storage.sql.engine.BUSY_TIMEOUT_S", 0.3)
    store = open_store(database_url)
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with store.write(owner):
            held.set()
            done.wait(30)

    holder = threading.Thread(target=hold)
    holder.start()
    try:
        assert held.wait(10)
        with pytest.raises(StorageFailed, match="made this write wait too long"):
            record(store, owner, [NewMessage("user", "x")], Target(), clock)
    finally:
        done.set()
        holder.join()
        store.close()
