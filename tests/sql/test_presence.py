"""A SQLite file that is deleted, moved or replaced under a running server: what was acknowledged is still there."""

import logging
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from memory.errors import StorageFailed
from memory.model import NewMessage, Owner
from memory.record.recording import record
from memory.record.sessions import Target
from storage.sql import SqlRecordStore, open_store, sqlite_url

ROOT = Path(__file__).resolve().parents[2]
ANN = Owner("acme", "ann")
pytestmark = pytest.mark.reliability


@pytest.fixture(autouse=True)
def counted(tried: Callable[[str, int], None]) -> None:
    tried("database or its log deleted, moved or replaced while it is open", 1)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def path(home: Path) -> Path:
    return home / "record.db"


@pytest.fixture
def running(path: Path) -> Any:
    store = open_store(sqlite_url(path))
    yield store
    store.close()


def say(store: SqlRecordStore, text: str, clock: Any) -> None:
    record(store, ANN, [NewMessage("user", text, text)], Target(external_id="s"), clock)


def kept(path: Path) -> list[str]:
    """What a server that starts now finds."""
    store = open_store(sqlite_url(path))
    try:
        with store.read(ANN) as records:
            session = records.session_by_external_id("s")
            return [m.content for m in records.transcript(session.session_id)] if session else []
    finally:
        store.close()


def copied(path: Path, to: Path) -> Path:
    """A copy as backups make it, of all that was committed."""
    import sqlite3

    with sqlite3.connect(path) as source, sqlite3.connect(to) as target:
        source.backup(target)
    source.close()
    target.close()
    return to


def delete_directory(path: Path) -> None:
    shutil.rmtree(path.parent)


def delete_file(path: Path) -> None:
    path.unlink()


def move_directory(path: Path) -> None:
    path.parent.rename(path.parent.with_name("elsewhere"))


def empty_directory_in_its_place(path: Path) -> None:
    shutil.rmtree(path.parent)
    path.parent.mkdir()


def empty_file_in_its_place(path: Path) -> None:
    path.unlink()
    path.touch()


@pytest.mark.parametrize(
    "harm",
    [delete_directory, delete_file, move_directory, empty_directory_in_its_place, empty_file_in_its_place],
    ids=lambda harm: harm.__name__,
)
def test_nothing_is_acknowledged_that_would_be_lost(
    running: SqlRecordStore, path: Path, clock: Any, harm: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    say(running, "before", clock)
    harm(path)
    acknowledged = []
    with caplog.at_level(logging.ERROR, "backstory.store"):
        for text in ("one", "two", "three"):
            with pytest.raises(StorageFailed, match="while it was"):
                say(running, text, clock)
                acknowledged.append(text)
        with pytest.raises(StorageFailed), running.read(ANN) as records:
            records.message_count()
    assert acknowledged == []
    assert len(caplog.records) == 1, "one clear line, however often it is asked"
    assert "\n" not in caplog.text.strip()


def test_what_is_put_back_is_taken_up_again(running: SqlRecordStore, path: Path, clock: Any) -> None:
    say(running, "before", clock)
    away = path.parent.with_name("away")
    path.parent.rename(away)
    with pytest.raises(StorageFailed):
        say(running, "meanwhile", clock)
    away.rename(path.parent)
    say(running, "after", clock)
    assert kept(path) == ["before", "after"]


def test_a_restored_copy_is_opened_and_written_to(
    running: SqlRecordStore, path: Path, clock: Any, tmp_path: Path
) -> None:
    say(running, "one", clock)
    backup = copied(path, tmp_path / "backup.db")
    say(running, "two", clock)
    told: list[str] = []
    running.database.hear_reopening(lambda: told.append("reopened"))
    backup.replace(path)
    say(running, "three", clock)
    assert kept(path) == ["one", "three"]
    assert told == ["reopened"]


def test_an_older_version_that_is_put_in_place_is_brought_up_to_date(
    running: SqlRecordStore, path: Path, clock: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from storage.sql.migrating import known_versions

    older = tmp_path / "older.db"
    known = known_versions()
    with monkeypatch.context() as past:
        past.setattr("storage.sql.migrating.known_versions", lambda: known[:1])
        open_store(sqlite_url(older)).close()
    shutil.rmtree(path.parent)
    path.parent.mkdir()
    older.rename(path)
    say(running, "after", clock)
    assert kept(path) == ["after"]


def test_another_kind_of_file_in_its_place_is_refused(running: SqlRecordStore, path: Path, clock: Any) -> None:
    say(running, "before", clock)
    other = path.with_name("other")
    other.write_bytes(b"something else entirely " * 400)
    other.replace(path)
    for _ in range(2):
        with pytest.raises(StorageFailed):
            say(running, "lost", clock)
    assert path.read_bytes().startswith(b"something else")


def test_a_log_that_is_deleted_under_a_running_server_loses_nothing(
    running: SqlRecordStore, path: Path, clock: Any
) -> None:
    for text in ("one", "two"):
        say(running, text, clock)
    for side in ("-wal", "-shm"):
        path.with_name(path.name + side).unlink()
    say(running, "three", clock)
    assert kept(path) == ["one", "two", "three"]
    assert running.audit() == []


RECORDER = """
import sys, os
from datetime import UTC, datetime
from memory.model import NewMessage, Owner
from memory.record.recording import record
from memory.record.sessions import Target
from storage.sql import open_store
store = open_store(sys.argv[1])
ann, target = Owner("acme", "ann"), Target(external_id="s")
for n in range(20):
    record(store, ann, [NewMessage("user", f"turn {n}")], target, lambda: datetime.now(UTC))
print("recorded", flush=True); sys.stdin.readline()
"""


def killed_recorder(path: Path) -> None:
    recorder = subprocess.Popen(
        [sys.executable, "-c", RECORDER, sqlite_url(path)],
        cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert recorder.stdout is not None
    assert recorder.stdout.readline() == "recorded\n"
    recorder.send_signal(signal.SIGKILL)
    recorder.communicate()


def test_a_log_that_is_deleted_after_a_crash_is_noticed(
    path: Path, clock: Any, caplog: pytest.LogCaptureFixture
) -> None:
    open_store(sqlite_url(path)).close()
    killed_recorder(path)
    path.with_name(path.name + "-wal").unlink()
    with caplog.at_level(logging.ERROR, "backstory.store"):
        store = open_store(sqlite_url(path))
        try:
            assert store.lost_changes() == 20
            assert "lacks 20 changes" in caplog.text
            say(store, "on", clock)
            assert store.lost_changes() == 0
        finally:
            store.close()


def test_a_crash_alone_is_no_loss(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    killed_recorder(path)
    assert len(kept(path)) == 20
    assert caplog.text == ""


@pytest.mark.skipif(os.name == "nt", reason="open files cannot be moved there")
def test_another_process_is_not_mistaken_for_a_replacement(running: SqlRecordStore, path: Path, clock: Any) -> None:
    say(running, "one", clock)
    assert kept(path) == ["one"]
    other = open_store(sqlite_url(path))
    say(other, "two", clock)
    other.close()
    say(running, "three", clock)
    assert kept(path) == ["one", "two", "three"]
