"""The index with the analysis and the model that are used for real, over SQLite and over PostgreSQL."""

import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from inference.embedders import load_embedder
from memory.model import Message, MessageFilter, Owner, Session
from memory.ports import Embedder
from memory.recall import analyzer
from storage.sql import SqlRecordStore

if TYPE_CHECKING:
    from tests.lance.conftest import Bag, House, Record

ALL = MessageFilter()
NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def minilm() -> Embedder:
    embedder = load_embedder("bundled")
    assert embedder is not None
    return embedder


def test_paraphrases_inflections_and_the_end_of_a_long_message_are_found(
    house: "House", record: "Record", ann: Owner, minilm: Embedder
) -> None:
    texts = [
        "We took home a puppy from the animal rescue.",
        "Meine Wohnungen liegen alle in Köln.",
        "昨日は東京で寿司を食べました。",
        "The quarterly figures were discussed. " * 900 + "The password for the safe is a zebra.",
        "We should paint the fence on Saturday.",
    ]
    names = record.add(ann, *texts, occurred_at=datetime(1955, 3, 1, tzinfo=UTC))
    words = analyzer()
    writer = house.running(record, minilm, analyzer=words)
    assert writer.wait_until_caught_up(60)
    index = house.index(minilm, record.store)

    def by_word(text: str) -> list[str]:
        asked = " ".join(passage.terms for passage in words.passages(Message("q", "q", 1, "user", text, NOW, NOW)))
        return [name for name, _ in index.keyword_candidates(ann, ALL, asked.split(), 5)]

    assert by_word("Wohnung")[0] == names[1]
    assert by_word("寿司")[0] == names[2]
    assert by_word("zebra") == [names[3]]
    found = index.vector_candidates(ann, ALL, minilm.embed_query("I adopted a dog from the shelter"), 3)
    assert found[0][0] == names[0]
    assert found[0][1] > 0.5 > found[1][1]
    ids, parts, _ = index.vectors(ann, [names[3]])
    assert set(ids) == {names[3]}
    assert sorted(parts) == list(range(8))
    before = MessageFilter(until=datetime(1955, 3, 1, tzinfo=UTC))
    assert index.keyword_candidates(ann, before, ["zebra"], 5) == []


def test_every_change_arrives_over_each_database(store: SqlRecordStore, house: "House", bag: "Bag", ann: Owner) -> None:
    """On PostgreSQL a change whose transaction began earlier may commit later; it must not be skipped."""
    record = house.over(store)
    bob = Owner("t", "bob")
    first, second = record.add(ann, "tea", "coffee")
    writer = house.running(record, bag)
    assert writer.wait_until_caught_up(30)
    begun, go_on = threading.Event(), threading.Event()

    def linger() -> None:
        with store.write(bob) as records:
            records.add_session(Session("b", NOW, NOW))
            records.add_messages("b", [Message("late", "b", 1, "user", "late tea", NOW, NOW, digest="0" * 64)])
            begun.set()
            go_on.wait(60)

    lingering = threading.Thread(target=linger)
    if store.database.is_sqlite:
        go_on.set()
    lingering.start()
    assert begun.wait(60)
    if store.database.is_sqlite:
        lingering.join()
    record.edit(ann, second, "cocoa")
    record.erase(ann, first)
    (third,) = record.add(ann, "milk")
    writer.wait_until_caught_up(30)
    go_on.set()
    lingering.join()
    assert writer.wait_until_caught_up(30)
    index = house.index(bag, store)
    assert index.position("keywords") == index.position("vectors") == store.head()
    assert sorted(index.vectors(ann)[0]) == sorted([second, third])
    assert [name for name, _ in index.keyword_candidates(ann, ALL, ["cocoa", "coffee", "tea"], 5)] == [second]
    assert [name for name, _ in index.keyword_candidates(bob, ALL, ["tea"], 5)] == ["late"]
