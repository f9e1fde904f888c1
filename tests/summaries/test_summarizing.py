"""Rolling summaries: incremental, versioned, honest about what they cover, never torn, folded and not cut off."""

from collections.abc import Callable, Sequence
from threading import Barrier, Event, Thread
from typing import TYPE_CHECKING, Any

import pytest

from inference.summarizers.extractive import ExtractiveSummarizer
from inference.summarizers.prompting import prompt_for
from inference.summarizers.sampling import AskedSummarizer, answered
from memory.errors import BackstoryError, Conflict, Invalid, NoSessionOpen, NotFound, Unavailable
from memory.model import Commitment, Fact, Message, NewMessage, Owner, Session, Summary, SummaryDraft
from memory.ports import RecordStore
from memory.record.recording import record
from memory.record.sessions import Target, archive, start
from memory.summaries.summarizing import Summarizing
from memory.summaries.triggers import SummaryTriggers
from memory.text.tokens import EstimatedTokens

if TYPE_CHECKING:
    from tests.conftest import Ticking

COUNTER = EstimatedTokens()
NAMES = ["Rui", "Eva", "Max", "Liz", "Tom", "Ida", "Jon", "Pia", "Ulf", "Zoe", "Abe", "Kim", "Leo", "Mia", "Ned", "Ola"]


class Scribe:
    """A summarizer that remembers what it was given and writes down the seqs."""

    def __init__(self, name: str = "scribe", fails: bool = False) -> None:
        self.name = name
        self.fails = fails
        self.given: list[tuple[Summary | None, list[Message]]] = []
        self.meanwhile: Callable[[], object] = lambda: None

    def summarize(self, previous: Summary | None, messages: Sequence[Message], max_tokens: int) -> SummaryDraft:
        self.given.append((previous, list(messages)))
        self.meanwhile()
        if self.fails:
            raise Unavailable("out of ink.")
        before = previous.draft.text + " " if previous else ""
        return SummaryDraft(before + " ".join(str(m.seq) for m in messages))


@pytest.fixture
def scribe() -> Scribe:
    return Scribe()


@pytest.fixture
def summarizing(store: RecordStore, ticking: "Ticking", scribe: Scribe) -> Summarizing:
    return Summarizing(store, [scribe], COUNTER, ticking)


def test_a_summary_is_the_old_one_and_the_new_turns(
    store: RecordStore, ana: Owner, talk: Callable[..., Session], summarizing: Summarizing, scribe: Scribe
) -> None:
    session = talk(store, ana, ["one", "two"])
    first = summarizing.summarize(ana, session.session_id)
    assert (first.version, first.covers_to_seq, first.producer, first.draft.text) == (1, 4, "scribe", "1 2 3 4")
    assert summarizing.summarize(ana) == first, "nothing new, nothing done"
    talk(store, ana, ["three"], session.session_id)
    second = summarizing.summarize(ana, session.session_id)
    assert (second.version, second.covers_to_seq, second.draft.text) == (2, 6, "1 2 3 4 5 6")
    assert scribe.given[1][0] == first
    assert [m.seq for m in scribe.given[1][1]] == [5, 6]
    with store.read(ana) as records:
        assert records.summaries(session.session_id) == [first, second]


def test_the_agents_own_words_are_stored_as_they_are(
    store: RecordStore, ana: Owner, talk: Callable[..., Session], summarizing: Summarizing, scribe: Scribe
) -> None:
    session = talk(store, ana, [NewMessage("user", "We take the flat.", client_id="m-1"), "fine"])
    draft = SummaryDraft(
        "  We\ntake <it>.  ",
        (Fact("Flat taken", "m-1"),),
        (Commitment("sign", "Ana", "Friday", "m-1"),),
        (Fact("When to move?"),),
        (Fact("Third floor", "m-1"),),
    )
    made = summarizing.summarize(ana, session.session_id, draft=draft)
    assert (made.draft, made.producer, made.version, made.covers_to_seq) == (draft, "agent", 1, 3)
    assert scribe.given == []
    later = summarizing.summarize(ana, session.session_id, draft=SummaryDraft("Again"), covers_to_seq=1)
    assert (later.version, later.covers_to_seq, later.note) == (2, 1, "follows version 1 by agent")
    with store.read(ana) as records:
        assert records.latest_summary(session.session_id) == later


@pytest.mark.parametrize(
    ("draft", "how", "error"),
    [
        (SummaryDraft(" \n"), {}, Invalid),
        (SummaryDraft("x" * 60_001), {}, Invalid),
        (SummaryDraft("x", facts=(Fact(""),)), {}, Invalid),
        (SummaryDraft("x", facts=(Fact("y"),) * 201), {}, Invalid),
        (SummaryDraft("x", facts=(Fact("y", "nobody"),)), {}, NotFound),
        (SummaryDraft("x"), {"covers_to_seq": 3}, Invalid),
        (SummaryDraft("x"), {"covers_to_seq": -1}, Invalid),
        (SummaryDraft("x"), {"max_tokens": 3}, Invalid),
    ],
)
def test_what_no_summary_can_be_is_refused(
    store: RecordStore,
    ana: Owner,
    talk: Callable[..., Session],
    summarizing: Summarizing,
    draft: SummaryDraft,
    how: dict[str, Any],
    error: type[BackstoryError],
) -> None:
    session = talk(store, ana, ["one"])
    with pytest.raises(error):
        summarizing.summarize(ana, session.session_id, draft=draft, **how)
    with store.read(ana) as records:
        assert records.latest_summary(session.session_id) is None


def test_unknown_foreign_empty_and_missing_sessions(
    store: RecordStore, ana: Owner, talk: Callable[..., Session], summarizing: Summarizing, ticking: "Ticking"
) -> None:
    theirs = talk(store, Owner("tenant", "bob"), ["mine"])
    for name in ("nowhere", theirs.session_id):
        with pytest.raises(NotFound):
            summarizing.summarize(ana, name)
    with pytest.raises(Invalid, match=r"no session is open outside of projects; give the id of a session\.$"):
        summarizing.summarize(ana)
    flat = start(store, ana, Target(project_id="flat-hunt", title="Viewings"), ticking)
    named = f"open is {flat.session_id} 'Viewings' in project 'flat-hunt': give its id."
    with pytest.raises(NoSessionOpen, match=named):
        summarizing.summarize(ana)
    empty = start(store, ana, Target(), ticking)
    with pytest.raises(Conflict, match="no messages yet"):
        summarizing.summarize(ana, empty.session_id)
    assert summarizing.summarize(ana, draft=SummaryDraft("Before we begin")).covers_to_seq == 0


def test_it_never_claims_a_turn_it_has_not_seen(
    store: RecordStore, ana: Owner, talk: Callable[..., Session], summarizing: Summarizing, scribe: Scribe
) -> None:
    session = talk(store, ana, ["one"])
    scribe.meanwhile = lambda: talk(store, ana, ["while it was written"], session.session_id)
    made = summarizing.summarize(ana, session.session_id)
    assert made.covers_to_seq == 2
    assert "3" not in made.draft.text


def test_what_is_still_being_said_is_left_for_later(
    store: RecordStore, ana: Owner, talk: Callable[..., Session], summarizing: Summarizing, ticking: "Ticking"
) -> None:
    session = talk(store, ana, ["one", NewMessage("user", "I wan", client_id="u", status="partial")])
    assert summarizing.summarize(ana, session.session_id).covers_to_seq == 2
    record(store, ana, [NewMessage("user", "I want two", client_id="u")], Target(session.session_id), ticking)
    assert summarizing.summarize(ana, session.session_id).draft.text == "1 2 3"


def test_up_to_a_turn(store: RecordStore, ana: Owner, talk: Callable[..., Session], summarizing: Summarizing) -> None:
    session = talk(store, ana, ["one", "two", "three"])
    assert summarizing.summarize(ana, session.session_id, to_seq=2).covers_to_seq == 2
    assert summarizing.summarize(ana, session.session_id, to_seq=1).version == 1
    assert summarizing.summarize(ana, session.session_id).draft.text == "1 2 3 4 5 6"


def test_a_long_session_is_folded_and_every_message_read_once(
    store: RecordStore, ana: Owner, talk: Callable[..., Session], scribe: Scribe, ticking: "Ticking"
) -> None:
    session = talk(store, ana, [(f"turn {n} " + "word " * n, "ok") for n in range(1, 60)])
    summarizing = Summarizing(store, [scribe], COUNTER, ticking, fold_tokens=300)
    made = summarizing.summarize(ana, session.session_id, max_tokens=2000)
    assert (made.version, made.covers_to_seq) == (1, 118)
    assert len(scribe.given) > 5
    assert [m.seq for _, chunk in scribe.given for m in chunk] == list(range(1, 119))
    assert scribe.given[1][0] is not None
    assert scribe.given[1][0].covers_to_seq == scribe.given[0][1][-1].seq


def test_one_message_larger_than_a_fold_is_read_in_pieces(
    store: RecordStore, ana: Owner, talk: Callable[..., Session], scribe: Scribe, ticking: "Ticking"
) -> None:
    long = " ".join(f"word{n}" for n in range(3000))
    session = talk(store, ana, [(long, "ok")])
    made = Summarizing(store, [scribe], COUNTER, ticking, fold_tokens=500).summarize(ana, session.session_id)
    assert made.covers_to_seq == 2
    pieces = [m for _, chunk in scribe.given for m in chunk if m.seq == 1]
    assert len(pieces) > 3
    assert "".join(m.content for m in pieces) == long


def test_a_shorter_text_is_made_when_asked_for(
    store: RecordStore, ana: Owner, talk: Callable[..., Session], ticking: "Ticking"
) -> None:
    session = talk(
        store, ana, [f"My cousin {name} lives in {name}ville and has {n} dogs." for n, name in enumerate(NAMES)]
    )
    summarizing = Summarizing(store, [ExtractiveSummarizer(None, COUNTER)], COUNTER, ticking)
    whole = summarizing.summarize(ana, session.session_id)
    short = summarizing.summarize(ana, session.session_id, max_tokens=60)
    assert COUNTER.count(short.draft.text) <= 60 < COUNTER.count(whole.draft.text) <= 400
    assert (short.version, short.covers_to_seq) == (2, whole.covers_to_seq)


def test_producers_are_tried_in_order_and_failures_named(
    store: RecordStore, ana: Owner, talk: Callable[..., Session], ticking: "Ticking"
) -> None:
    session = talk(store, ana, ["one", "two"])
    dry, last = Scribe("dry", fails=True), Scribe("last")
    made = Summarizing(store, [dry, last], COUNTER, ticking, fold_tokens=40).summarize(ana, session.session_id)
    assert (made.producer, made.draft.text) == ("last", "1 2 3 4")
    assert made.note == "dry could not be used: out of ink."
    assert len(dry.given) == 1, "what failed once is not tried again for the rest"
    with pytest.raises(Unavailable, match="your own words"):
        Summarizing(store, [Scribe("a", fails=True)], COUNTER, ticking).summarize(
            ana, talk(store, ana, ["x"], session.session_id).session_id
        )


def test_two_at_once_in_one_process_make_one_summary(
    store: RecordStore, ana: Owner, talk: Callable[..., Session], summarizing: Summarizing, scribe: Scribe
) -> None:
    session = talk(store, ana, ["one", "two"])
    made: list[Summary] = []
    threads = [Thread(target=lambda: made.append(summarizing.summarize(ana, session.session_id))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 6
    assert len(set(made)) == 1
    assert len(scribe.given) == 1


def test_two_processes_at_once_make_ordered_versions(
    store: RecordStore, ana: Owner, talk: Callable[..., Session], ticking: "Ticking"
) -> None:
    """Each has its own Summarizing, as processes have: both have read the same turns before either stores."""
    session = talk(store, ana, ["one", "two"])
    barrier = Barrier(2, timeout=20)
    made: list[Summary] = []

    def run(name: str) -> None:
        scribe = Scribe(name)
        scribe.meanwhile = lambda: barrier.wait() if len(scribe.given) == 1 else None
        made.append(Summarizing(store, [scribe], COUNTER, ticking).summarize(ana, session.session_id))

    threads = [Thread(target=run, args=(name,)) for name in ("a", "b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with store.read(ana) as records:
        stored = records.summaries(session.session_id)
    assert [s.version for s in stored] == [1]
    assert made == [stored[0], stored[0]], "the second finds the first's and has nothing to add"


def test_an_agents_words_that_come_first_are_not_run_over(
    store: RecordStore, ana: Owner, talk: Callable[..., Session], summarizing: Summarizing, scribe: Scribe
) -> None:
    session = talk(store, ana, ["one"])

    def agent() -> None:
        scribe.meanwhile = lambda: None
        summarizing.summarize(ana, session.session_id, draft=SummaryDraft("mine"), covers_to_seq=1)

    scribe.meanwhile = agent
    made = summarizing.summarize(ana, session.session_id)
    assert (made.version, made.draft.text, made.covers_to_seq) == (2, "mine 2", 2)


def test_simultaneous_drafts_are_both_in_the_history_in_order(
    store: RecordStore, ana: Owner, talk: Callable[..., Session], summarizing: Summarizing
) -> None:
    session = talk(store, ana, ["one"])
    drafts = [SummaryDraft(f"by {n}") for n in range(8)]
    threads = [Thread(target=summarizing.summarize, args=(ana,), kwargs={"draft": d}) for d in drafts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with store.read(ana) as records:
        stored = records.summaries(session.session_id)
    assert [s.version for s in stored] == list(range(1, 9))
    assert {s.draft.text for s in stored} == {d.text for d in drafts}


ANSWER = '{"text": "They count.", "decisions": [{"text": "go on", "source": "m2"}]}'


def test_the_clients_model_answers_a_question_asked_before(
    store: RecordStore, ana: Owner, talk: Callable[..., Session], summarizing: Summarizing
) -> None:
    session = talk(store, ana, ["one", "two"])
    pending = summarizing.pending(ana, session.session_id, max_tokens=100)
    assert pending == summarizing.pending(ana, session.session_id, max_tokens=100), "asked again, the same question"
    assert pending is not None
    prompt = prompt_for(pending.previous, pending.messages, pending.max_tokens)
    talk(store, ana, ["recorded while the model thought"], session.session_id)
    made = summarizing.summarize(
        ana,
        session.session_id,
        to_seq=pending.to_seq,
        max_tokens=pending.max_tokens,
        first=[answered(prompt, ANSWER)],
    )
    assert (made.producer, made.covers_to_seq, made.note) == ("client", 4, None)
    assert made.draft.decisions[0].message_id == pending.messages[1].message_id
    late = summarizing.summarize(ana, session.session_id, max_tokens=100, first=[answered(prompt, ANSWER)])
    assert (late.producer, late.covers_to_seq) == ("scribe", 6)
    assert "client could not be used" in (late.note or "")
    assert summarizing.pending(ana, session.session_id) is None


def test_of_a_session_too_long_for_one_question_the_rest_is_folded_first(
    store: RecordStore, ana: Owner, talk: Callable[..., Session], scribe: Scribe, ticking: "Ticking"
) -> None:
    session = talk(store, ana, [(f"turn {n} " + "word " * 30, "ok") for n in range(30)])
    summarizing = Summarizing(store, [scribe], COUNTER, ticking, fold_tokens=600)
    pending = summarizing.pending(ana, session.session_id)
    assert pending is not None
    assert pending.previous is not None
    assert pending.messages[0].seq == pending.previous.covers_to_seq + 1
    assert pending.messages[-1].seq == pending.to_seq == 60
    assert pending == summarizing.pending(ana, session.session_id)


def test_any_function_can_be_asked(message: Callable[..., Message]) -> None:
    asked = AskedSummarizer(lambda prompt: ANSWER, "mine")
    assert asked.summarize(None, [message(1), message(2)], 100).decisions[0].message_id == "m2"
    assert asked.name == "mine"


@pytest.fixture
def with_model(store: RecordStore, ticking: "Ticking", scribe: Scribe) -> Any:
    model = Scribe("model")
    summarizing = Summarizing(store, [model, scribe], COUNTER, ticking)
    triggers = SummaryTriggers(store, summarizing, COUNTER, every_turns=3, every_tokens=5000)
    triggers.start()
    yield triggers, model
    triggers.stop()


def test_with_a_model_every_few_turns_are_folded_in_the_background(
    store: RecordStore, ana: Owner, talk: Callable[..., Session], with_model: Any
) -> None:
    triggers, model = with_model
    session = talk(store, ana, ["one", "two"])
    triggers.recorded(ana, session.session_id)
    assert triggers.wait_until_idle(10)
    assert model.given == []
    talk(store, ana, ["three"], session.session_id)
    triggers.recorded(ana, session.session_id)
    assert triggers.wait_until_idle(10)
    with store.read(ana) as records:
        made = records.latest_summary(session.session_id)
        assert made is not None
        assert made.covers_to_seq == 6
    talk(store, ana, ["word " * 4000], session.session_id)
    triggers.recorded(ana, session.session_id)
    assert triggers.wait_until_idle(10)
    with store.read(ana) as records:
        made = records.latest_summary(session.session_id)
        assert made is not None
        assert made.version == 2


def test_archiving_makes_a_summary_with_and_without_a_model(
    store: RecordStore,
    ana: Owner,
    talk: Callable[..., Session],
    with_model: Any,
    summarizing: Summarizing,
    ticking: "Ticking",
) -> None:
    triggers, _ = with_model
    for each in (triggers, SummaryTriggers(store, summarizing, COUNTER)):
        session = talk(store, ana, ["one"], start(store, ana, Target(title="t"), ticking).session_id)
        archive(store, ana, session.session_id, ticking)
        each.archived(ana, session.session_id)
        assert each.wait_until_idle(10)
        with store.read(ana) as records:
            made = records.latest_summary(session.session_id)
        assert made is not None
        assert made.covers_to_seq == 2


def test_without_a_model_recording_triggers_nothing_and_failures_stay_quiet(
    store: RecordStore,
    ana: Owner,
    talk: Callable[..., Session],
    summarizing: Summarizing,
    scribe: Scribe,
    ticking: "Ticking",
) -> None:
    triggers = SummaryTriggers(store, summarizing, COUNTER, every_turns=1)
    triggers.start()
    session = talk(store, ana, ["one"])
    triggers.recorded(ana, session.session_id)
    assert triggers.wait_until_idle(1)
    assert scribe.given == []
    triggers.archived(ana, "nowhere")
    triggers.archived(ana, start(store, ana, Target(), ticking).session_id)
    scribe.fails = True
    triggers.archived(ana, session.session_id)
    triggers.stop()


def test_a_slow_model_is_waited_for_briefly_and_its_version_follows(
    store: RecordStore, ana: Owner, talk: Callable[..., Session], ticking: "Ticking"
) -> None:
    session = talk(store, ana, ["one", "two"])
    slow, quick, answers = Scribe("slow"), Scribe("quick"), Event()
    slow.meanwhile = lambda: answers.wait(30)
    summarizing = Summarizing(store, [slow, quick], COUNTER, ticking, patience=0.1)
    announced = Announced()
    summarizing.leave_rest_to(announced)
    first = summarizing.summarize(ana, session.session_id)
    assert (first.producer, first.version, first.covers_to_seq) == ("quick", 1, 4)
    assert first.note == "slow could not be used: it has not answered yet; its version follows when it does."
    answers.set()
    assert announced.heard.wait(30)
    with store.read(ana) as records:
        latest = records.latest_summary(session.session_id)
    assert latest is not None
    assert (latest.producer, latest.version, latest.covers_to_seq) == ("slow", 2, 4)
    assert latest.note == "follows version 1 by quick"


def test_a_late_answer_takes_the_place_of_nothing_newer(
    store: RecordStore, ana: Owner, talk: Callable[..., Session], ticking: "Ticking"
) -> None:
    session = talk(store, ana, ["one", "two"])
    slow, quick, answers, answered_late = Scribe("slow"), Scribe("quick"), Event(), Event()
    slow.meanwhile = lambda: answers.wait(30)
    summarizing = Summarizing(store, [slow, quick], COUNTER, ticking, patience=0.05)
    summarizing.summarize(ana, session.session_id)
    summarizing.summarize(ana, session.session_id, draft=SummaryDraft("In my own words"))
    slow.meanwhile = answered_late.set
    answers.set()
    talk(store, ana, ["three"], session.session_id)
    summarizing.summarize(ana, session.session_id)
    assert answered_late.wait(30)
    with store.read(ana) as records:
        made = records.summaries(session.session_id)
    assert [summary.version for summary in made] == sorted({summary.version for summary in made})
    assert "In my own words" in [summary.draft.text for summary in made]
    assert made[-1].covers_to_seq == 6
    assert made[-1].draft.text == "In my own words 5 6"


class Announced:
    """Hears that a summary was made behind."""

    def __init__(self) -> None:
        self.heard = Event()

    def owe(self, owner: Owner, session_id: str) -> None:
        raise AssertionError("nothing is owed here")

    def owes(self, owner: Owner, session_id: str) -> bool:
        return False

    def announce(self, owner: Owner, session_id: str) -> None:
        self.heard.set()
