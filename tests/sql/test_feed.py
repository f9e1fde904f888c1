"""The change feed: in order, nothing skipped, nothing twice, whoever commits when."""

import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from sqlalchemy import update

from memory.model import START, Change, Message, NewMessage, Owner, Position, Session, digest_of
from memory.record.recording import record
from memory.record.sessions import Target
from storage.sql import SqlRecordStore, open_store
from storage.sql.tables import changes

AT = datetime(2026, 3, 1, tzinfo=UTC)
ANN, BOB, CY = Owner("t", "ann"), Owner("t", "bob"), Owner("t", "cy")


def add(db: Any, owner: Owner, *seqs: int, status: Any = "final") -> None:
    if db.session("s") is None:
        db.add_session(Session("s", AT, AT))
    batch = [
        Message(f"{owner.user_id}-{n}", "s", n, "user", f"{owner.user_id} {n}", AT, AT, status=status) for n in seqs
    ]
    db.add_messages("s", [replace(m, digest=digest_of(m)) for m in batch])


def follow(store: SqlRecordStore, after: Position = START, limit: int = 3) -> list[Change]:
    """All of the feed after a position, in small steps."""
    found: list[Change] = []
    while page := store.feed(found[-1].position if found else after, limit):
        found += page
    return found


def ids(found: list[Change]) -> list[str]:
    return [change.message_id for change in found]


def test_an_empty_feed(store: SqlRecordStore) -> None:
    assert store.feed(START, 10) == []
    assert store.head() == START
    assert store.feed_messages([]) == {}
    with store.read(ANN) as db:
        assert db.changes_after(START, 10) == []


def test_the_feed_tells_what_happened_in_its_order(store: SqlRecordStore) -> None:
    with store.write(ANN) as db:
        add(db, ANN, 1, 2, 3, status="partial")
    with store.write(BOB) as db:
        add(db, BOB, 1)
    with store.write(ANN) as db:
        old = db.message("ann-2")
        assert old is not None
        db.replace_message(replace(old, content="new", status="final", digest=""))
    with store.write(ANN) as db:
        db.erase_messages(["ann-1", "ann-2"])
    told = follow(store)
    assert [(c.kind.removeprefix("message_"), c.message_id) for c in told] == [
        ("added", "ann-1"), ("added", "ann-2"), ("added", "ann-3"), ("added", "bob-1"), ("edited", "ann-2"),
        ("erased", "ann-1"), ("erased", "ann-2"),
    ]  # fmt: skip
    assert {(c.owner, c.session_id) for c in told} == {(ANN, "s"), (BOB, "s")}
    positions = [c.position for c in told]
    assert positions == sorted(set(positions), key=lambda p: (p.xid, p.change_id))
    assert store.head() == positions[-1]
    with store.read(ANN) as db:
        assert db.changes_after(START, 100) == [c for c in told if c.owner == ANN]
        assert db.changes_after(positions[1], 2) == [c for c in told if c.owner == ANN][2:4]
        assert [m.message_id for m in db.unsettled_messages(START, 10)] == ["ann-3"]
    assert store.feed_messages(told).keys() == {(ANN, "ann-3"), (BOB, "bob-1")}


def test_a_large_batch_is_told_by_seq(store: SqlRecordStore) -> None:
    with store.write(ANN) as db:
        add(db, ANN, *range(1, 1501))
    assert ids(follow(store, limit=400)) == [f"ann-{n}" for n in range(1, 1501)]
    with store.read(ANN) as db:
        newest = db.unsettled_messages(START, 5)
    assert [m.seq for m in newest] == [1500, 1499, 1498, 1497, 1496]


def test_a_message_that_changed_often_counts_once(store: SqlRecordStore) -> None:
    with store.write(ANN) as db:
        add(db, ANN, 1, 2, status="partial")
    for n in range(12):
        with store.write(ANN) as db:
            old = db.message("ann-2")
            assert old is not None
            db.replace_message(replace(old, content=f"try {n}", digest=""))
    with store.read(ANN) as db:
        assert [m.content for m in db.unsettled_messages(START, 2)] == ["try 11", "ann 1"]
        assert db.unsettled_messages(START, 0) == []
    with store.read(BOB) as db:
        assert db.unsettled_messages(START, 2) == []


def test_what_is_rolled_back_is_not_told(store: SqlRecordStore) -> None:
    with pytest.raises(KeyError), store.write(ANN) as db:
        add(db, ANN, 1)
        raise KeyError
    with store.write(ANN) as db:
        add(db, ANN, 1)
    assert ids(follow(store)) == ["ann-1"]


def test_cursors_are_kept_by_name(store: SqlRecordStore, opened: Callable[[], SqlRecordStore]) -> None:
    assert store.cursor("node/keywords") == START
    store.set_cursor("node/keywords", Position(2**62, 7))
    store.set_cursor("node/vectors", Position(0, 1))
    store.set_cursor("node/keywords", Position(2**62, 9))
    again = opened()
    assert again.cursor("node/keywords") == Position(2**62, 9)
    assert again.cursor("node/vectors") == Position(0, 1)
    store.set_cursor("node/keywords", START)
    assert again.cursor("node/keywords") == START


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
def test_a_change_that_commits_late_is_not_skipped(store: SqlRecordStore) -> None:
    """Bob's transaction begins first and commits last: what Ann wrote meanwhile must wait for it in the feed."""
    with store.write(CY) as db:
        add(db, CY, 1)
    with ExitStack() as stack:
        slow = stack.enter_context(store.write(BOB))
        add(slow, BOB, 1, 2)
        with store.write(ANN) as db:
            add(db, ANN, 1)
        seen = follow(store)
        assert ids(seen) == ["cy-1"]
        head = store.head()
        with store.read(ANN) as db:
            # Committed, not told yet, and found nevertheless.
            assert db.changes_after(head, 10) == []
            assert [m.message_id for m in db.unsettled_messages(head, 10)] == ["ann-1"]
        with store.read(BOB) as db:
            assert db.unsettled_messages(head, 10) == []
    assert ids(follow(store, head)) == ["bob-1", "bob-2", "ann-1"]
    with store.read(ANN) as db:
        assert ids(db.changes_after(head, 10)) == ["ann-1"]


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
def test_the_feed_of_a_restored_dump_goes_on(store: SqlRecordStore, database_url: str) -> None:
    """Another server had counted its transactions much further."""
    with store.write(ANN) as db:
        add(db, ANN, 1, 2)
    with store.database.writing() as raw:
        raw.execute(update(changes).values(xid=changes.c.xid + 10**12))
    assert follow(store) == []
    restored = open_store(database_url)
    try:
        assert ids(follow(restored)) == ["ann-1", "ann-2"]
        head = restored.head()
        with restored.write(BOB) as db:
            add(db, BOB, 1)
        assert ids(follow(restored, head)) == ["bob-1"]
        with restored.read(BOB) as db:
            assert [m.message_id for m in db.unsettled_messages(head, 9)] == ["bob-1"]
    finally:
        restored.close()


def test_a_follower_misses_nothing_of_many_writers(store: SqlRecordStore, clock: Any) -> None:
    """Four owners write at once, in transactions of different lengths, while one follows the feed."""
    owners = [Owner("t", f"u{n}") for n in range(4)]
    rounds, failures = 12, list[BaseException]()

    def write(place: int) -> None:
        try:
            for n in range(rounds):
                with store.write(owners[place]) as db:
                    add(db, owners[place], 2 * n + 1, 2 * n + 2)
                    time.sleep((place + n) % 3 * 0.004)
        except BaseException as error:
            failures.append(error)

    writers = [threading.Thread(target=write, args=(n,)) for n in range(len(owners))]
    for writer in writers:
        writer.start()
    told: list[Change] = []
    while any(writer.is_alive() for writer in writers):
        told += store.feed(told[-1].position if told else START, 7)
    for writer in writers:
        writer.join()
    told += follow(store, told[-1].position if told else START)
    assert failures == []
    assert len(ids(told)) == len(set(ids(told))) == len(owners) * rounds * 2
    for owner in owners:
        assert ids([c for c in told if c.owner == owner]) == [f"{owner.user_id}-{n}" for n in range(1, 2 * rounds + 1)]


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
def test_an_idle_transaction_elsewhere_on_the_server_does_not_hold_back_the_search(
    store: SqlRecordStore, database_url: str, clock: Any
) -> None:
    """The oldest open transaction may be anybody's: the feed waits for it, what search must find does not."""
    with psycopg.connect(database_url) as stranger:
        stranger.execute("SELECT pg_current_xact_id()")
        record(store, ANN, [NewMessage("user", "hello")], Target(), clock)
        with store.read(ANN) as db:
            assert [m.content for m in db.unsettled_messages(store.head(), 5)] == ["hello"]
        assert follow(store) == []
        stranger.rollback()
    assert len(follow(store)) == 1
