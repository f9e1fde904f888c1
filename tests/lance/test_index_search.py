"""What the index finds: terms, vectors, filters, order, and nothing of anybody else's."""

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from memory.errors import Invalid
from memory.model import START, Message, MessageFilter, Owner, Passage
from memory.names import named, project_named
from storage.lance import LanceIndex
from storage.lance.connection import Connection
from storage.lance.filters import literal, message_key, micros, owner_key

if TYPE_CHECKING:
    from tests.lance.conftest import Bag, House, Record

HOSTILE = [
    "a'b",
    "a''b",
    "'",
    "\\'",
    'a"b',
    "' OR 1=1 --",
    "'; DROP TABLE messages; --",
    "a\0b",
    "a\nb\rc",
    "%",
    "_",
    "/* x */",
    "/* x */ y",
    "$1 ? :x {y} `z`",
    "é漢字",
    "\u2028\u202e",
    "\x1b[31m",
    "x" * 3000,
    "TRUE",
    "NULL",
]


def ids(found: Iterable[tuple[str, float]]) -> list[str]:
    return [message_id for message_id, _ in found]


def test_a_recorded_message_is_found_by_word_and_by_vector(
    house: "House", record: "Record", bag: "Bag", ann: Owner, everything: MessageFilter
) -> None:
    first, second = record.add(ann, "the cat sleeps on the piano", "we fly to Lisbon in May")
    assert house.running(record, bag).wait_until_caught_up(20)
    index = house.index(bag, record.store)
    assert ids(index.keyword_candidates(ann, everything, ["lisbon"], 10)) == [second]
    ranked = index.vector_candidates(ann, everything, bag.embed_query("the cat sleeps on the piano"), 10)
    assert ids(ranked) == [first, second]
    assert ranked[0][1] == pytest.approx(1.0, abs=1e-5)
    assert ranked[1][1] == pytest.approx(
        float(bag.embed_query("the cat sleeps on the piano") @ bag.embed_query("we fly to lisbon in may")), abs=1e-5
    )
    assert index.position("keywords") == index.position("vectors") == record.store.head() != START
    assert index.keyword_candidates(Owner("t", "bob"), everything, ["lisbon"], 10) == []


def test_an_index_that_is_not_there_finds_nothing_and_makes_nothing(
    house: "House", record: "Record", bag: "Bag", ann: Owner, everything: MessageFilter
) -> None:
    index = house.index(bag, record.store)
    assert index.keyword_candidates(ann, everything, ["x"], 5) == []
    assert index.vector_candidates(ann, everything, bag.embed_query("x"), 5) == []
    found, parts, matrix = index.vectors(ann)
    assert (found, parts, matrix.shape) == ([], [], (0, bag.dimension))
    assert index.position("keywords") == index.position("vectors") == START
    index.open()
    assert not house.index_path.exists()


def test_a_closed_index_finds_nothing(
    house: "House", record: "Record", bag: "Bag", ann: Owner, everything: MessageFilter
) -> None:
    record.add(ann, "tea")
    assert house.running(record, bag).wait_until_caught_up(20)
    index = house.index(bag, record.store)
    assert index.keyword_candidates(ann, everything, ["tea"], 5)
    index.close()
    assert index.keyword_candidates(ann, everything, ["tea"], 5) == []
    assert not list(house.index_path.glob("*.damaged"))


def test_terms_are_kept_exactly_as_analysed(
    house: "House", record: "Record", ann: Owner, everything: MessageFilter
) -> None:
    class Verbatim:
        version = "1"

        def passages(self, message: Message) -> list[Passage]:
            return [Passage(message.message_id, 0, message.content, message.content)]

    long = "x" * 300
    kept = ["The", "running", "RÜN", "läuft", long, "don't", "C++", "日本", "本語", "a.b@c", "#tag", "-", '"', "AND"]
    (name,) = record.add(ann, " ".join(kept))
    record.add(ann, "filler")
    writer = house.writer(record, None, Verbatim())
    writer.start()
    assert writer.wait_until_caught_up(20)
    index = house.index(None, record.store)
    for term in kept:
        assert ids(index.keyword_candidates(ann, everything, [term], 5)) == [name], term
    for other in ["the", "run", "RUN", "lauft", "x" * 299, "dont", "don", "c", "日", "a", "tag", "and", "fill*"]:
        assert index.keyword_candidates(ann, everything, [other], 5) == [], other


def test_filters_admit_what_the_model_says(house: "House", record: "Record", bag: "Bag", ann: Owner) -> None:
    start = datetime(1969, 12, 31, 23, tzinfo=UTC)
    record.add(ann, "word one", session_id="g", role="user", channel="chat", occurred_at=start)
    record.add(ann, "word two", session_id="g", role="assistant", occurred_at=start + timedelta(hours=1))
    record.add(ann, "word three", session_id="p", project_id="p'1", role="tool", occurred_at=start + timedelta(hours=2))
    record.add(ann, "word four", session_id="q", project_id="p2", role="user", channel="voice", occurred_at=start)
    assert house.running(record, bag).wait_until_caught_up(20)
    index = house.index(bag, record.store)
    with record.store.read(ann) as records:
        stored = records.all_messages(MessageFilter(), None, 100)
    assert len(stored) == 4
    cases = [
        MessageFilter(),
        MessageFilter(scope="global"),
        MessageFilter(scope="project"),
        MessageFilter(scope="global", project_id="p2"),
        MessageFilter(project_id="p'1"),
        MessageFilter(project_id="nowhere"),
        MessageFilter(session_id="g"),
        MessageFilter(session_id="g", role="assistant"),
        MessageFilter(channel="voice"),
        MessageFilter(since=start + timedelta(hours=1)),
        MessageFilter(until=start + timedelta(hours=1)),
        MessageFilter(since=start, until=start + timedelta(microseconds=1)),
        MessageFilter(session_id="\ud800"),
    ]
    for where in cases:
        expected = sorted(m.message_id for m in stored if where.admits(m))
        assert sorted(ids(index.keyword_candidates(ann, where, ["word"], 10))) == expected, where
        assert sorted(ids(index.vector_candidates(ann, where, bag.embed_query("x"), 10))) == expected, where


def test_ties_go_by_id_however_few_are_wanted(
    house: "House", record: "Record", bag: "Bag", ann: Owner, everything: MessageFilter
) -> None:
    names = record.add(ann, *["same words"] * 120, ids=[f"m{n:03}" for n in range(120)][::-1])
    assert house.running(record, bag).wait_until_caught_up(20)
    index = house.index(bag, record.store)
    for limit in (1, 7, 60, 119, 500):
        assert ids(index.keyword_candidates(ann, everything, ["same"], limit)) == sorted(names)[:limit]
        assert ids(index.vector_candidates(ann, everything, bag.embed_query("q"), limit)) == sorted(names)[:limit]
    assert index.keyword_candidates(ann, everything, ["same"], 0) == []
    assert index.keyword_candidates(ann, everything, [], 5) == []


def test_a_long_message_counts_once_by_its_best_passage(
    house: "House", record: "Record", bag: "Bag", ann: Owner, everything: MessageFilter
) -> None:
    filler = "one two three four five six seven eight nine ten " * 2
    (long,) = record.add(ann, filler * 11 + "needle in the haystack")
    record.add(ann, filler, "another short one")
    assert house.running(record, bag, embedded_parts=4).wait_until_caught_up(20)
    index = house.index(bag, record.store)
    assert ids(index.keyword_candidates(ann, everything, ["needle"], 5)) == [long]
    assert ids(index.keyword_candidates(ann, everything, ["two"], 5)).count(long) == 1
    assert ids(index.vector_candidates(ann, everything, bag.embed_query(filler.strip()), 5)).count(long) == 1
    found, parts, matrix = index.vectors(ann, [long])
    assert (sorted(parts), set(found), matrix.shape) == ([0, 1, 2, 3], {long}, (4, bag.dimension))


def test_an_owners_vectors_are_read_whole_or_by_message(
    house: "House", record: "Record", bag: "Bag", ann: Owner
) -> None:
    names = record.add(ann, *[f"text number {n}" for n in range(30)])
    record.add(Owner("t", "bob"), "text number 3", session_id="b", ids=names[:1])
    assert house.running(record, bag).wait_until_caught_up(20)
    index = house.index(bag, record.store)
    found, parts, matrix = index.vectors(ann)
    assert sorted(found) == sorted(names)
    assert set(parts) == {0}
    for name, row in zip(found, matrix, strict=True):
        expected = bag.embed_query(f"text number {names.index(name)}")
        np.testing.assert_allclose(row, expected, atol=1e-6)
    some, _, rows = index.vectors(ann, [names[4], names[9], names[4], "unknown"])
    assert sorted(some) == sorted([names[4], names[9]])
    assert rows.shape == (2, bag.dimension)
    assert index.vectors(ann, [])[0] == []
    assert len(index.vectors(ann, [*names, *(f"x{n}" for n in range(2500))])[0]) == 30


def test_vectors_of_another_embedder_are_as_good_as_none(
    house: "House",
    record: "Record",
    bag: "Bag",
    ann: Owner,
    everything: MessageFilter,
    new_embedder: "Callable[..., Bag]",
) -> None:
    record.add(ann, "tea")
    assert house.running(record, bag).wait_until_caught_up(20)
    for other in (new_embedder("other"), new_embedder("bag", 12), None):
        index = house.index(other, record.store)
        assert index.position("vectors") == START
        assert index.vector_candidates(ann, everything, bag.embed_query("tea"), 5) == []
        assert index.vectors(ann)[0] == []
        assert index.position("keywords") != START
        assert index.keyword_candidates(ann, everything, ["tea"], 5)
    wrong = np.ones(bag.dimension + 1, dtype=np.float32)
    assert house.index(bag, record.store).vector_candidates(ann, everything, wrong, 5) == []


def test_hostile_ids_and_text_stay_data(
    house: "House", record: "Record", bag: "Bag", everything: MessageFilter
) -> None:
    owners = [Owner(tenant, user) for tenant, user in zip(HOSTILE, HOSTILE[::-1], strict=True)]
    for number, owner in enumerate(owners):
        for text in HOSTILE:
            names = {"session_id": named(text), "project_id": project_named(text)}  # as the service hands them on
            record.add(owner, f"secret{number} {text}", ids=[text], **names)
    assert house.running(record, bag).wait_until_caught_up(60)
    index = house.index(bag, record.store)
    for number, owner in enumerate(owners):
        assert sorted(ids(index.keyword_candidates(owner, everything, [f"secret{number}"], 99))) == sorted(HOSTILE)
        assert index.keyword_candidates(owner, everything, [f"secret{(number + 1) % len(owners)}"], 99) == []
    ann = owners[0]
    for text in HOSTILE:
        for where in (MessageFilter(session_id=text), MessageFilter(project_id=text)):
            assert ids(index.keyword_candidates(ann, where, ["secret0"], 99)) == [text]
            assert ids(index.vector_candidates(ann, where, bag.embed_query("x"), 99)) == [text]
        assert index.vectors(ann, [text])[0] == [text]
        index.keyword_candidates(ann, everything, [text], 5)
    record.erase(ann, *HOSTILE[1:])
    assert house.running(record, bag).wait_until_caught_up(60)
    assert ids(index.keyword_candidates(ann, everything, ["secret0"], 99)) == HOSTILE[:1]
    assert len(index.keyword_candidates(owners[1], everything, ["secret1"], 99)) == len(HOSTILE)


@pytest.fixture(scope="module")
def two_rows(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Connection, Any]]:
    """A LanceDB table with one row, to try literals on; and its connection."""
    import pyarrow as pa

    connection = Connection(str(tmp_path_factory.mktemp("literals")))

    async def make() -> Any:
        return await (await connection.db()).create_table("t", pa.table({"text": ["secret"], "n": [1]}))

    yield connection, connection.run(make())
    connection.close()


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    text=st.one_of(
        st.text(st.characters(exclude_categories=["Cs"])),
        st.text(st.sampled_from("'\\\"-;/*% \n\0OR1=secret")),
        st.sampled_from(HOSTILE),
    )
)
def test_a_literal_means_itself(two_rows: tuple[Connection, Any], text: str) -> None:
    connection, table = two_rows
    assert connection.run(table.count_rows(f"text = {literal(text)}")) == (text == "secret")
    assert connection.run(table.count_rows(f"'x' || {literal(text)} || 'y' = {literal('x' + text + 'y')}")) == 1


@given(st.tuples(st.text(), st.text()), st.tuples(st.text(), st.text()), st.text(), st.text())
def test_keys_differ_where_ids_do(one: tuple[str, str], other: tuple[str, str], a: str, b: str) -> None:
    first, second = Owner(*one), Owner(*other)
    assert (owner_key(first) == owner_key(second)) == (first == second)
    assert (message_key(first, a) == message_key(second, b)) == ((first, a) == (second, b))
    assert message_key(first, a) != owner_key(first)


@given(st.datetimes(timezones=st.just(UTC)))
def test_micros_are_exact(moment: datetime) -> None:
    assert datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=micros(moment)) == moment


def test_paths_are_made_absolute_and_object_stores_need_a_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert LanceIndex("db/x").uri == str(tmp_path / "db" / "x")
    with pytest.raises(Invalid, match="object store"):
        LanceIndex("s3://bucket/index")
    assert LanceIndex("s3://bucket/index", home=tmp_path).uri == "s3://bucket/index"


def test_who_holds_which_word(house: "House", record: "Record", ann: Owner, everything: MessageFilter) -> None:
    names = record.add(ann, *(f"order {number} tea" for number in range(60)), "order 7", "word " * 400 + "late")
    record.add(Owner("t", "bob"), "order 8", session_id="b")
    assert house.running(record, None).wait_until_caught_up(20)
    index = house.index(None, record.store)
    seven, order, none, long = index.holders(ann, everything, [("7",), ("order", "tea"), ("gone",), ("word",)], 20)
    assert sorted(seven) == sorted([names[7], names[60]])
    assert len(order) >= 20 and none == []
    assert long == [names[61]], "a message once, however many passages have the word"
    assert index.holders(ann, MessageFilter(role="assistant"), [("7",)], 20) == [[]]
    assert index.holders(ann, everything, [], 20) == []
