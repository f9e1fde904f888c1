"""When the database goes away or its file is spoiled: one sentence each time, nothing lost, and on again afterwards."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from memory.errors import BackstoryError, Invalid, StorageFailed
from memory.model import NewMessage, Owner
from memory.record.recording import record
from memory.record.sessions import Target
from storage.sql import SqlRecordStore, open_store, sqlite_url
from storage.sql.engine import Database

SECRET = "hush-hush"


def one_sentence(failed: pytest.ExceptionInfo[BackstoryError]) -> str:
    words = str(failed.value)
    assert "\n" not in words
    assert words.endswith(".")
    assert len(words) < 400
    return words


# A server that stops


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
def test_a_server_that_restarts_is_found_again(
    store: SqlRecordStore, owner: Owner, clock: Any, postgresql: Any
) -> None:
    first = record(store, owner, [NewMessage("user", "before", "1")], Target(), clock)
    postgresql.server.stop()
    try:
        for _ in range(3):
            with pytest.raises(StorageFailed) as failed:
                record(store, owner, [NewMessage("user", "meanwhile", "2")], Target(), clock)
            assert "cannot be reached" in one_sentence(failed)
            with pytest.raises(StorageFailed), store.read(owner) as db:
                db.message_count()
    finally:
        postgresql.server.start()
    done = record(store, owner, [NewMessage("user", "before", "1"), NewMessage("user", "after", "3")], Target(), clock)
    assert done.duplicates == ("1",)
    assert [m.seq for m in done.messages] == [1, 2]
    assert done.session.session_id == first.session.session_id
    assert store.audit() == []


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
def test_a_server_that_stops_in_the_middle_of_a_write(
    store: SqlRecordStore, owner: Owner, clock: Any, postgresql: Any
) -> None:
    with pytest.raises(StorageFailed) as failed, store.write(owner) as db:
        db.put_strategy("agent", "a", None)
        postgresql.server.stop()
        postgresql.server.start()
        db.message_count()
    assert "cannot be reached" in one_sentence(failed)
    with store.read(owner) as db:
        assert db.revision() == 0
    assert record(store, owner, [NewMessage("user", "on")], Target(), clock).messages[0].seq == 1


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
def test_more_threads_than_connections_wait_for_their_turn(store: SqlRecordStore, clock: Any) -> None:
    failures = list[BaseException]()

    def write(n: int) -> None:
        try:
            for _ in range(3):
                record(store, Owner("t", f"u{n}"), [NewMessage("user", "x")], Target(), clock)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=write, args=(n,)) for n in range(60)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


# A file that is spoiled


SPOILED: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "text": (lambda _: b"this is a letter, not a database\n" * 200, "is not a Backstory database"),
    "zeroed head": (lambda data: b"\0" * 4096 + data[4096:], "is not a Backstory database"),
    "cut": (lambda data: data[:4096], "is damaged"),
    "scribbled": (lambda data: data[:100] + b"\xff" * 3000 + data[3100:], "is damaged"),
}


@pytest.mark.parametrize("how", SPOILED)
def test_a_spoiled_file_is_named_and_left_as_it_is(tmp_path: Path, how: str) -> None:
    spoil, words = SPOILED[how]
    path = tmp_path / "record.db"
    open_store(sqlite_url(path)).close()
    path.write_bytes(spoil(path.read_bytes()))
    before = path.read_bytes()
    with pytest.raises(StorageFailed) as failed:
        open_store(sqlite_url(path))
    assert str(path) in one_sentence(failed)
    assert words in str(failed.value)
    assert path.read_bytes() == before


def test_tables_of_another_program_are_not_taken_over(empty_url: str) -> None:
    """One of them is called as one of ours."""
    database = Database(empty_url)
    with database.writing() as db:
        db.execute(text("CREATE TABLE messages (id integer)"))
        db.execute(text("INSERT INTO messages VALUES (1)"))
    with pytest.raises(StorageFailed) as failed:
        open_store(empty_url)
    one_sentence(failed)
    with database.writing() as db:
        assert db.execute(text("SELECT id FROM messages")).all() == [(1,)]
        db.execute(text("DROP TABLE messages"))
    database.close()
    open_store(empty_url).close()


# URLs that are refused keep their secrets


@pytest.mark.parametrize(
    "url",
    [
        f"mysql://u:{SECRET}@h/db",
        f"postgresql://u:{SECRET}@h:port/db",
        f"postgresql+asyncpg://u:{SECRET}@h/db",
        f"postgresql://u:{SECRET}@127.0.0.1:1/db",
        f"postgresql://u:{SECRET}@/db?host=/nowhere",
        f"postgresql://127.0.0.1:1/db?user=u&password={SECRET}",
        f"postgresql://u:{SECRET}@127.0.0.1:1/db?sslmode={SECRET}",
        f"postgresql://u:{SECRET}@127.0.0.1:1/db?nonsense=1",
        f"u:{SECRET}@h",
    ],
)
def test_a_secret_is_never_shown(url: str) -> None:
    with pytest.raises((Invalid, StorageFailed)) as failed:
        open_store(url)
    assert SECRET not in one_sentence(failed)


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
def test_a_user_that_the_server_refuses(database_url: str) -> None:
    with pytest.raises(StorageFailed) as failed:
        open_store(database_url.replace("postgres:@", f"eve:{SECRET}@"))
    assert "refuses the user" in one_sentence(failed)
    assert SECRET not in str(failed.value)


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
def test_a_user_without_rights_is_told_so(database_url: str, store: SqlRecordStore, owner: Owner, clock: Any) -> None:
    with store.database.writing() as db:
        db.execute(text("DO $$ BEGIN CREATE ROLE reader LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$"))
        db.execute(text("GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader"))
    reader = open_store(database_url.replace("postgres:@", "reader:@"))
    try:
        with reader.read(owner) as records:
            assert records.message_count() == 0
        with pytest.raises(StorageFailed) as failed:
            record(reader, owner, [NewMessage("user", "x")], Target(), clock)
        assert "grant the rights" in one_sentence(failed)
    finally:
        reader.close()
        with store.database.writing() as db:
            db.execute(text("REVOKE ALL ON ALL TABLES IN SCHEMA public FROM reader"))
