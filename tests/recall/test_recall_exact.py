"""The only message with an exact word wins, however alike the others are, in memory and through the index."""

import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inference.embedders.minilm import MiniLM
from memory.model import MessageFilter, NewMessage, Owner, Position
from memory.ports import Clock, Embedder, RecordStore, Vector
from memory.recall import Recall, SearchRequest, analyzer
from memory.recall.rarest import rarest, telling
from memory.recall.understanding import understood
from memory.record.recording import record
from memory.record.sessions import Target
from storage.lance import IndexWriter, LanceIndex
from storage.sql import SqlRecordStore, open_store, sqlite_url

IN_MEMORY, THROUGH_INDEX = 60_000, 0
BOTH = pytest.mark.parametrize("hot_messages", [IN_MEMORY, THROUGH_INDEX], ids=["in memory", "through the index"])


class Contrary:
    """Digits say nothing to it, and whoever is named is far from everything that is asked."""

    name = "contrary"
    dimension = 8

    def embed_query(self, text: str) -> Vector:
        row = np.full(self.dimension, 1.0, dtype=np.float32)
        row[len(text) % self.dimension] += 0.02
        if "Grete" in text or "Walter" in text:
            row[:4] = -1.0
        return row / np.linalg.norm(row)

    def embed_passages(self, texts: Sequence[str]) -> Vector:
        return np.stack([self.embed_query(text) for text in texts])


Searching = Callable[..., Recall]


@pytest.fixture
def searching(sqlite: SqlRecordStore, clock: Clock, tmp_path: Path) -> Iterator[Searching]:
    """A search over an index that has caught up with the record."""
    opened: list[tuple[IndexWriter, LanceIndex]] = []

    def over(embedder: Embedder | None, hot_messages: int) -> Recall:
        known = (embedder.name, embedder.dimension) if embedder else (None, None)
        index = LanceIndex(tmp_path / "index", *known)
        writer = IndexWriter(sqlite, index, analyzer(), embedder, interval=0.02, upkeep=False)
        opened.append((writer, index))
        writer.start()
        assert writer.wait_until_caught_up(120)
        return Recall(sqlite, index, embedder, clock, hot_messages=hot_messages)

    yield over
    for writer, index in opened:
        writer.stop()
        index.close()


def told(recall: Recall, owner: Owner, query: str, **request: object) -> list[str]:
    """What the hits say, best first."""
    hits = recall.search(owner, SearchRequest(query, **request)).hits  # type: ignore[arg-type]  # a test's shorthand
    return [hit.message.content for hit in hits]


def alike(text: str, code: Callable[[random.Random], str], count: int = 60) -> list[NewMessage]:
    chance = random.Random(7)
    return [NewMessage("user", text.format(code(chance))) for _ in range(count)]


def digits(chance: random.Random) -> str:
    return f"{chance.randrange(10**7):08d}"


def hexes(chance: random.Random) -> str:
    whole = f"{chance.getrandbits(128):032x}"
    return "-".join((whole[:8], whole[8:12], whole[12:16], whole[16:]))


LIKES: dict[str, tuple[str, Callable[[random.Random], str], str, list[str]]] = {
    "parcel": (
        "The parcel with number {} has left the depot",
        digits,
        "Walter's parcel with number 98765432 has left the depot in Graz",
        ["98765432", "whose parcel is 98765432?", "what happened to the parcel 98765432, has it left the depot?"],
    ),
    "order": (
        "Order {} was refunded after the complaint",
        lambda chance: f"ORD-{digits(chance)[:6]}",
        "Good news for Grete: order ORD-948213 was refunded after her complaint about the kettle",
        ["ORD-948213", "what happened to order ORD-948213?", "which orders were refunded: ord-948213 or others?"],
    ),
    "build": (
        "Build {} went out",
        hexes,
        "Walter says that build deadbeef-1234-5a6b-0123456789abcdefdeadbeef went out " + "and out " * 30,
        [
            "deadbeef-1234-5a6b-0123456789abcdefdeadbeef",
            "who let build DEADBEEF-1234-5a6b-0123456789abcdefdeadbeef out?",
        ],
    ),
    "name": (
        "The invoice for the garden was paid on day {}",
        lambda chance: str(chance.randrange(28)),
        "Good news from Walter: the invoice of Zephyrine for the garden was paid on day 3 after all",
        ["Zephyrine", "when was the invoice of Zephyrine for the garden paid?"],
    ),
    "german": (
        "Die Bestellung {} wurde nach der Beschwerde erstattet",
        digits,
        "Gute Nachricht für Grete: die Bestellung K98765432 wurde nach ihrer Beschwerde erstattet",
        ["K98765432", "Was ist mit der Bestellung K98765432 passiert?"],
    ),
    "japanese": (
        "注文番号{}は返金されました",
        digits,
        "Greteさんの注文番号98765432は返金されました",
        ["98765432", "注文番号98765432はどうなりましたか"],
    ),
}


@BOTH
@pytest.mark.parametrize("kind", LIKES)
def test_among_sixty_alike_the_only_one_is_first(
    sqlite: SqlRecordStore, owner: Owner, clock: Clock, searching: Searching, kind: str, hot_messages: int
) -> None:
    text, code, other, queries = LIKES[kind]
    said = alike(text, code)
    said.insert(31, NewMessage("user", other))
    record(sqlite, owner, said, Target(), clock)
    recall = searching(Contrary(), hot_messages)
    assert {query: told(recall, owner, query, limit=60).index(other) for query in queries} == dict.fromkeys(queries, 0)


def test_the_bundled_model_does_not_outvote_a_code(
    sqlite: SqlRecordStore, owner: Owner, clock: Clock, searching: Searching
) -> None:
    for project in ("parcel", "order", "name"):
        text, code, other, _ = LIKES[project]
        said = alike(text, code)
        said.insert(31, NewMessage("user", other))
        record(sqlite, owner, said, Target(project_id=project), clock)
    model = MiniLM()
    for hot_messages in (IN_MEMORY, THROUGH_INDEX):
        recall = searching(model, hot_messages)
        for project in ("parcel", "order", "name"):
            _, _, other, queries = LIKES[project]
            for query in queries:
                assert told(recall, owner, query, where=MessageFilter(project_id=project))[0] == other, query


@pytest.mark.parametrize("embedder", [None, Contrary()], ids=["keywords", "vectors"])
def test_thousands_of_orders(
    sqlite: SqlRecordStore, owner: Owner, clock: Clock, searching: Searching, embedder: Embedder | None
) -> None:
    """Each is found by its number, and what is found does not hang on where it is looked for."""
    chance = random.Random(2)
    numbers = chance.sample(range(10_000, 99_999), 6_000)
    kinds = (
        "Your order ORD-{} is on its way and arrives on Tuesday.",
        "Ticket ORD-{} was closed.",
        "I paid for ORD-{}.",
    )
    said = [NewMessage(chance.choice(("user", "assistant")), chance.choice(kinds).format(n)) for n in numbers]
    for at in range(0, len(said), 500):
        record(sqlite, owner, said[at : at + 500], Target(external_id="orders"), clock)
    through_index = searching(embedder, THROUGH_INDEX)
    in_memory = Recall(sqlite, None, None, clock)
    while f"ORD-{numbers[0]}" not in "".join(told(in_memory, owner, f"ORD-{numbers[0]}")):
        time.sleep(0.05)  # It loads so many messages behind a first answer.
    for number in chance.sample(numbers, 12):
        for query in (f"ORD-{number}", f"what happened to order ORD-{number}?"):
            for recall in (through_index, in_memory):
                assert f"ORD-{number}" in told(recall, owner, query)[0], query
    two = chance.sample(numbers, 2)
    for recall in (through_index, in_memory):
        both = told(recall, owner, f"which came first, ORD-{two[0]} or ORD-{two[1]}?", limit=2)
        assert all(any(f"ORD-{n}" in line for line in both) for n in two)


@BOTH
def test_wherever_in_a_message_the_code_stands(
    sqlite: SqlRecordStore, owner: Owner, clock: Clock, searching: Searching, hot_messages: int
) -> None:
    said = alike("The parcel with number {} has left the depot", digits)
    said[10] = NewMessage(
        "tool", "ok", tool_name="track_parcel", tool_call_id="c1", tool_arguments={"number": "AT-77003311"}
    )
    said[20] = NewMessage(
        "assistant", "Walter asked for advice on parcels. " * 300 + "The parcel is 55001199, by the way."
    )
    record(sqlite, owner, said, Target(), clock)
    recall = searching(Contrary(), hot_messages)
    assert told(recall, owner, "where is the parcel AT-77003311?")[0] == "ok"
    assert told(recall, owner, "where is the parcel 55001199?")[0] == said[20].content
    both = told(recall, owner, "which parcel left first, AT-77003311 or 55001199?")
    assert set(both[:2]) == {"ok", said[20].content}
    assert told(recall, owner, "has a parcel left the depot?", queries=("55001199",))[0] == said[20].content
    mine = MessageFilter(role="assistant")
    assert told(recall, owner, "where is the parcel 55001199?", where=mine) == [said[20].content]
    late = replace(mine, role="user")
    assert "55001199" not in "".join(told(recall, owner, "where is the parcel 55001199?", where=late))


@BOTH
def test_a_code_that_nobody_said_changes_nothing(
    sqlite: SqlRecordStore, owner: Owner, clock: Clock, searching: Searching, hot_messages: int
) -> None:
    record(sqlite, owner, alike("The parcel with number {} has left the depot", digits), Target(), clock)
    recall = searching(Contrary(), hot_messages)
    assert told(recall, owner, "which parcel is it 98765432") == told(recall, owner, "which parcel is it")


def test_times_and_counts_are_no_codes() -> None:
    now = datetime(2026, 3, 1, tzinfo=UTC)
    asked = understood(
        "which 2nd train in May 2024 left at 5pm with parcel 48213 in 30min", [], [], now, MessageFilter()
    )
    tokens = telling(asked.bare_tokens, asked.periods)
    assert tokens[0] == ("48213",) and ("2024",) not in tokens
    assert set(rarest(dict.fromkeys(tokens, 1), 30)) == {("48213",)}


def test_what_is_rare() -> None:
    code, name, word, count = ("48213",), ("zephyrin",), ("order",), ("3",)
    assert rarest({code: 1, word: 60}, 61) == [code]
    assert rarest({code: 10, word: 12}, 5_000) == [code]
    assert rarest({code: 11, word: 4_000}, 5_000) == [], "eleven messages are no handful"
    assert rarest({name: 1, word: 60}, 61) == [name]
    assert rarest({name: 1, word: 9}, 600) == [], "the other word is no common one"
    assert rarest({name: 1}, 40) == [], "among few messages every word is rare"
    assert rarest({code: 1}, 5) == [code]
    assert rarest({name: 0, word: 60}, 61) == []
    assert rarest({count: 5, word: 600}, 700) == [], "a small figure is no code"


WORDS = ("boat", "rent", "piano", "lisbon", "dentist", "garden", "snow")


class Anything:
    """A vector for each text, whichever chance gives."""

    name = "anything"
    dimension = 4

    def embed_query(self, text: str) -> Vector:
        row = np.random.default_rng(sum(text.encode())).standard_normal(self.dimension).astype(np.float32)
        return row / np.linalg.norm(row)

    def embed_passages(self, texts: Sequence[str]) -> Vector:
        return np.stack([self.embed_query(text) for text in texts])


class Embedded:
    """An index that knows the vectors of all that is in the record, for searches in memory."""

    def __init__(self, store: RecordStore, embedder: Embedder) -> None:
        self._store = store
        self._embedder = embedder

    def position(self, replica: str) -> Position:
        return Position(2**62, 2**62)

    def vectors(self, owner: Owner, message_ids: Sequence[str] | None = None) -> tuple[list[str], list[int], Vector]:
        with self._store.read(owner) as records:
            found = records.all_messages(MessageFilter(), None, 1_000)
        matrix = self._embedder.embed_passages([message.content for message in found])
        return [message.message_id for message in found], [0] * len(found), matrix


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    others=st.lists(st.lists(st.sampled_from(WORDS), min_size=1, max_size=6), min_size=1, max_size=25),
    place=st.integers(0, 25),
    asked=st.lists(st.sampled_from(WORDS), max_size=3),
    word=st.sampled_from(["zebra", "Ζέβρα", "斑马", "ORD-48213", "qx97", "0x1f"]),
    frame=st.sampled_from(["{}", "what are all the {}", "did I say {} yesterday", "{}?"]),
)
def test_the_only_message_with_the_rarest_word_is_above_all_that_have_none_of_the_words(
    others: list[list[str]],
    place: int,
    asked: list[str],
    word: str,
    frame: str,
    tmp_path_factory: pytest.TempPathFactory,
    clock: Clock,
) -> None:
    """Whatever else is said, in however few messages where the word is a code."""
    is_code = any(character.isdigit() for character in word)
    lines = [" ".join(words) for words in (others if is_code else others * 50)][:60]
    lines.insert(min(place, len(lines)), f"dentist {word}")
    store = open_store(sqlite_url(tmp_path_factory.mktemp("rare") / "backstory.db"))
    owner, model = Owner("t", "u"), Anything()
    for number in range(2):
        said = [NewMessage("user", line) for line in lines[number::2]]
        if said:
            record(store, owner, said, Target(external_id=f"s{number}"), clock)
    recall = Recall(store, Embedded(store, model), model, clock)  # type: ignore[arg-type]  # what memory needs of one
    found = told(recall, owner, frame.format(" ".join([*asked, word])), limit=50)
    assert word in "".join(found)
    above = found[: next(at for at, line in enumerate(found) if word in line)]
    assert all(set(asked) & set(line.split()) for line in above)
    store.close()
