"""Search and topics over a real record, with and without an index."""

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from memory.errors import Invalid
from memory.model import MessageFilter, NewMessage, Owner
from memory.ports import Clock, RecordStore, Vector
from memory.recall import Recall, SearchRequest, TopicRequest, analyzer
from memory.record.recording import record
from memory.record.sessions import Target
from memory.text.tokens import EstimatedTokens
from storage.lance import IndexWriter, LanceIndex
from storage.sql import SqlRecordStore, open_store, sqlite_url

WORDS = ("boat", "rent", "piano", "lisbon", "dentist", "garden", "snow", "invoice", "violet", "mother")


class Hashed:
    """A vector of word counts: enough for messages to be near each other for a reason."""

    name = "hashed"
    dimension = 16

    def embed_query(self, text: str) -> Vector:
        row = np.full(self.dimension, 0.01, dtype=np.float32)
        for word in text.lower().split():
            row[sum(word.encode()) % self.dimension] += 1
        return row / np.linalg.norm(row)

    def embed_passages(self, texts: Sequence[str]) -> Vector:
        return np.stack([self.embed_query(text) for text in texts])


def found(recall: Recall, owner: Owner, query: str, **request: object) -> list[tuple[str, float]]:
    hits = recall.search(owner, SearchRequest(query, **request)).hits  # type: ignore[arg-type]  # a test's shorthand
    return [(hit.message.message_id, hit.score) for hit in hits]


def test_the_last_turn_is_found_at_once(
    sqlite: SqlRecordStore, owner: Owner, clock: Clock, say: Callable[..., list[str]]
) -> None:
    recall = Recall(sqlite, None, None, clock)
    say("The boat is blue", "Noted")
    assert found(recall, owner, "piano tuner") == []
    (said,) = say("The piano tuner comes on Tuesday")
    assert found(recall, owner, "piano tuner")[0][0] == said


def test_a_short_reply_is_found_through_what_it_answers(
    sqlite: SqlRecordStore, owner: Owner, clock: Clock, say: Callable[..., list[str]]
) -> None:
    ids = say("Which colour should the shed have?", "Dark green", "And the gate is stuck", "Oil it", "It rained", "Oh")
    assert (
        ids[1]
        in [message_id for message_id, _ in found(Recall(sqlite, None, None, clock), owner, "colour of the shed")][:2]
    )


def test_filters_are_exact_and_guesses_hide_nothing(
    sqlite: SqlRecordStore, owner: Owner, clock: Clock, say: Callable[..., list[str]]
) -> None:
    (home,) = say("The boat needs paint", external_id="a")
    (work,) = say("The boat show is in May", external_id="b", project_id="work")
    recall = Recall(sqlite, None, None, clock)
    assert {m for m, _ in found(recall, owner, "boat")} == {home, work}
    assert {m for m, _ in found(recall, owner, "boat", where=MessageFilter(scope="global"))} == {home}
    assert {m for m, _ in found(recall, owner, "boat", where=MessageFilter(project_id="work"))} == {work}
    later = MessageFilter(since=datetime(2030, 1, 1, tzinfo=UTC))
    assert found(recall, owner, "boat", where=later) == []
    guessed = recall.search(owner, SearchRequest("boat last summer"))
    assert {hit.message.message_id for hit in guessed.hits} == {home, work}
    assert guessed.interpreted.dates[0]["text"] == "last summer"


@pytest.mark.parametrize("query", ["", "  \n", "\t"])
def test_an_empty_query_is_refused(sqlite: SqlRecordStore, owner: Owner, clock: Clock, query: str) -> None:
    with pytest.raises(Invalid, match="empty"):
        Recall(sqlite, None, None, clock).search(owner, SearchRequest(query))


@pytest.mark.parametrize(
    ("query", "finds"),
    [
        *(("?!", True), ("the of and", True), ("\0", True), ("boat\u202e", True)),
        *(("'; DROP TABLE messages --", False), ("x" * 5000, False), ("😀", False)),
    ],
)
def test_odd_queries_have_answers(
    sqlite: SqlRecordStore, owner: Owner, clock: Clock, say: Callable[..., list[str]], query: str, finds: bool
) -> None:
    """One that holds no word to look for shows what there is; one whose words nobody said finds nothing."""
    said = say("The boat is blue", "Noted")
    recall = Recall(sqlite, None, None, clock)
    assert [message_id for message_id, _ in found(recall, owner, query)] == (said if finds else [])
    stretches = recall.topic(owner, TopicRequest(query)).stretches
    assert [(s.from_seq, s.to_seq) for s in stretches] == ([(1, 2)] if finds else [])


def test_rewordings_widen_the_net(
    sqlite: SqlRecordStore, owner: Owner, clock: Clock, say: Callable[..., list[str]]
) -> None:
    say("We ate out", "Nice", "The garden is wet", "Yes", "My mother called", "How is she", "Fine", "Good")
    (said,) = say("The physician prescribed tablets", external_id="other")
    recall = Recall(sqlite, None, None, clock)
    assert found(recall, owner, "medicine from the doctor", queries=("physician tablets",))[0][0] == said


OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.lists(st.sampled_from(WORDS), min_size=1, max_size=6)),
        st.tuples(st.just("partial"), st.lists(st.sampled_from(WORDS), min_size=1, max_size=4)),
        st.tuples(st.just("erase"), st.integers(0, 30)),
        st.tuples(st.just("search"), st.sampled_from(WORDS)),
    ),
    min_size=3,
    max_size=20,
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(operations=OPERATIONS)
def test_what_is_kept_in_memory_equals_what_is_read_afresh(
    operations: list[tuple[str, object]], tmp_path_factory: pytest.TempPathFactory, clock: Clock
) -> None:
    """Whatever is recorded, early or late, replaced or erased, by whichever process, between searches."""
    store = open_store(sqlite_url(tmp_path_factory.mktemp("fold") / "backstory.db"))
    owner = Owner("t", "u")
    kept = Recall(store, None, None, clock)
    ids: list[str] = []
    for number, (kind, value) in enumerate(operations):
        if kind in ("add", "partial"):
            status = "final" if kind == "add" else "partial"
            client_id = f"m{number}" if kind == "add" else "line"
            said = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=number * 7 % 10) if number % 3 else None
            turn = NewMessage("user", " ".join(value), client_id, said, status=status)  # type: ignore[arg-type]
            external_id = f"s{number % 2}" if kind == "add" else "call"
            ids += [m.message_id for m in record(store, owner, [turn], Target(external_id=external_id), clock).messages]
        elif kind == "erase" and ids:
            with store.write(owner) as records:
                records.erase_messages([ids[int(str(value)) % len(ids)]])
        elif kind == "search":
            fresh = Recall(store, None, None, clock)
            assert found(kept, owner, str(value)) == found(fresh, owner, str(value))
    for word in WORDS:
        assert found(kept, owner, word) == found(Recall(store, None, None, clock), owner, word)
    store.close()


@pytest.fixture
def indexed(sqlite: SqlRecordStore, tmp_path: Path) -> Iterator[Callable[[], LanceIndex]]:
    """An index that has caught up with the record whenever it is asked for."""
    embedder = Hashed()
    index = LanceIndex(tmp_path / "index", embedder.name, embedder.dimension)
    writer = IndexWriter(sqlite, index, analyzer(), embedder, interval=0.02)
    writer.start()

    def caught_up() -> LanceIndex:
        assert writer.wait_until_caught_up(30)
        return index

    yield caught_up
    writer.stop()
    index.close()


@pytest.mark.parametrize("hot_messages", [1000, 0], ids=["in memory", "through the index"])
def test_others_do_not_move_a_users_results(
    sqlite: SqlRecordStore,
    owner: Owner,
    clock: Clock,
    say: Callable[..., list[str]],
    indexed: Callable[[], LanceIndex],
    hot_messages: int,
) -> None:
    say("The boat is blue", "A fine boat", "My rent rose", "By how much", "The piano is out of tune", "Call somebody")
    queries = ("boat", "rent increase", "piano tune", "blue")
    recall = Recall(sqlite, indexed(), Hashed(), clock, hot_messages=hot_messages)
    before = [found(recall, owner, query) for query in queries]
    for other in (Owner(owner.tenant_id, "neighbour"), Owner("elsewhere", owner.user_id)):
        for number in range(20):
            say("boat boat rent", "blue boat", whose=other, external_id=f"x{number}")
    recall = Recall(sqlite, indexed(), Hashed(), clock, hot_messages=hot_messages)
    assert [found(recall, owner, query) for query in queries] == before
    assert all(before)


def test_a_history_too_large_for_memory_is_found_through_the_index(
    sqlite: SqlRecordStore, owner: Owner, clock: Clock, say: Callable[..., list[str]], indexed: Callable[[], LanceIndex]
) -> None:
    for number, word in enumerate(WORDS):
        say(f"Something about the {word}", "I see", f"The {word} again", external_id=f"s{number}")
    index = indexed()
    (newest,) = say("A violet that nobody has indexed yet", external_id="late")
    cold = Recall(sqlite, index, Hashed(), clock, hot_messages=0)
    hot = Recall(sqlite, index, Hashed(), clock)
    for word in WORDS:
        assert found(cold, owner, word, limit=1)[0][0] == found(hot, owner, word, limit=1)[0][0]
    assert newest in [message_id for message_id, _ in found(cold, owner, "violet", limit=5)]


def late_talk(sqlite: SqlRecordStore, owner: Owner, clock: Clock) -> None:
    """A call whose question arrives after the answer to it, and after what was said next."""
    at = datetime(2026, 1, 1, 10, tzinfo=UTC)
    lines = (
        (0, "assistant", "Good morning"),
        (20, "assistant", "Dark green"),
        (30, "assistant", "It is raining here"),
        (40, "assistant", "Anything else about the weather"),
        (10, "user", "Which colour should the shed have"),
    )
    for seconds, role, words in lines:
        said = NewMessage(role, words, f"m{seconds}", at + timedelta(seconds=seconds))  # type: ignore[arg-type]
        record(sqlite, owner, [said], Target(external_id="call"), clock)


def test_neighbours_are_those_in_time(sqlite: SqlRecordStore, owner: Owner, clock: Clock) -> None:
    late_talk(sqlite, owner, clock)
    recall = Recall(sqlite, None, None, clock, counter=EstimatedTokens())
    names = [name for name, _ in found(recall, owner, "colour of the shed")]
    assert (names[0], names[-1]) == ("m10", "m40")
    (stretch,) = recall.topic(owner, TopicRequest("colour of the shed", window=1)).stretches
    assert [m.content for m in stretch.messages][:3] == [
        "Good morning",
        "Which colour should the shed have",
        "Dark green",
    ]
    assert (stretch.from_seq, stretch.to_seq) == (1, 5)


@pytest.mark.parametrize("budget", [60, 200, 500, 1500])
def test_a_topic_keeps_to_its_budget_in_order(
    sqlite: SqlRecordStore, owner: Owner, clock: Clock, say: Callable[..., list[str]], budget: int
) -> None:
    for number in range(12):
        say(f"On day {number} the boat leaked again", "Did you caulk it?", "Yes, with tar", external_id=f"s{number}")
    result = Recall(sqlite, None, None, clock, counter=EstimatedTokens()).topic(
        owner, TopicRequest("boat leak", max_tokens=budget)
    )
    assert 0 < result.tokens <= max(budget, 200), "something in any case"
    places = [(s.session_id, s.from_seq, s.to_seq) for s in result.stretches]
    assert len(set(places)) == len(places)
    times = [s.messages[0].occurred_at for s in result.stretches]
    assert times == sorted(times)
    for stretch in result.stretches:
        assert [m.seq for m in stretch.messages] == list(range(stretch.from_seq, stretch.to_seq + 1))


def test_overlapping_stretches_are_one(
    sqlite: SqlRecordStore, owner: Owner, clock: Clock, say: Callable[..., list[str]]
) -> None:
    say("The boat", "Yes", "It leaks", "The boat?", "The boat", "I see")
    (stretch,) = Recall(sqlite, None, None, clock).topic(owner, TopicRequest("boat")).stretches
    assert (stretch.from_seq, stretch.to_seq) == (1, 6)


def test_failing_parts_leave_keywords(
    sqlite: RecordStore, owner: Owner, clock: Clock, say: Callable[..., list[str]], indexed: Callable[[], LanceIndex]
) -> None:
    class Broken(Hashed):
        def embed_query(self, text: str) -> Vector:
            raise TimeoutError(text)

    (said, *_) = say("The boat is blue", "Noted")
    assert found(Recall(sqlite, indexed(), Broken(), clock), owner, "boat")[0][0] == said
