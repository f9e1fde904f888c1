"""The writer: catching up, mending, rebuilding, and going on when something it needs is not there."""

import json
import os
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from memory.errors import Unavailable
from memory.model import START, MessageFilter, Owner
from memory.ports import Replica
from storage.lance import IndexWriter, LanceIndex

if TYPE_CHECKING:
    from tests.lance.conftest import Bag, House, Record

ALL = MessageFilter()


def ids(found: Iterable[tuple[str, float]]) -> list[str]:
    return [message_id for message_id, _ in found]


def until(condition: Callable[[], object], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to be"
        time.sleep(0.02)


def tables(house: "House") -> set[str]:
    return {path.name.rpartition("-")[0] for path in house.index_path.glob("*.lance")}


def damage(path: Path) -> None:
    """What a power cut leaves: files that have their names and nothing in them."""
    for file in path.rglob("*"):
        if file.is_file():
            file.write_bytes(b"")


def test_nothing_recorded_is_caught_up_at_once(house: "House", record: "Record", bag: "Bag") -> None:
    writer = house.running(record, bag)
    assert writer.wait_until_caught_up(20)
    assert writer.lag().keywords == writer.lag().vectors == 0


@pytest.mark.skipif(os.name != "posix", reason="needs file modes")
def test_nobody_else_may_look_into_the_index(house: "House", record: "Record", bag: "Bag") -> None:
    assert house.running(record, bag).wait_until_caught_up(20)
    assert house.index_path.stat().st_mode & 0o077 == 0


def test_without_an_embedder_keywords_are_all(house: "House", record: "Record", ann: Owner) -> None:
    (name,) = record.add(ann, "tea")
    writer = house.running(record, None)
    assert writer.wait_until_caught_up(20)
    assert tables(house) == {"keywords"}
    assert writer.lag().vectors is None
    assert ids(house.index(None, record.store).keyword_candidates(ann, ALL, ["tea"], 5)) == [name]


def test_the_writer_gives_the_index_its_positions(house: "House", record: "Record", bag: "Bag", ann: Owner) -> None:
    record.add(ann, "tea")
    index = house.index(bag)
    assert index.position("keywords") == START
    writer = IndexWriter(record.store, index, house.words, bag, upkeep=False)
    writer.start()
    try:
        assert writer.wait_until_caught_up(20)
        assert index.position("keywords") == index.position("vectors") == record.store.head()
    finally:
        writer.stop(10)


def test_edits_and_erasures_reach_both_tables(house: "House", record: "Record", bag: "Bag", ann: Owner) -> None:
    kept, edited, gone = record.add(ann, "tea", "coffee", "milk")
    writer = house.running(record, bag)
    assert writer.wait_until_caught_up(20)
    record.edit(ann, edited, "cocoa")
    record.erase(ann, gone)
    assert writer.wait_until_caught_up(20)
    index = house.index(bag, record.store)
    assert index.keyword_candidates(ann, ALL, ["milk", "coffee"], 5) == []
    assert ids(index.keyword_candidates(ann, ALL, ["cocoa"], 5)) == [edited]
    assert sorted(index.vectors(ann)[0]) == sorted([kept, edited])
    assert index.vector_candidates(ann, ALL, bag.embed_query("cocoa"), 1)[0] == pytest.approx((edited, 1.0), abs=1e-5)


def test_a_writer_can_be_stopped_and_started_again(house: "House", record: "Record", bag: "Bag", ann: Owner) -> None:
    writer = house.running(record, bag)
    assert writer.wait_until_caught_up(20)
    writer.stop(10)
    assert not writer.holding
    record.add(ann, "tea")
    assert not writer.wait_until_caught_up(0.2)
    writer.start()
    assert writer.wait_until_caught_up(20)
    assert writer.holding


def test_keywords_do_not_wait_for_an_embedder_that_is_away(
    house: "House", record: "Record", bag: "Bag", ann: Owner, caplog: pytest.LogCaptureFixture
) -> None:
    bag.failing = Unavailable("The endpoint is down.")
    writer = house.running(record, bag)
    (name,) = record.add(ann, "tea")
    index = house.index(bag, record.store)
    until(lambda: ids(index.keyword_candidates(ann, ALL, ["tea"], 5)) == [name])
    until(lambda: "The endpoint is down." in caplog.text)
    assert writer.lag().vectors
    assert not writer.wait_until_caught_up(0.7)
    assert caplog.text.count("The endpoint is down.") == 1
    bag.failing = None
    assert writer.wait_until_caught_up(20)
    assert index.vectors(ann)[0] == [name]
    until(lambda: "Indexing vectors goes on." in caplog.text)


def test_another_embedder_means_new_vectors_and_the_same_keywords(
    house: "House", record: "Record", bag: "Bag", ann: Owner, new_embedder: "Callable[..., Bag]"
) -> None:
    record.add(ann, "tea", "coffee")
    first = house.running(record, bag)
    assert first.wait_until_caught_up(20)
    first.stop(10)
    keywords = house.active("keywords")
    for other in (new_embedder("other"), new_embedder("other", 12)):
        writer = house.running(record, other)
        assert writer.wait_until_caught_up(20)
        index = house.index(other, record.store)
        assert len(index.vectors(ann)[0]) == 2
        assert index.vectors(ann)[2].shape == (2, other.dimension)
        assert house.active("keywords") == keywords
        writer.stop(10)
        assert sorted(path.name.partition("-")[0] for path in house.index_path.glob("*.lance")) == [
            "keywords",
            "vectors",
        ]
    assert house.index(bag, record.store).position("vectors") == START


def test_a_dimension_that_changes_under_way_means_new_vectors(
    house: "House", record: "Record", bag: "Bag", ann: Owner
) -> None:
    record.add(ann, "tea")
    writer = house.running(record, bag)
    assert writer.wait_until_caught_up(20)
    bag.dimension = 10
    record.add(ann, "coffee")
    assert writer.wait_until_caught_up(20)
    assert house.index(bag, record.store).vectors(ann)[2].shape == (2, 10)


def test_another_analyzer_means_new_keywords_while_the_old_ones_answer(
    house: "House", record: "Record", bag: "Bag", ann: Owner
) -> None:
    (name,) = record.add(ann, "tea")
    first = house.running(record, bag)
    assert first.wait_until_caught_up(20)
    first.stop(10)
    before = house.active("keywords")
    second = house.running(record, bag, analyzer=type(house.words)("2"))
    assert second.wait_until_caught_up(20)
    assert house.active("keywords") != before
    assert ids(house.index(bag, record.store).keyword_candidates(ann, ALL, ["tea"], 5)) == [name]


def test_a_rebuild_never_leaves_a_search_without_an_answer(
    house: "House", record: "Record", bag: "Bag", ann: Owner
) -> None:
    names = record.add(ann, *[f"tea number {n}" for n in range(300)])
    writer = house.running(record, bag)
    assert writer.wait_until_caught_up(30)
    index = house.index(bag, record.store)
    before = {house.active("keywords"), house.active("vectors")}
    head = record.store.head()
    writer.rebuild()
    looks = 0
    while not writer.wait_until_caught_up(0):
        assert index.position("keywords") == index.position("vectors") == head
        assert len(index.keyword_candidates(ann, ALL, ["tea"], 500)) == len(names)
        assert len(index.vectors(ann)[0]) == len(names)
        looks += 1
    assert looks > 3
    assert before.isdisjoint({house.active("keywords"), house.active("vectors")})
    assert index.position("keywords") == index.position("vectors") == head
    assert sorted(index.vectors(ann)[0]) == sorted(names)


def test_a_rebuild_is_taken_up_after_a_restart(house: "House", record: "Record", bag: "Bag", ann: Owner) -> None:
    record.add(ann, *["tea"] * 50)
    first = house.running(record, bag)
    assert first.wait_until_caught_up(20)
    first.stop(10)
    first.rebuild()
    assert not first.wait_until_caught_up(0.1)
    second = house.running(record, bag)
    assert second.wait_until_caught_up(20)
    until(lambda: len(list(house.index_path.glob("*.lance"))) == 2)
    assert not list(house.index_path.glob("*.rebuild"))


def test_a_build_given_up_holds_nothing_in_the_record(house: "House", record: "Record", bag: "Bag", ann: Owner) -> None:
    record.add(ann, "tea")
    writer = house.running(record, bag)
    assert writer.wait_until_caught_up(20)
    stored = json.loads((house.index_path / "index.json").read_text())
    old = f"{stored['index_id']}/{stored['keywords']['active']['table']}"
    assert record.store.cursor(old) == record.store.head()
    writer.rebuild()
    assert writer.wait_until_caught_up(20)
    until(lambda: record.store.cursor(old) == START)


@pytest.mark.parametrize("replica", ["keywords", "vectors"])
def test_a_table_that_does_not_open_is_rebuilt_and_said_so_once(
    house: "House", record: "Record", bag: "Bag", ann: Owner, caplog: pytest.LogCaptureFixture, replica: Replica
) -> None:
    names = record.add(ann, "tea", "more tea")
    first = house.running(record, bag)
    assert first.wait_until_caught_up(20)
    first.stop(10)
    damage(house.active(replica) / "_versions")
    second = house.running(record, bag)
    assert second.wait_until_caught_up(30)
    index = house.index(bag, record.store)
    assert sorted(ids(index.keyword_candidates(ann, ALL, ["tea"], 5))) == sorted(names)
    assert sorted(index.vectors(ann)[0]) == sorted(names)
    assert caplog.text.count(f"The index's {replica} are rebuilt because") == 1
    assert caplog.text.count("are rebuilt because") == 1
    assert "Traceback" not in caplog.text


@pytest.mark.parametrize(("replica", "inside"), [("keywords", "data"), ("keywords", "_indices"), ("vectors", "data")])
def test_damage_that_only_a_reader_sees_is_mended(
    house: "House", record: "Record", bag: "Bag", ann: Owner, replica: Replica, inside: str
) -> None:
    names = record.add(ann, "tea", "more tea")
    first = house.running(record, bag)
    assert first.wait_until_caught_up(20)
    first.stop(10)
    optimize(house, replica)
    damage(house.active(replica) / inside)
    writer = house.running(record, bag)
    index = house.index(bag, record.store)

    def whole() -> bool:
        by_word = ids(index.keyword_candidates(ann, ALL, ["tea"], 5))
        by_vector = ids(index.vector_candidates(ann, ALL, bag.embed_query("tea"), 5))
        answered = by_word if replica == "keywords" else by_vector
        if sorted(answered) != sorted(names):
            assert answered == []
        return sorted(by_word) == sorted(by_vector) == sorted(names) == sorted(index.vectors(ann)[0])

    until(whole)
    assert writer.wait_until_caught_up(20)


def optimize(house: "House", replica: Replica) -> None:
    """Puts all rows into one file and into the indices, so that nothing is read from elsewhere."""
    import asyncio
    from datetime import timedelta

    import lancedb

    async def run() -> None:
        db = await lancedb.connect_async(str(house.index_path))
        table = await db.open_table(house.active(replica).stem)
        await table.optimize(cleanup_older_than=timedelta(seconds=60))

    asyncio.run(run())


def test_a_position_is_start_while_a_table_cannot_be_read(
    house: "House", record: "Record", bag: "Bag", ann: Owner, caplog: pytest.LogCaptureFixture
) -> None:
    record.add(ann, "tea")
    first = house.running(record, bag)
    assert first.wait_until_caught_up(20)
    first.stop(10)
    damage(house.active("keywords") / "_versions")
    index = house.index(bag, record.store)
    for _ in range(3):
        assert index.keyword_candidates(ann, ALL, ["tea"], 5) == []
        assert index.position("keywords") == START
    assert index.position("vectors") == record.store.head()
    assert caplog.text.count("cannot be read") == 1


@pytest.mark.parametrize("broken", [b"", b"{", b'{"format": 999}', b"[]", b'{"format": 1, "index_id": "x"}'])
def test_a_catalog_that_says_nothing_means_a_new_index(
    house: "House", record: "Record", bag: "Bag", ann: Owner, broken: bytes
) -> None:
    (name,) = record.add(ann, "tea")
    first = house.running(record, bag)
    assert first.wait_until_caught_up(20)
    first.stop(10)
    (house.index_path / "index.json").write_bytes(broken)
    index = house.index(bag, record.store)
    assert index.position("keywords") == START
    assert house.running(record, bag).wait_until_caught_up(20)
    assert ids(index.keyword_candidates(ann, ALL, ["tea"], 5)) == [name]
    until(lambda: len(list(house.index_path.glob("*.lance"))) == 2)


def test_an_index_directory_that_vanishes_is_made_again(
    house: "House", record: "Record", bag: "Bag", ann: Owner
) -> None:
    (name,) = record.add(ann, "tea")
    writer = house.running(record, bag)
    assert writer.wait_until_caught_up(20)
    index = house.index(bag, record.store)
    assert index.keyword_candidates(ann, ALL, ["tea"], 5)
    house.index_path.rename(house.directory / "gone")
    assert writer.wait_until_caught_up(30)
    assert ids(index.keyword_candidates(ann, ALL, ["tea"], 5)) == [name]
    assert index.vectors(ann)[0] == [name]


def test_a_reader_whose_index_directory_vanished_knows_nothing(
    house: "House", record: "Record", bag: "Bag", ann: Owner
) -> None:
    record.add(ann, "tea")
    writer = house.running(record, bag)
    assert writer.wait_until_caught_up(20)
    writer.stop(10)
    index = house.index(bag, record.store)
    assert index.keyword_candidates(ann, ALL, ["tea"], 5)
    house.index_path.rename(house.directory / "gone")
    assert index.position("keywords") == START
    assert index.keyword_candidates(ann, ALL, ["tea"], 5) == []


def test_a_record_put_back_to_an_earlier_state_means_a_rebuild(
    house: "House", record: "Record", bag: "Bag", ann: Owner
) -> None:
    first, second = record.add(ann, "tea", "coffee")
    writer = house.running(record, bag)
    assert writer.wait_until_caught_up(20)
    writer.stop(10)
    backup = house.directory / "backup.db"
    with sqlite3.connect(house.directory / "record.db") as source, sqlite3.connect(backup) as target:
        source.backup(target)
    target.close()
    source.close()
    writer.start()
    record.erase(ann, first)
    record.add(ann, "milk")
    assert writer.wait_until_caught_up(20)
    writer.stop(10)
    record.store.close()
    for name in ("record.db-wal", "record.db-shm"):
        (house.directory / name).unlink(missing_ok=True)
    shutil.move(backup, house.directory / "record.db")
    restored = house.record()
    assert house.running(restored, bag).wait_until_caught_up(20)
    index = house.index(bag, restored.store)
    assert ids(index.keyword_candidates(ann, ALL, ["tea"], 5)) == [first]
    assert index.keyword_candidates(ann, ALL, ["milk"], 5) == []
    assert sorted(index.vectors(ann)[0]) == sorted([first, second])


def test_what_stands_in_the_way_is_said_once_and_waited_for(
    house: "House", record: "Record", bag: "Bag", ann: Owner, caplog: pytest.LogCaptureFixture
) -> None:
    house.index_path.write_text("not a directory")
    (name,) = record.add(ann, "tea")
    writer = house.running(record, bag)
    until(lambda: "tried again" in caplog.text)
    assert not writer.wait_until_caught_up(1.2)
    assert caplog.text.count("tried again") == 1
    house.index_path.unlink()
    assert writer.wait_until_caught_up(30)
    index = LanceIndex(house.index_path, bag.name, bag.dimension, store=record.store)
    house.stack.callback(index.close)
    assert index.vectors(ann)[0] == [name]
