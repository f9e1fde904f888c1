"""Recording turns: where they go, what is recognised, and that a batch is taken whole or not at all."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from memory.errors import Conflict, Invalid, NotFound
from memory.model import Message, NewMessage, Owner
from memory.record.recording import Recorded, record
from memory.record.sessions import Target, archive, start
from storage.sql import SqlRecordStore

Say = Callable[..., Recorded]


def line(content: Any, client_id: str | None = None, role: Any = "user", **others: Any) -> NewMessage:
    return NewMessage(role, content, client_id, **others)


@pytest.fixture
def say(store: SqlRecordStore, owner: Owner, clock: Any) -> Say:
    """Records lines (text, or messages) in the open global session unless a target says otherwise."""

    def record_lines(*lines: NewMessage | str, **target: Any) -> Recorded:
        messages = [line(said) if isinstance(said, str) else said for said in lines]
        return record(store, owner, messages, Target(**target), clock)

    return record_lines


@pytest.fixture
def transcript(store: SqlRecordStore, owner: Owner) -> Callable[[str], list[Message]]:
    def read(session_id: str) -> list[Message]:
        with store.read(owner) as db:
            return db.transcript(session_id)

    return read


@pytest.fixture(autouse=True)
def whole(store: SqlRecordStore) -> Any:
    """After every test here the record proves whole, and every session counts without gaps."""
    yield
    assert store.audit() == []


def contents(messages: Sequence[Message]) -> list[str]:
    return [message.content for message in messages]


# Where messages go


def test_turns_without_a_session_go_to_the_open_one(say: Say) -> None:
    first, second = say("Hello"), say("Again", line("Yes?", role="assistant"))
    assert second.session.session_id == first.session.session_id
    assert [m.seq for m in (*first.messages, *second.messages)] == [1, 2, 3]
    assert second.session.message_count == second.session.last_seq == 3


def test_each_project_has_its_own_open_session(say: Say) -> None:
    places = [say("x", project_id=project).session for project in (None, "p", "q", None, "p")]
    assert [p.project_id for p in places] == [None, "p", "q", None, "p"]
    assert places[0].session_id == places[3].session_id
    assert places[1].session_id == places[4].session_id
    assert len({p.session_id for p in places}) == 3


def test_the_most_recently_active_session_is_the_open_one(
    say: Say, store: SqlRecordStore, owner: Owner, clock: Any
) -> None:
    older, newer = say("a").session, start(store, owner, Target(), clock)
    assert say("b").session.session_id == newer.session_id
    say("c", session_id=older.session_id)
    assert say("d").session.session_id == older.session_id


def test_new_turns_leave_an_archived_session_alone(say: Say, store: SqlRecordStore, owner: Owner, clock: Any) -> None:
    old = say("before").session
    archive(store, owner, None, clock)
    new = say("after")
    assert new.session.session_id != old.session_id
    assert new.messages[0].seq == 1
    assert say("still", session_id=old.session_id).messages[0].seq == 2


def test_an_external_id_finds_its_session_again_even_archived(
    say: Say, store: SqlRecordStore, owner: Owner, clock: Any
) -> None:
    call = say("Ring", external_id="call-1", channel="voice", agent="bridge").session
    assert (call.external_id, call.channel, call.agent) == ("call-1", "voice", "bridge")
    archive(store, owner, call.session_id, clock)
    again = say("Ring ring", external_id="call-1")
    assert again.session.session_id == call.session_id
    assert again.messages[0].channel == "voice"


def test_a_session_that_is_not_there_is_named_in_one_sentence(say: Say) -> None:
    with pytest.raises(NotFound, match="No session 'nowhere' was found"):
        say("x", session_id="nowhere")


def test_a_session_of_another_project_is_refused(say: Say) -> None:
    here = say("x", project_id="p").session
    with pytest.raises(Conflict, match="belongs to project 'p', not to 'q'"):
        say("y", session_id=here.session_id, project_id="q")
    assert say("y", session_id=here.session_id).messages[0].project_id == "p"


def test_messages_keep_the_channel_and_agent_of_their_session(say: Say) -> None:
    done = say("x", external_id="c", channel="sms", agent="a", project_id="p")
    message = done.messages[0]
    assert (message.channel, message.agent, message.project_id) == ("sms", "a", "p")


def test_a_conversation_that_is_over_never_takes_in_new_turns(say: Say) -> None:
    long_ago = datetime(2019, 5, 1, tzinfo=UTC)
    old = say(
        line("Old", occurred_at=long_ago), line("news", occurred_at=long_ago + timedelta(hours=1)),
        external_id="import-1", historical=True,
    ).session  # fmt: skip
    assert old.archived_at is not None
    assert (old.started_at, old.last_activity_at) == (long_ago, long_ago + timedelta(hours=1))
    assert say("New").session.session_id != old.session_id


# Titles


def test_a_session_is_titled_by_what_its_user_says_first(say: Say) -> None:
    assert say(line("Welcome!", role="assistant")).session.title is None
    assert say(" What's\nthe   plan?\0 ").session.title == "What's the plan?"
    assert say("Something else").session.title == "What's the plan?"


def test_a_title_is_one_short_line(say: Say) -> None:
    title = say("word " * 100_000).session.title
    assert title is not None
    assert len(title) <= 60
    assert title.endswith("…")


def test_a_title_that_was_given_stays(say: Say) -> None:
    assert say("Hello", external_id="c", title="Rent").session.title == "Rent"


def test_half_a_sentence_makes_no_title(say: Say) -> None:
    assert say(line("I would li", "1", status="partial"), external_id="c").session.title is None
    assert say(line("I would like tea", "1"), external_id="c").session.title == "I would like tea"


# What is recognised


def test_a_repeated_call_doubles_nothing_and_says_so(say: Say, transcript: Any) -> None:
    batch = line("Hi", "1"), line("Hello", "2", role="assistant")
    first = say(*batch)
    again = say(*batch, session_id=first.session.session_id)
    assert again.duplicates == ("1", "2")
    assert again.messages == first.messages
    assert again.session == first.session
    assert transcript(first.session.session_id) == list(first.messages)


def test_a_repeated_call_with_more_adds_what_is_new(say: Say) -> None:
    first = say(line("a", "1"), external_id="c")
    more = say(line("a", "1"), line("b", "2"), line("c", "3"), external_id="c")
    assert (more.duplicates, [m.seq for m in more.messages]) == (("1",), [1, 2, 3])
    assert more.messages[0] == first.messages[0]


def test_without_a_session_a_repeat_is_found_after_archiving(
    say: Say, store: SqlRecordStore, owner: Owner, clock: Any
) -> None:
    first = say(line("Hi", "m-1"))
    archive(store, owner, None, clock)
    again = say(line("Hi", "m-1"))
    assert again.duplicates == ("m-1",)
    assert again.session.session_id == first.session.session_id
    with store.read(owner) as db:
        assert db.message_count() == 1
        assert db.open_session(None) is None


def test_a_repeat_half_of_which_is_new_goes_on_in_the_open_session(
    say: Say, store: SqlRecordStore, owner: Owner, clock: Any
) -> None:
    old = say(line("a", "1"), line("b", "2")).session
    archive(store, owner, None, clock)
    for lines in ([line("a", "1"), line("b", "2"), line("c", "3")], [line("d", "4"), line("b", "2")]):
        mixed = say(*lines)
        assert [m.session_id == old.session_id for m in mixed.messages] == [
            m.client_id in ("1", "2") for m in mixed.messages
        ]
        assert mixed.session.session_id == mixed.messages[-1 if lines[-1].client_id == "3" else 0].session_id
        assert mixed.session.session_id != old.session_id
        assert mixed.session.title == "c"


def test_a_repeat_is_not_sought_in_another_scope(say: Say) -> None:
    first = say(line("Hi", "1"), project_id="p")
    second = say(line("Hi", "1"), project_id="q")
    assert second.duplicates == ()
    assert second.session.session_id != first.session.session_id


def test_lines_numbered_per_call_are_different_messages(say: Say, store: SqlRecordStore, owner: Owner) -> None:
    calls = [say(line("Hello", "1"), line(f"about {n}", "2"), external_id=f"call-{n}") for n in range(3)]
    ids = [m.message_id for call in calls for m in call.messages]
    assert ids[:2] == ["1", "2"]
    assert ids[2:4] == [f"{calls[1].session.session_id}/1", f"{calls[1].session.session_id}/2"]
    assert len(set(ids)) == 6
    assert all(call.duplicates == () for call in calls)
    with store.read(owner) as db:
        assert db.messages(ids).keys() == set(ids)


def test_an_id_made_to_look_like_anothers_place_is_no_trap(say: Say) -> None:
    other = start_of = say("x", external_id="b").session
    trap = f"{start_of.session_id}/1"
    say(line("trap", trap), line("one", "1"), external_id="a")
    mine = say(line("mine", "1"), external_id="b")
    assert mine.messages[0].content == "mine"
    assert mine.messages[0].message_id not in ("1", trap)
    assert mine.session.session_id == other.session_id
    assert say(line("mine", "1"), external_id="b").duplicates == ("1",)


def test_the_same_id_with_other_words_is_refused_whole(say: Say, transcript: Any) -> None:
    first = say(line("Yes", "1"), external_id="c")
    with pytest.raises(Conflict, match=r"Message id '1' was recorded .* with other content"):
        say(line("new", "2"), line("No", "1"), line("newer", "3"), external_id="c")
    assert transcript(first.session.session_id) == list(first.messages)


@pytest.mark.parametrize(
    "other",
    [
        {"role": "assistant"},
        {"tool_name": "g"},
        {"tool_call_id": "other"},
        {"tool_arguments": {"a": 2}},
        {"content": "Done"},
    ],
)
def test_whatever_was_said_otherwise_is_a_conflict(say: Say, other: dict[str, Any]) -> None:
    call = NewMessage("tool", "done", "1", tool_name="f", tool_call_id="c1", tool_arguments={"a": 1})
    say(call, external_id="c")
    with pytest.raises(Conflict):
        say(replace(call, **other), external_id="c")


def test_an_id_that_contradicts_itself_within_a_batch_is_refused(say: Say, store: SqlRecordStore, owner: Owner) -> None:
    with pytest.raises(Conflict):
        say(line("one", "1"), line("two", "1"))
    with store.read(owner) as db:
        assert db.message_count() == 0
        assert db.open_session(None) is None


def test_an_id_twice_in_a_batch_is_recorded_once(say: Say) -> None:
    done = say(line("one", "1"), line("one", "1"), line("two", "2"))
    assert done.duplicates == ("1",)
    assert [m.seq for m in done.messages] == [1, 1, 2]


def test_messages_without_an_id_are_always_new(say: Say) -> None:
    done = say("same", "same")
    assert [m.seq for m in (*done.messages, *say("same").messages)] == [1, 2, 3]
    assert len({m.message_id for m in done.messages}) == 2


def test_arguments_are_compared_as_json(say: Say) -> None:
    call = NewMessage("tool", "", "1", tool_arguments={"a": (1, 2.0, {"k": None}), 5: True})
    first = say(call, external_id="c")
    assert first.messages[0].tool_arguments == {"a": [1, 2.0, {"k": None}], "5": True}
    assert say(call, external_id="c").duplicates == ("1",)


def test_a_repeat_may_leave_out_what_was_added_but_not_change_it(say: Say) -> None:
    first = say(line("Hi", "1", metadata={"mood": "good"}, speaker="Ann"), external_id="c")
    later = first.messages[0].occurred_at + timedelta(hours=1)
    again = say(line("Hi", "1", occurred_at=later), external_id="c")
    assert (again.duplicates, again.messages) == (("1",), first.messages)
    with pytest.raises(Conflict):
        say(line("Hi", "1", metadata={"mood": "bad"}), external_id="c")


# Partial, final, interrupted


def test_a_partial_gives_way_until_it_is_final(say: Say, transcript: Any, store: SqlRecordStore, owner: Owner) -> None:
    steps = [("I", "partial"), ("I would", "partial"), ("I would like tea", "final")]
    done = [say(line(said, "1", status=status), external_id="c") for said, status in steps]
    assert {(m.message_id, m.seq) for d in done for m in d.messages} == {("1", 1)}
    assert all(d.duplicates == () for d in done)
    kept = transcript(done[0].session.session_id)
    assert [(m.content, m.status) for m in kept] == [("I would like tea", "final")]
    assert kept[0].occurred_at == done[0].messages[0].occurred_at
    assert kept[0].recorded_at > done[0].messages[0].recorded_at
    kinds = feed_kinds(store, owner)
    assert kinds == ["message_added", "message_edited", "message_edited"]


def feed_kinds(store: SqlRecordStore, owner: Owner) -> list[str]:
    from memory.model import START

    with store.read(owner) as db:
        return [change.kind for change in db.changes_after(START, 100)]


def test_a_partial_that_comes_late_changes_nothing(say: Say, transcript: Any) -> None:
    say(line("I w", "1", status="partial"), external_id="c")
    final = say(line("I would", "1"), external_id="c")
    late = say(line("I wo", "1", status="partial"), external_id="c")
    assert late.duplicates == ("1",)
    assert late.messages == final.messages
    assert transcript(final.session.session_id) == list(final.messages)


def test_the_same_partial_again_is_a_duplicate(say: Say, store: SqlRecordStore, owner: Owner) -> None:
    for expected in ((), ("1",)):
        assert say(line("I w", "1", status="partial"), external_id="c").duplicates == expected
    assert feed_kinds(store, owner) == ["message_added"]


def test_a_partial_with_the_same_words_becomes_final(say: Say) -> None:
    say(line("Yes", "1", status="partial"), external_id="c")
    done = say(line("Yes", "1"), external_id="c")
    assert (done.messages[0].status, done.duplicates) == ("final", ())


def test_an_interrupted_line_stays_as_it_was_heard(say: Say) -> None:
    say(line("The capital of Fr", "1", role="assistant", status="partial"), external_id="c")
    cut = say(line("The capital of", "1", role="assistant", status="interrupted"), external_id="c")
    assert cut.messages[0].status == "interrupted"
    with pytest.raises(Conflict):
        say(line("The capital of France is Paris", "1", role="assistant"), external_id="c")
    again = say(line("The capital of", "1", role="assistant"), external_id="c")
    assert (again.duplicates, again.messages) == (("1",), cut.messages)


def test_what_was_heard_corrects_what_was_meant(say: Say, transcript: Any, store: SqlRecordStore, owner: Owner) -> None:
    meant = line("The capital of France is Paris", "1", role="assistant", metadata={"turn": 4})
    heard = line("The capital of Fr—", "1", role="assistant", status="interrupted")
    final = say(meant, external_id="c")
    cut = say(heard, external_id="c")
    assert (cut.duplicates, cut.messages[0].status, cut.messages[0].seq) == ((), "interrupted", 1)
    assert (cut.messages[0].metadata, cut.messages[0].occurred_at) == ({"turn": 4}, final.messages[0].occurred_at)
    assert [m.content for m in transcript(cut.session.session_id)] == ["The capital of Fr—"]
    for again in (meant, heard, line("The", "1", role="assistant", status="partial")):
        assert say(again, external_id="c").duplicates == ("1",)
    with store.write(owner) as db:
        assert db.replaced("1") == list(final.messages)
    with pytest.raises(Conflict):
        say(line("The capital of", "1", role="assistant", status="interrupted"), external_id="c")
    with pytest.raises(Conflict):
        say(line("Something else", "1", role="assistant"), external_id="c")
    assert store.audit() == []


def test_a_partial_and_its_final_in_one_batch(say: Say) -> None:
    done = say(line("I", "1", status="partial"), "aside", line("I am", "1"), "end", external_id="c")
    assert [(m.content, m.seq) for m in done.messages] == [("I am", 1), ("aside", 2), ("I am", 1), ("end", 3)]
    assert done.session.last_seq == 3
    assert done.duplicates == ()


def test_an_unfinished_line_of_an_archived_session_is_not_touched_from_outside(
    say: Say, transcript: Any, store: SqlRecordStore, owner: Owner, clock: Any
) -> None:
    begun = say(line("I wou", "1", status="partial"))
    archive(store, owner, None, clock)
    other = say(line("How can I help?", "1", role="assistant"))
    assert other.session.session_id != begun.session.session_id
    assert transcript(begun.session.session_id) == list(begun.messages)
    named = say(line("I would", "1"), session_id=begun.session.session_id)
    assert (named.messages[0].seq, named.messages[0].content) == (1, "I would")
    assert transcript(other.session.session_id) == list(other.messages)


def test_a_final_keeps_the_place_and_moment_of_its_partial(say: Say) -> None:
    at = datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=timezone(timedelta(hours=9)))
    say(line("I", "1", status="partial", occurred_at=at), "other", external_id="c")
    kept = say(line("I am", "1"), external_id="c").messages[0]
    assert (kept.seq, kept.occurred_at) == (1, at)
    later = say(line("x", "9", status="partial"), line("xy", "9", occurred_at=at), external_id="c").messages[1]
    assert later.occurred_at == at


# What is refused


@pytest.mark.parametrize(
    ("bad", "sentence"),
    [
        (line("x", role="robot"), r"messages\[1\]\.role is 'robot'; use one of user, assistant, system, tool\."),
        (line("x", status="draft"), r"messages\[1\]\.status is 'draft'; use one of"),
        (line("x" * (10 * 1024 * 1024 + 1)), r"content takes 10,485,761 bytes; at most 10,485,760"),
        (line("é" * (5 * 1024 * 1024 + 1)), r"content takes 10,485,762 bytes; at most 10,485,760"),
        (line("half \ud83d"), r"content holds half of a surrogate pair"),
        (line(7), r"content is int, not text"),
        (line("x", ""), r"id is empty"),
        (line("x", "a\nb"), r"id holds control characters"),
        (line("x", "i" * 513), r"id takes 513 bytes"),
        (line("x", tool_arguments={1, 2}), r"tool_arguments is not JSON"),
        (line("x", tool_arguments=float("nan")), r"tool_arguments is not JSON"),
        (line("x", tool_arguments=["\ud800"]), r"tool_arguments holds half of a surrogate pair"),
        (line("x", metadata=["a"]), r"metadata is not an object"),
        (line("x", entities="e" * 1_100_000), r"entities takes 1,100,002 bytes as JSON"),
        (line("x", intent_confidence=1.5), r"intent_confidence is '1\.5'"),
        (line("x", intent_confidence=float("nan")), r"intent_confidence is 'nan'"),
        (line("x", intent_confidence="high"), r"intent_confidence is 'high'"),
        (line("x", occurred_at="yesterday"), r"occurred_at is str, not a time"),
        (line("x", occurred_at=datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14)))), r"outside the calendar"),
    ],
)  # fmt: skip
def test_one_bad_message_refuses_the_whole_batch(
    say: Say, store: SqlRecordStore, owner: Owner, bad: NewMessage, sentence: str
) -> None:
    with pytest.raises(Invalid, match=sentence) as refused:
        say("good", bad)
    assert len(str(refused.value)) < 300
    with store.read(owner) as db:
        assert db.message_count() == 0
        assert db.open_session(None) is None
        assert db.revision() == 0


def test_an_empty_batch_is_refused(say: Say) -> None:
    with pytest.raises(Invalid, match="messages is empty; give at least one message"):
        say()


def test_nesting_without_end_is_refused(say: Say) -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(Invalid, match="is not JSON"):
        say(line("x", tool_arguments=deep))


def test_a_whole_number_as_confidence_is_a_number(say: Say, transcript: Any) -> None:
    done = say(line("x", intent="greet", intent_confidence=1))
    assert transcript(done.session.session_id) == list(done.messages)


def test_what_record_returns_is_what_is_stored(say: Say, transcript: Any) -> None:
    everything = NewMessage(
        role="tool", content="42 °C \0 “quoted” '; DROP TABLE messages; --", client_id="k-1",
        occurred_at=datetime(1969, 7, 20, 20, 17, 40, 123456, tzinfo=timezone(timedelta(hours=-5))),
        speaker="Zoë \U0001f600", tool_name="weather", tool_call_id="call_9",
        tool_arguments={"q": ["\0", "\U0001f600", None]},
        intent="ask", intent_confidence=0.25, entities=[{"type": "city", "text": "Zürich"}],
        metadata={"n": 1, "nested": {"deep": [True, 1.5e300]}}, status="interrupted",
    )  # fmt: skip
    done = say(everything, external_id="c", project_id="p", channel="voice", agent="bridge")
    assert transcript(done.session.session_id) == list(done.messages)
    stored = done.messages[0]
    said = {name: getattr(stored, name) for name in NewMessage.__dataclass_fields__}
    assert NewMessage(**said) == everything
