"""A summary of a long session: a call folds for a moment, the background the rest; no message is claimed unread."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from inference.summarizers.extractive import ExtractiveSummarizer
from memory.context.session_context import ContextRequest, SessionContexts
from memory.model import Message, NewMessage, Owner, Session, Strategy, Summary, SummaryDraft
from memory.ports import Clock, RecordStore
from memory.record.sessions import Target, archive, start
from memory.summaries.summarizing import Summarizing
from memory.summaries.triggers import SummaryTriggers
from memory.text.tokens import EstimatedTokens
from storage.sql import reading
from storage.sql.rows import to_message

COUNTER = EstimatedTokens()


class Reader:
    """A summarizer that keeps the seqs it was given, each once."""

    name = "reader"

    def __init__(self) -> None:
        self.given: list[int] = []

    def summarize(self, previous: Summary | None, messages: Sequence[Message], max_tokens: int) -> SummaryDraft:
        self.given += [m.seq for m in messages]
        return SummaryDraft(f"up to {messages[-1].seq}" if messages else "nothing")


@pytest.fixture
def reader() -> Reader:
    return Reader()


@pytest.fixture
def long_talk(store: RecordStore, ana: Owner, talk: Callable[..., Session]) -> str:
    return str(talk(store, ana, [(f"turn {n} " + "word " * 30, "ok") for n in range(40)]).session_id)


def hurried(store: RecordStore, clock: Clock, *producers: object) -> Summarizing:
    """One that has no time: a call folds one stretch."""
    return Summarizing(store, producers, COUNTER, clock, fold_tokens=300, seconds=0)  # type: ignore[arg-type]


@contextmanager
def behind(store: RecordStore, summarizing: Summarizing) -> Iterator[SummaryTriggers]:
    triggers = SummaryTriggers(store, summarizing, COUNTER)
    triggers.start()
    try:
        yield triggers
    finally:
        triggers.stop(10)


def test_a_call_folds_a_part_and_says_so_and_the_next_goes_on(
    store: RecordStore, ana: Owner, long_talk: str, reader: Reader, ticking: Clock
) -> None:
    summarizing = hurried(store, ticking, reader)
    made = [summarizing.summarize(ana, long_talk)]
    assert 0 < made[0].covers_to_seq < 80
    assert made[0].draft.text == f"up to {made[0].covers_to_seq}"
    assert made[0].note == f"covers messages 1 to {made[0].covers_to_seq} of 80; the rest is folded when asked again"
    while made[-1].covers_to_seq < 80:
        made.append(summarizing.summarize(ana, long_talk))
    assert made[-1].note is None
    assert reader.given == list(range(1, 81)), "every message once"
    with store.read(ana) as records:
        assert records.summary_due(long_talk) is None


def test_the_rest_is_folded_in_the_background(
    store: RecordStore, ana: Owner, long_talk: str, reader: Reader, ticking: Clock
) -> None:
    summarizing = hurried(store, ticking, reader)
    with behind(store, summarizing) as triggers:
        first = summarizing.summarize(ana, long_talk)
        assert (first.note or "").endswith("the rest is being folded in the background, ask again")
        assert triggers.wait_until_idle(20)
        whole = summarizing.summarize(ana, long_talk)
    assert (whole.covers_to_seq, whole.note) == (80, None)
    assert sorted(reader.given) == list(range(1, 81))


def test_while_the_rest_is_being_folded_what_there_is_is_the_answer(
    store: RecordStore, ana: Owner, long_talk: str, reader: Reader, ticking: Clock
) -> None:
    class Busy:
        def owe(self, owner: Owner, session_id: str) -> None:
            self.told = (owner, session_id)

        def owes(self, owner: Owner, session_id: str) -> bool:
            return hasattr(self, "told")

        def announce(self, owner: Owner, session_id: str) -> None:
            raise AssertionError("nothing is made behind here")

    summarizing, busy = hurried(store, ticking, reader), Busy()
    summarizing.leave_rest_to(busy)
    first = summarizing.summarize(ana, long_talk)
    assert busy.told == (ana, long_talk)
    again = summarizing.summarize(ana, long_talk)
    assert (again.version, again.covers_to_seq) == (1, first.covers_to_seq)
    assert "of 80; the rest is being folded in the background" in (again.note or "")
    assert summarizing.pending(ana, long_talk) is None
    own = summarizing.summarize(ana, long_talk, draft=SummaryDraft("Mine."))
    assert (own.draft.text, own.covers_to_seq, own.producer) == ("Mine.", 80, "agent")


def test_after_a_kill_the_next_start_goes_on(
    store: RecordStore, ana: Owner, long_talk: str, reader: Reader, ticking: Clock
) -> None:
    hurried(store, ticking, reader).summarize(ana, long_talk)
    assert store.summaries_owed(9) == [(ana, long_talk)]
    with behind(store, hurried(store, ticking, reader)) as triggers:
        assert triggers.wait_until_idle(20)
        with store.read(ana) as records:
            latest = records.latest_summary(long_talk)
    assert latest is not None
    assert (latest.covers_to_seq, latest.note) == (80, None)
    assert reader.given == list(range(1, 81))
    assert store.summaries_owed(9) == []


def test_archiving_a_long_session_waits_no_longer(
    store: RecordStore, ana: Owner, long_talk: str, reader: Reader, ticking: Clock
) -> None:
    summarizing = hurried(store, ticking, reader)
    archive(store, ana, long_talk, ticking)
    SummaryTriggers(store, summarizing, COUNTER).archived(ana, long_talk)
    assert len(reader.given) < 80
    assert store.summaries_owed(9) == [(ana, long_talk)]


def test_a_message_read_in_part_is_not_covered(
    store: RecordStore, ana: Owner, talk: Callable[..., Session], reader: Reader, ticking: Clock
) -> None:
    session = talk(store, ana, ["hello", NewMessage("user", "word " * 3000)])
    summarizing = hurried(store, ticking, reader)
    assert summarizing.summarize(ana, session.session_id).covers_to_seq == 2
    part = summarizing.summarize(ana, session.session_id)
    assert part.covers_to_seq == 2
    with behind(store, summarizing) as triggers:
        assert triggers.wait_until_idle(20)
        assert summarizing.summarize(ana, session.session_id).covers_to_seq == 3


def test_a_client_is_asked_about_the_end_once_the_rest_is_folded(
    store: RecordStore, ana: Owner, long_talk: str, reader: Reader, ticking: Clock
) -> None:
    summarizing = hurried(store, ticking, reader)
    assert summarizing.pending(ana, long_talk) is None, "no time for all that comes before"
    patient = Summarizing(store, [reader], COUNTER, ticking, fold_tokens=300)
    pending = patient.pending(ana, long_talk)
    assert pending is not None
    assert pending.messages[-1].seq == pending.to_seq == 80
    assert pending.previous is not None
    assert pending.messages[0].seq == pending.previous.covers_to_seq + 1


def test_other_sessions_have_their_turn(
    store: RecordStore, ana: Owner, talk: Callable[..., Session], ticking: Clock
) -> None:
    """What is owed for one long session does not keep an archived one waiting."""
    reader = Reader()
    summarizing = hurried(store, ticking, reader)
    ids = []
    for _ in range(2):
        session_id = start(store, ana, Target(), ticking).session_id
        talk(store, ana, [(f"turn {n} " + "word " * 30, "ok") for n in range(20)], session_id)
        summarizing.summarize(ana, session_id)
        ids.append(session_id)
    with behind(store, summarizing) as triggers:
        assert triggers.wait_until_idle(20)
    with store.read(ana) as records:
        assert [records.latest_summary(i).covers_to_seq for i in ids] == [40, 40]  # type: ignore[union-attr]


def test_a_context_says_what_its_summary_does_not_cover(
    store: RecordStore, ana: Owner, long_talk: str, reader: Reader, ticking: Clock
) -> None:
    contexts = SessionContexts(store, None, COUNTER, ticking, summarizing=hurried(store, ticking, reader))
    strategy = Strategy("summarize", keep_turns=3, summarize_after=5)
    given = contexts.get(ana, ContextRequest(session_id=long_talk, max_tokens=800, strategy=strategy))
    assert given.summary is not None
    assert any(f"messages 1 to {given.summary.covers_to_seq};" in note for note in given.notes)


def test_a_view_reads_no_more_of_the_record_than_it_may_show(
    store: RecordStore, ana: Owner, talk: Callable[..., Session], ticking: Clock
) -> None:
    """Agents' sessions: one question, then thousands of messages that are no turns of a user's."""
    says = [NewMessage("user", "Go."), *(NewMessage("assistant", f"step {n} " * 9) for n in range(2500))]
    session_id = talk(store, ana, says).session_id
    contexts = SessionContexts(store, None, COUNTER, ticking)
    for mode in ("none", "trim", "compact", "summarize"):
        with counted_rows(store) as rows:
            given = contexts.get(ana, ContextRequest(session_id=session_id, max_tokens=500, strategy=Strategy(mode)))
        assert given.messages
        assert given.left_out == 2501 - len(given.messages)
        assert rows[0] < (2200 if mode == "summarize" else 100), mode


@contextmanager
def counted_rows(store: Any) -> Iterator[list[int]]:
    """How many messages are made of rows meanwhile."""
    rows = [0]
    made = to_message

    def count(row: Sequence[Any]) -> Message:
        rows[0] += 1
        return made(row)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading, "to_message", count)
        yield rows


def calls_of(work: Callable[[], object]) -> int:
    """How many functions were called, in Python and in C: what time would say, without its noise."""
    count = 0

    def note(_frame: object, event: str, _arg: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


TALKS = {
    "alike": lambda n: f"In round {n} we talk about the price of {n % 97} tiles in Braga; I will send {n} tomorrow.",
    "promises kept": lambda n: f"I will send you letter {n} tonight. I have sent letter {n - 9} to you.",
    "questions": lambda n: f"Where is the tile {n} from? The tile {n - 5} is from Braga, not sure about the rest.",
    "facts": lambda n: f"My cousin number {n} lives in Town{n} and has {n} dogs. We decided to go with plan {n}.",
    "one word": lambda n: "tile. " * 12,
}


@pytest.mark.parametrize("kind", TALKS)
def test_twice_the_messages_are_about_twice_the_work(kind: str, message: Callable[..., Message]) -> None:
    def fold(count: int) -> int:
        summarizer = ExtractiveSummarizer(None, COUNTER)
        said = [message(n, ("user", "assistant")[n % 2], TALKS[kind](n)) for n in range(1, count + 1)]
        return calls_of(lambda: summarizer.summarize(None, said, 400))

    fold(50)
    assert fold(800) < 2.5 * fold(400)
