"""What moves hits after they were scored: variety, a second look; and what is no hit at all."""

from collections.abc import Callable, Sequence

import pytest

from memory.model import MessageFilter, NewMessage, Owner
from memory.ports import Clock
from memory.recall import Recall, SearchRequest, TopicRequest
from memory.recall.understanding import understood
from memory.recall.variety import varied
from memory.record.recording import record
from memory.record.sessions import Target
from storage.sql import SqlRecordStore

Say = Callable[..., list[str]]


def test_each_hit_takes_something_off_the_rest_of_its_session() -> None:
    ranked = [("a1", 3.0), ("a2", 2.9), ("a3", 2.8), ("b1", 2.75), ("c1", 1.0)]
    order = varied(ranked, lambda name: ord(name[0]), 0.2)
    assert [name for name, _ in order] == ["a1", "b1", "a2", "a3", "c1"]
    assert [score for _, score in order] == sorted((score for _, score in order), reverse=True)
    assert varied(ranked, lambda name: ord(name[0]), 0.0) == ranked
    assert varied([], lambda name: 0, 0.2) == []


@pytest.mark.parametrize(
    ("query", "gathers"),
    [
        ("How many times did I fly last year?", True),
        ("Which cities have I visited?", True),
        ("What books does Ana like?", True),
        ("Which people have I met in Oslo?", True),
        ("Welchen Sport treibe ich?", True),
        ("What is my dog called?", False),
        ("When did we move?", False),
        ("Where does she work?", False),
    ],
)
def test_questions_that_ask_for_several_things(clock: Clock, query: str, gathers: bool) -> None:
    assert understood(query, [], ["english"], clock(), MessageFilter()).gathers is gathers


def test_gathering_looks_into_more_sessions(sqlite: SqlRecordStore, owner: Owner, clock: Clock, say: Say) -> None:
    for city in ("Lisbon", "Oslo", "Turin"):
        say(f"I visited a city, {city}", f"And which cities near {city}?", "That city, and a city", external_id=city)
    recall = Recall(sqlite, None, None, clock)
    one = recall.search(owner, SearchRequest("Which cities have I visited?", limit=3)).hits
    assert len({hit.message.session_id for hit in one}) == 3


def test_a_question_that_shares_no_word_finds_nothing(
    sqlite: SqlRecordStore, owner: Owner, clock: Clock, say: Say
) -> None:
    say("The boat is blue", "Noted")
    recall = Recall(sqlite, None, None, clock)
    assert recall.search(owner, SearchRequest("zzz")).hits == []
    assert recall.topic(owner, TopicRequest("zzz")).stretches == []
    assert recall.search(owner, SearchRequest("what did we say today?")).hits, "its time speaks for it"


class Zebras:
    """Likes zebras; remembers what it read."""

    def __init__(self) -> None:
        self.read: list[str] = []

    def scores(self, query: str, texts: Sequence[str]) -> Sequence[float]:
        self.read += texts
        return [50.0 if "zebra" in text else 0.0 for text in texts]


def test_a_second_look_reorders_the_best(sqlite: SqlRecordStore, owner: Owner, clock: Clock, say: Say) -> None:
    say("The boat, the boat, the boat", "Noted", "A boat with a zebra on it " + "and more of it " * 1000)
    first = Recall(sqlite, None, None, clock).search(owner, SearchRequest("boat", limit=1)).hits
    model = Zebras()
    second = Recall(sqlite, None, None, clock, reranker=model).search(owner, SearchRequest("boat", limit=1)).hits
    assert "zebra" not in first[0].message.content
    assert "zebra" in second[0].message.content and len(second) == 1
    assert max(map(len, model.read)) < 2_100, "the model reads the beginning"
    assert all(text.startswith(("User (", "Assistant (")) for text in model.read)


def test_a_second_look_that_fails_leaves_the_order(
    sqlite: SqlRecordStore, owner: Owner, clock: Clock, say: Say, caplog: pytest.LogCaptureFixture
) -> None:
    class Short(Zebras):
        def scores(self, query: str, texts: Sequence[str]) -> Sequence[float]:
            return [1.0]

    say("The boat, the boat", "The boat", "A boat")
    request = SearchRequest("boat")
    plain = Recall(sqlite, None, None, clock).search(owner, request).hits
    assert Recall(sqlite, None, None, clock, reranker=Short()).search(owner, request).hits == plain
    assert "second look" in caplog.text


def test_the_best_hits_of_a_topic_bring_their_neighbours(sqlite: SqlRecordStore, owner: Owner, clock: Clock) -> None:
    for number in range(60):
        talk = [f"Before {number}", f"The boat {number} leaked, " + "and so on " * 10, f"After {number}"]
        record(sqlite, owner, [NewMessage("user", line) for line in talk], Target(external_id=f"s{number}"), clock)
    recall = Recall(sqlite, None, None, clock)
    for tokens, talks in ((1600, 1), (2500, 2), (3300, 3)):
        given = recall.topic(owner, TopicRequest("boat leaked", max_tokens=tokens)).stretches
        assert sum(len(stretch.messages) == 3 for stretch in given) == talks, "one for each 600 tokens of messages"
    alone = recall.topic(owner, TopicRequest("boat leaked", max_tokens=1500, window=0)).stretches
    assert alone and all(len(stretch.messages) == 1 for stretch in alone)
