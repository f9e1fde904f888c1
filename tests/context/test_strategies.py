"""Strategies: views that split no tool call from its result, knobs that inherit, nothing in the record changed."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memory.context.strategies import ResolvedStrategy, apply, compacted, in_force, read_strategy, resolve, set_strategy
from memory.errors import Invalid, NotFound
from memory.model import Message, NewMessage, Owner, Role, Session, Strategy, Summary, SummaryDraft
from memory.ports import RecordStore
from memory.text.tokens import EstimatedTokens
from memory.text.turns import cost, last_turns, total_cost, user_turns

if TYPE_CHECKING:
    from tests.conftest import Ticking

COUNTER = EstimatedTokens()
AT = datetime(2025, 5, 7, 12, tzinfo=UTC)


def resolved(**knobs: Any) -> ResolvedStrategy:
    return resolve(Strategy(**knobs), None, None)


@pytest.fixture
def dialogue(message: Callable[..., Message]) -> Callable[[int], list[Message]]:
    return lambda turns: [message(seq, "user" if seq % 2 else "assistant") for seq in range(1, 2 * turns + 1)]


@pytest.fixture
def with_tools(message: Callable[..., Message]) -> list[Message]:
    """Three turns; in each the assistant calls a tool and answers from its result."""
    messages: list[Message] = []
    for turn in range(3):
        seq = turn * 4
        call = {"tool_call_id": f"call-{turn}", "tool_name": "search_homes"}
        messages += [
            message(seq + 1, "user", f"question {turn}"),
            message(seq + 2, "assistant", "looking", tool_arguments={"turn": turn}, **call),
            message(seq + 3, "tool", f"result {turn} " * 50, **call),
            message(seq + 4, "assistant", f"answer {turn}"),
        ]
    return messages


def test_none_shows_everything(dialogue: Callable[..., list[Message]]) -> None:
    messages = dialogue(40)
    assert apply(resolved(mode="none", keep_turns=2, max_tokens=50), messages, None, COUNTER).messages == tuple(
        messages
    )


def test_trim_keeps_the_last_turns(dialogue: Callable[..., list[Message]]) -> None:
    view = apply(resolved(mode="trim", keep_turns=3), dialogue(8), None, COUNTER)
    assert [m.seq for m in view.messages] == [11, 12, 13, 14, 15, 16]
    assert view.left_out == 10
    assert apply(resolved(mode="trim", keep_turns=3), dialogue(2), None, COUNTER).left_out == 0
    assert apply(resolved(mode="trim", keep_turns=0), dialogue(2), None, COUNTER).messages == ()


def test_trim_defaults_to_ten_turns(dialogue: Callable[..., list[Message]]) -> None:
    assert user_turns(apply(resolved(mode="trim"), dialogue(30), None, COUNTER).messages) == 10


def test_a_result_that_came_turns_later_is_left_out_with_its_call(message: Callable[..., Message]) -> None:
    messages = [
        message(1, "user", "start it"),
        message(2, "assistant", "started", tool_call_id="slow", tool_arguments={}),
        message(3, "user", "still there?"),
        message(4, "tool", "done", tool_call_id="slow"),
        message(5, "assistant", "it is done"),
    ]
    view = apply(resolved(mode="trim", keep_turns=1), messages, None, COUNTER)
    assert [m.seq for m in view.messages] == [3, 5]
    assert [m.seq for m in apply(resolved(mode="trim", keep_turns=2), messages, None, COUNTER).messages] == [
        1,
        2,
        3,
        4,
        5,
    ]


def test_a_token_limit_cuts_inside_a_turn_without_splitting_a_call(with_tools: list[Message]) -> None:
    last_turn = with_tools[8:]
    whole = total_cost(COUNTER, last_turn) + 20
    for limit in range(20, whole + 1):
        view = apply(resolved(mode="trim", max_tokens=limit), with_tools, None, COUNTER)
        seqs = {m.seq for m in view.messages}
        assert (10 in seqs) == (11 in seqs), f"call and result were split at {limit} tokens"
        assert total_cost(COUNTER, view.messages) <= limit
        assert not view.messages or view.messages[0].role == "user"
    assert seqs == {9, 10, 11, 12}


def test_calls_listed_in_metadata_stay_with_their_results(message: Callable[..., Message]) -> None:
    messages = [
        message(1, "user", "two things"),
        message(2, "assistant", "both", metadata={"tool_calls": [{"id": "a"}, {"id": "b"}]}),
        message(3, "tool", "A " * 80, tool_call_id="a"),
        message(4, "tool", "B " * 80, tool_call_id="b"),
        message(5, "assistant", "here you are"),
    ]
    for limit in range(30, 400, 7):
        seqs = {m.seq for m in apply(resolved(mode="trim", max_tokens=limit), messages, None, COUNTER).messages}
        assert len(seqs & {2, 3, 4}) in (0, 3)
    assert seqs == {1, 2, 3, 4, 5}, "the last limit is wide enough"


def test_one_message_larger_than_the_limit_is_shortened_and_says_so(message: Callable[..., Message]) -> None:
    messages = [message(1, "user", "word " * 3000)]
    view = apply(resolved(mode="trim", max_tokens=200), messages, None, COUNTER)
    assert "characters left out" in view.messages[0].content
    assert cost(COUNTER, view.messages[0]) <= 200


def summary_to(seq: int) -> Summary:
    return Summary("s", 1, SummaryDraft("It was said."), seq, "extractive", AT)


def test_summarize_stands_in_for_older_turns_once_the_threshold_is_passed(
    dialogue: Callable[..., list[Message]],
) -> None:
    strategy = resolved(mode="summarize")
    assert apply(strategy, dialogue(20), summary_to(20), COUNTER).summary is None
    view = apply(strategy, dialogue(21), summary_to(22), COUNTER)
    assert view.summary is not None
    assert [m.seq for m in view.messages] == list(range(23, 43))


def test_summarize_never_hides_what_the_summary_does_not_cover(dialogue: Callable[..., list[Message]]) -> None:
    view = apply(resolved(mode="summarize"), dialogue(30), summary_to(10), COUNTER)
    assert [m.seq for m in view.messages] == list(range(11, 61))
    assert apply(resolved(mode="summarize"), dialogue(30), None, COUNTER).left_out == 0
    ahead = apply(resolved(mode="summarize"), dialogue(30), summary_to(60), COUNTER)
    assert user_turns(ahead.messages) == 10, "the last turns are shown in full even where the summary covers them"


def test_summarize_also_begins_when_the_tokens_pass_the_limit(dialogue: Callable[..., list[Message]]) -> None:
    messages = dialogue(15)
    limit = total_cost(COUNTER, messages) - 1
    assert apply(resolved(mode="summarize", max_tokens=limit), messages, summary_to(10), COUNTER).summary is not None
    assert apply(resolved(mode="summarize", max_tokens=limit + 1), messages, summary_to(10), COUNTER).summary is None


def test_compact_names_old_results_and_keeps_the_last(with_tools: list[Message]) -> None:
    view = apply(resolved(mode="compact", keep_tool_results=1), with_tools, None, COUNTER)
    assert [m.seq for m in view.messages] == [m.seq for m in with_tools]
    assert view.placeholders == ("m3", "m7")
    old, kept = view.messages[2], view.messages[10]
    size = f"{len(with_tools[2].content):,}"
    assert "search_homes" in old.content
    assert "message m3" in old.content
    assert f"{size} characters" in old.content
    assert view.messages[1].tool_arguments is None
    assert kept == with_tools[10]
    assert view.messages[9].tool_arguments == {"turn": 2}
    assert apply(resolved(mode="compact"), with_tools, None, COUNTER).placeholders == ()


def test_knobs_come_from_the_first_layer_that_has_them() -> None:
    merged = resolve(
        Strategy(keep_turns=4), Strategy(mode="trim", keep_turns=6), Strategy(mode="compact", keep_tool_results=0)
    )
    assert (merged.mode, merged.keep_turns, merged.keep_tool_results, merged.summarize_after) == ("trim", 4, 0, 20)
    assert merged.decided_by == {
        "mode": "session",
        "keep_turns": "request",
        "summarize_after": "none",
        "max_tokens": "none",
        "keep_tool_results": "agent",
    }


def test_set_change_and_clear(store: RecordStore, ana: Owner, talk: Callable[..., Session], ticking: "Ticking") -> None:
    session = talk(store, ana, ["hello"])
    set_strategy(store, ana, "agent", "helper", {"mode": "compact", "keep_turns": 5})
    now = set_strategy(store, ana, "session", session.session_id, {"mode": "trim", "keep_turns": 3})
    assert (now.mode, now.keep_turns, now.decided_by["mode"]) == ("trim", 3, "session")
    now = set_strategy(store, ana, "session", None, {"mode": None})
    assert (now.mode, now.keep_turns, now.decided_by["mode"]) == ("none", 3, "none")
    with store.read(ana) as records:
        both = in_force(records, session.session_id, "helper")
    assert (both.mode, both.keep_turns) == ("compact", 3)
    assert (both.decided_by["mode"], both.decided_by["keep_turns"]) == ("agent", "session")
    now = set_strategy(store, ana, "session", session.session_id, None)
    assert set(now.decided_by.values()) == {"none"}
    with store.read(ana) as records:
        assert records.strategy("session", session.session_id) is None


def test_unknown_and_foreign_names_are_refused(store: RecordStore, ana: Owner, talk: Callable[..., Session]) -> None:
    theirs = talk(store, Owner("tenant", "bob"), ["hello"])
    for name in ("nowhere", theirs.session_id):
        with pytest.raises(NotFound):
            set_strategy(store, ana, "session", name, {"mode": "trim"})
    with pytest.raises(Invalid, match="give its name"):
        set_strategy(store, ana, "agent", None, {"mode": "trim"})
    with pytest.raises(Invalid, match="session, agent"):
        set_strategy(store, ana, "user", "x", {"mode": "trim"})  # type: ignore[arg-type]
    with pytest.raises((NotFound, Invalid), match="session"):
        set_strategy(store, ana, "session", None, {"mode": "trim"})


@pytest.mark.parametrize(
    ("patch", "says"),
    [
        ({"mode": "forget"}, "none, trim, summarize, compact"),
        ({"keep_turns": -1}, "from 0 to"),
        ({"keep_turns": True}, "whole number"),
        ({"max_tokens": 0}, "from 1 to"),
        ({"keep_turns": "10"}, "whole number"),
        ({"turns": 3}, "is unknown; use mode, keep_turns"),
    ],
)
def test_bad_knobs_are_refused_in_one_sentence(patch: dict[str, Any], says: str) -> None:
    with pytest.raises(Invalid, match=says):
        read_strategy(patch)


def test_views_leave_the_record_alone(store: RecordStore, ana: Owner, talk: Callable[..., Session]) -> None:
    call: dict[str, Any] = {"tool_name": "t", "tool_call_id": "c"}
    session = talk(
        store,
        ana,
        [NewMessage("user", "go"), NewMessage("tool", "much " * 500, tool_arguments={"a": 1}, **call), *["more"] * 20],
    )
    with store.read(ana) as records:
        before = records.transcript(session.session_id)
    for mode in ("none", "trim", "summarize", "compact"):
        apply(resolved(mode=mode, max_tokens=100, keep_tool_results=0), before, None, COUNTER)
    with store.read(ana) as records:
        assert records.transcript(session.session_id) == before
    assert store.audit() == []


@st.composite
def transcripts(draw: st.DrawFn) -> list[Message]:
    """Any transcript: calls answered at once, later, twice or never; results of calls that nobody recorded."""
    messages: list[Message] = []
    calls: list[str] = []
    for seq in range(1, draw(st.integers(1, 30)) + 1):
        role: Role = draw(st.sampled_from(get_args(Role)))
        fields: dict[str, Any] = {}
        if role == "assistant" and draw(st.booleans()):
            calls.append(f"c{seq}")
            fields = {"tool_call_id": calls[-1], "tool_name": "t", "tool_arguments": {"n": seq}}
        elif role == "tool":
            fields = {"tool_call_id": draw(st.sampled_from([*calls, "lost"])), "tool_name": "t"}
        content = draw(st.text("abc de\n", max_size=200))
        messages.append(Message(f"m{seq}", "s", seq, role, content, AT, AT, **fields))
    return messages


KNOBS = st.fixed_dictionaries(
    {
        "mode": st.sampled_from(["none", "trim", "summarize", "compact"]),
        "keep_turns": st.integers(0, 12),
        "summarize_after": st.integers(1, 12),
        "max_tokens": st.none() | st.integers(1, 600),
        "keep_tool_results": st.integers(0, 4),
    }
)


@given(messages=transcripts(), knobs=KNOBS, covered=st.none() | st.integers(0, 30))
@settings(max_examples=300, deadline=None)
def test_any_view_is_in_order_whole_and_within_its_limit(
    messages: list[Message], knobs: dict[str, Any], covered: int | None
) -> None:
    strategy = resolve(Strategy(**knobs), None, None)
    summary = None if covered is None else summary_to(min(covered, len(messages)))
    before = [replace(m) for m in messages]
    view = apply(strategy, messages, summary, COUNTER)
    assert messages == before
    seqs = [m.seq for m in view.messages]
    assert seqs == sorted(set(seqs))
    assert view.left_out == len(messages) - len(seqs)
    if strategy.mode == "none":
        assert view.messages == tuple(messages)
        return
    if strategy.max_tokens is not None:
        assert total_cost(COUNTER, view.messages) <= strategy.max_tokens
    called = {m.tool_call_id: m.seq for m in messages if m.role == "assistant" and m.tool_call_id}
    shown = set(seqs)
    for m in view.messages:
        if m.role == "tool" and m.tool_call_id in called:
            assert called[m.tool_call_id] in shown, "a result without its call"
    if seqs and seqs[0] != 1:
        assert view.messages[0].role != "tool"
    if strategy.mode == "trim":
        assert user_turns(view.messages) <= strategy.keep_turns
    if strategy.mode == "summarize" and strategy.max_tokens is None:
        hidden = {m.seq for m in messages if m.role != "tool"} - shown
        assert all(seq <= (view.summary.covers_to_seq if view.summary else 0) for seq in hidden)
    unchanged = {m.message_id: m for m in messages}
    for m in view.messages:
        if strategy.mode != "compact" and strategy.max_tokens is None:
            assert m == unchanged[m.message_id]


@given(messages=transcripts(), keep=st.integers(0, 5))
@settings(max_examples=100, deadline=None)
def test_compacting_changes_old_tool_messages_alone(messages: list[Message], keep: int) -> None:
    changed, ids = compacted(messages, keep)
    results = [m.message_id for m in messages if m.role == "tool"]
    assert list(ids) == (results[:-keep] if keep else results)
    for old, new in zip(messages, changed, strict=True):
        if old.message_id in ids:
            assert old.message_id in new.content
        else:
            assert new.content == old.content


@given(messages=transcripts(), count=st.integers(0, 10))
def test_last_turns_counts_user_messages(messages: list[Message], count: int) -> None:
    kept = last_turns(messages, count)
    assert user_turns(kept) == min(count, user_turns(messages))
    assert list(kept) == messages[len(messages) - len(kept) :]
