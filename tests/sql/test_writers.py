"""Several writers at once: threads and processes, one owner or many, on both databases."""

import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from memory.errors import StorageFailed
from memory.model import START, NewMessage, Owner, Session, SessionFilter, UserContextEntry
from memory.record.recording import record
from memory.record.sessions import Target
from storage.sql import SqlRecordStore, open_store
from storage.sql import engine as sql_engine
from storage.sql.turnstile import Turnstile

ROOT = Path(__file__).resolve().parents[2]
AT = datetime(2026, 3, 1, tzinfo=UTC)

WRITER = """
import sys
from datetime import UTC, datetime
from memory.model import NewMessage, Owner
from memory.record.recording import record
from memory.record.sessions import Target
from storage.sql import open_store

url, name, count, user, session = sys.argv[1:6]
store = open_store(url)
print("ready", flush=True)
sys.stdin.readline()
for n in range(int(count)):
    target = Target(external_id=session) if session else Target()
    said = [NewMessage("user", f"{name} {n}", f"{name}-{n}")]
    done = record(store, Owner("t", user), said, target, lambda: datetime.now(UTC))
    print(done.messages[0].seq, flush=True)
store.close()
"""


def at_once(*work: Callable[[], Any]) -> list[Any]:
    """Runs all in threads that begin together; raises what the first of them raised."""
    gate, results, failures = threading.Barrier(len(work)), [None] * len(work), list[BaseException]()

    def run(place: int) -> None:
        try:
            gate.wait()
            results[place] = work[place]()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=(n,)) for n in range(len(work))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return results


def test_threads_share_a_session_without_gaps(store: SqlRecordStore, owner: Owner, clock: Any) -> None:
    def lines(name: int) -> list[int]:
        return [
            record(store, owner, [NewMessage("user", f"{name} {n}")] * 2, Target(), clock).messages[0].seq
            for n in range(15)
        ]

    seqs = [seq for some in at_once(*[lambda n=n: lines(n) for n in range(8)]) for seq in some]
    assert sorted(seqs) == list(range(1, 241, 2))
    with store.read(owner) as db:
        sessions = db.sessions(SessionFilter(), 9)
        assert len(sessions) == 1
        assert [m.seq for m in db.transcript(sessions[0].session_id)] == list(range(1, 241))
    assert store.audit() == []


def test_one_batch_sent_by_many_at_once_is_recorded_once(store: SqlRecordStore, owner: Owner, clock: Any) -> None:
    batch = [NewMessage("user", f"line {n}", f"id-{n}") for n in range(5)]

    def send() -> tuple[tuple[str, int], ...]:
        done = record(store, owner, batch, Target(external_id="call"), clock)
        return tuple((m.message_id, m.seq) for m in done.messages)

    assert len(set(at_once(*[send] * 8))) == 1
    with store.read(owner) as db:
        assert db.message_count() == 5
        assert len(db.changes_after(START, 100)) == 5


def test_no_update_of_the_user_context_is_lost(store: SqlRecordStore, owner: Owner) -> None:
    def count_up() -> None:
        for _ in range(10):
            with store.write(owner) as db:
                held = db.user_context(None, ["n"])
                value, version = (held[0].value, held[0].version) if held else (0, 0)
                db.put_user_context(UserContextEntry("n", value + 1, "state", version + 1, AT))

    at_once(*[count_up] * 4)
    with store.read(owner) as db:
        assert [e.value for e in db.user_context(None)] == [40]
        assert [e.value for e in db.user_context_history(None)] == list(range(1, 41))


def test_who_waited_sees_what_the_other_wrote(
    store: SqlRecordStore, opened: Callable[[], SqlRecordStore], owner: Owner
) -> None:
    """The second transaction begins before the first commits, from another process' point of view."""
    other, seen, waiting = opened(), list[str | None](), threading.Event()

    def second() -> None:
        waiting.set()
        with other.write(owner) as db:
            session = db.session("s")
            seen.append(session.title if session else None)
            if session is None:
                db.add_session(Session("s", AT, AT, title="second"))

    with store.write(owner) as db:
        thread = threading.Thread(target=second)
        thread.start()
        waiting.wait()
        time.sleep(0.3)
        db.add_session(Session("s", AT, AT, title="first"))
    thread.join()
    assert seen == ["first"]


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
def test_owners_do_not_wait_for_each_other(store: SqlRecordStore) -> None:
    with store.write(Owner("t", "ann")) as slow:
        slow.add_session(Session("s", AT, AT))
        with store.write(Owner("t", "bob")) as quick:
            quick.add_session(Session("s", AT, AT))
    for user in ("ann", "bob"):
        with store.read(Owner("t", user)) as db:
            assert db.session("s") is not None


def test_readers_do_not_wait_for_a_writer(store: SqlRecordStore, owner: Owner) -> None:
    with store.write(owner) as writing:
        writing.add_session(Session("s", AT, AT))
        with store.read(owner) as reading:
            assert reading.session("s") is None


def test_nothing_is_left_of_a_write_that_failed(store: SqlRecordStore, owner: Owner, clock: Any) -> None:
    with pytest.raises(ZeroDivisionError), store.write(owner) as db:
        db.add_session(Session("s", AT, AT))
        db.put_user_context(UserContextEntry("k", 1, "fact", 1, AT))
        raise ZeroDivisionError
    with store.read(owner) as db:
        assert (db.session("s"), db.user_context(None), db.user_context_history(None), db.revision()) == (
            None,
            [],
            [],
            0,
        )
    assert record(store, owner, [NewMessage("user", "goes on")], Target(), clock).messages[0].seq == 1


def test_a_writer_that_waits_too_long_is_told_so(
    store: SqlRecordStore, database_url: str, owner: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sql_engine, "BUSY_TIMEOUT_S", 0.5)
    impatient = open_store(database_url)
    try:
        with store.write(owner):
            with pytest.raises(StorageFailed) as waited, impatient.write(owner):
                pass
            sentence = str(waited.value)
            assert "nothing was" in sentence
            assert "try again" in sentence
            assert "\n" not in sentence
        with impatient.write(owner) as db:
            db.add_session(Session("s", AT, AT))
    finally:
        impatient.close()


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
def test_a_write_inside_a_write_of_the_same_thread_is_an_error(store: SqlRecordStore, owner: Owner) -> None:
    """PostgreSQL has no queue of its own for writes."""
    with store.write(owner) as db:
        db.add_session(Session("s", AT, AT))
        with pytest.raises(RuntimeError, match="inside another"), store.write(Owner("t", "other")):
            pass
    with store.read(owner) as db:
        assert db.session("s") is not None


def test_the_turnstile_serves_in_order_of_arrival() -> None:
    turnstile, served, threads = Turnstile(10), list[int](), list[threading.Thread]()

    def pass_through(n: int) -> None:
        with turnstile.passage():
            served.append(n)

    with turnstile.passage():
        for n in range(12):
            threads.append(threading.Thread(target=pass_through, args=(n,)))
            threads[-1].start()
            while len(turnstile._waiting) <= n:
                time.sleep(0.001)
    for thread in threads:
        thread.join()
    assert served == list(range(12))


def test_a_turnstile_that_was_given_up_stays_usable() -> None:
    turnstile = Turnstile(0.05)
    with turnstile.passage():
        outcome = list[BaseException]()

        def wait() -> None:
            try:
                with turnstile.passage():
                    raise AssertionError("nobody let it through")
            except StorageFailed as error:
                outcome.append(error)

        threads = [threading.Thread(target=wait) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(outcome) == 3
    with turnstile.passage():
        pass


def spawn(url: str, name: str, count: int, user: str, session: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, url, name, str(count), user, session],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


@pytest.mark.parametrize("shared", ["call", ""])
def test_four_processes_write_at_once(database_url: str, store: SqlRecordStore, shared: str) -> None:
    """Two of them for one user and one session (named, or the open one), no error, nothing lost, no gap."""
    count, users = 40, ["ann", "ann", "bob", "cy"]
    writers = [spawn(database_url, f"w{n}", count, user, shared) for n, user in enumerate(users)]
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write("go\n")
        writer.stdin.flush()
    seqs: dict[str, list[int]] = {"ann": [], "bob": [], "cy": []}
    for writer, user in zip(writers, users, strict=True):
        out, err = writer.communicate(timeout=120)
        assert (writer.returncode, err) == (0, "")
        seqs[user] += map(int, out.split())
    for user, total in Counter(users).items():
        assert sorted(seqs[user]) == list(range(1, total * count + 1))
        with store.read(Owner("t", user)) as db:
            sessions = db.sessions(SessionFilter(), 9)
            assert len(sessions) == 1
            assert [m.seq for m in db.transcript(sessions[0].session_id)] == list(range(1, total * count + 1))
    assert store.audit() == []
    assert len({c.message_id + c.owner.user_id for c in store.feed(START, 1000)}) == len(users) * count


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
def test_postgresql_writes_are_read_committed_and_reads_a_snapshot(store: SqlRecordStore) -> None:
    with store.database.writing() as db:
        assert db.execute(text("SHOW transaction_isolation")).scalar() == "read committed"
    with store.database.reading() as db:
        assert db.execute(text("SHOW transaction_isolation")).scalar() == "repeatable read"


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
def test_sqlite_is_opened_for_durability(store: SqlRecordStore) -> None:
    expected = {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "secure_delete": 1}
    with store.database.reading() as db:
        assert {name: db.execute(text(f"PRAGMA {name}")).scalar() for name in expected} == expected
