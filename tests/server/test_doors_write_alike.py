"""One table of writes, made at every door that has them: equal results, equal refusals, and the same record afterwards.

What is wrong with a value's form each door may say in its own way, as long as it says the same of it.
"""

import json
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from uuid import uuid4

import pytest

from memory.context.strategies import set_strategy
from memory.model import NewMessage, Owner, SessionFilter
from memory.record.recording import record
from memory.record.sessions import Target
from memory.record.user_context import upsert

pytestmark = pytest.mark.anyio

Ask = Callable[[Any], Awaitable[Any]]
Asks = Mapping[str, Ask]
GIVEN_ID = re.compile(r"\b([a-z]{3}_[0-9a-z]{19}|[0-9a-f]{64})\b")


def recording(messages: Any, session_id: str = "{talk}") -> Asks:
    return {
        "tool": lambda at: at.tool("record_messages", {"messages": messages, "session_id": session_id}),
        "rest": lambda at: at.rest("POST", f"sessions/{session_id}/messages", body={"messages": messages}),
    }


def starting(**values: Any) -> Asks:
    return {
        "tool": lambda at: at.tool("start_session", values),
        "rest": lambda at: at.rest("POST", "sessions", body=values),
    }


def archiving(session_id: str) -> Asks:
    return {
        "tool": lambda at: at.tool("archive_session", {"session_id": session_id}),
        "rest": lambda at: at.rest("PATCH", f"sessions/{session_id}", body={"archived": True}),
    }


def summarizing(session_id: str = "{talk}", **values: Any) -> Asks:
    return {
        "tool": lambda at: at.tool("summarize_session", {"session_id": session_id, **values}),
        "rest": lambda at: at.rest("POST", f"sessions/{session_id}/summary", body=values),
    }


def strategy(wanted: Any, session_id: str = "{talk}") -> Asks:
    values = {"level": "session", "session_id": session_id, "strategy": wanted}
    return {
        "tool": lambda at: at.tool("set_memory_strategy", values),
        "rest": lambda at: at.rest("PATCH", f"sessions/{session_id}/memory", body={"strategy": wanted}),
    }


def knowing(given: Any, **how: Any) -> Asks:
    return {
        "tool": lambda at: at.tool("upsert_user_context", {"values": given, **how}),
        "rest": lambda at: at.rest("PUT", "user/context", body={"values": given, **how}),
    }


SAID = {"role": "user", "content": "The boat is blue."}
CALL = {"id": "c", "type": "function", "function": {"name": "look", "arguments": '{"q": "x"}'}}
EVERYTHING = {
    **SAID, "id": "whole", "occurred_at": "1969-07-20T20:17:40+02:00", "speaker": "Neil", "tool_name": "radio",
    "tool_call_id": "r1", "tool_arguments": [1, {"a": None}], "intent": "report", "intent_confidence": 0.75,
    "entities": {"place": ["Moon"]}, "metadata": {"channel": 7, "note": None}, "status": "interrupted",
}  # fmt: skip
WRITTEN: Mapping[str, Asks] = {
    "messages": recording([SAID, {"role": "assistant", "content": "Noted", "id": "2", "speaker": "Bo"}]),
    "a message with everything": recording([EVERYTHING]),
    "words of a set in any case": recording([{**SAID, "role": "User", "status": " FINAL "}]),
    "content parts": recording(
        [{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "image", "data": "AAAA"}]}]
    ),
    "a call alone": recording([{"role": "assistant", "content": None, "tool_calls": [CALL], "refusal": None}]),
    "a tool's parts": recording(
        [{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c", "content": "5"}]}]
    ),
    "a message in JSON": recording([json.dumps(SAID)]),
    "messages in JSON, blanks around": recording(f" {json.dumps([SAID])} "),
    "one message": recording(SAID),
    "an id that is a number": recording([{**SAID, "id": 12345}]),
    "a time in seconds": recording([{**SAID, "occurred_at": 1716000000}]),
    "a time in thousandths": recording([{**SAID, "occurred_at": "1716000000123"}]),
    "a time in small letters": recording([{**SAID, "occurred_at": "2024-05-31t12:00:00z"}]),
    "a leap second": recording([{**SAID, "occurred_at": "2016-12-31T23:59:60Z"}]),
    "the end of a day": recording([{**SAID, "occurred_at": "2024-05-31T24:00:00Z"}]),
    "a zone in words": recording([{**SAID, "occurred_at": "2024-05-31 12:00:00 UTC"}]),
    "a summary in JSON, one decision": summarizing(summary=json.dumps({"text": "x", "decisions": "Go", "noise": None})),
    "a strategy in one word": strategy("TRIM"),
    "user context in JSON": knowing(json.dumps({"city": "Porto"})),
    "a message of a bare date": recording([{**SAID, "occurred_at": "2024-05-31"}]),
    "what is absent, and what is null": recording([{**SAID, "speaker": None, "metadata": None}]),
    "a status that is null": recording([{**SAID, "status": None}]),
    "a session": starting(title="Call", channel="voice", external_id="CA-1", project_id="crm", agent="desk"),
    "an archived session": archiving("{talk}"),
    "a summary in words of one's own": summarizing(summary={"text": "Ana sails.", "decisions": ["Go"], "facts": []}),
    "a summary with its sources": summarizing(
        summary={"text": "x", "commitments": [{"what": "paint", "who": "Ana", "by_when": "Friday", "message_id": "1"}]}
    ),
    "a summary that is made": summarizing(max_tokens=200),
    "a strategy": strategy({"mode": "trim", "keep_turns": 3}),
    "a knob that inherits again": strategy({"mode": "trim", "keep_turns": None}),
    "no strategy": strategy(None),
    "user context": knowing({"city": "Porto", "pets": ["cat", 1, None]}),
    "user context of a kind, for a time": knowing({"mood": "calm"}, category="state", expires_in_days=2),
    "user context with its source": knowing({"boat": "blue"}, source_message_id="1"),
    "user context that is removed": knowing({"tone": None}),
}
REPEATED: Mapping[str, Asks] = {
    "a message again": recording([{"role": "user", "content": "one", "id": "1"}]),
    "a session that is there": starting(external_id="talk"),
}
REFUSED: Mapping[str, Asks] = {
    "messages for an unknown session": recording([SAID], "ses_unknown"),
    "messages for another's session": recording([SAID], "{theirs}"),
    "an id that said something else": recording([{"role": "user", "content": "other words", "id": "1"}]),
    "an unknown session archived": archiving("ses_unknown"),
    "another's session archived": archiving("{theirs}"),
    "a summary of an unknown session": summarizing("ses_unknown", summary={"text": "x"}),
    "a summary of another's session": summarizing("{theirs}"),
    "a strategy for an unknown session": strategy({"mode": "trim"}, "ses_unknown"),
    "a strategy for another's session": strategy({"mode": "trim"}, "{theirs}"),
    "user context from an unknown message": knowing({"a": 1}, source_message_id="nope"),
}
# What is wrong with the form of a value each door says in its own way; so much is in each sentence.
IN_OWN_WORDS: Mapping[str, tuple[Asks, tuple[str, ...]]] = {
    "a message of nobody": (
        recording([{"role": "boss", "content": "x"}]),
        ("role", "user", "assistant", "system", "tool"),
    ),
    "a message without words": (recording([{"role": "user"}]), ("content",)),
    "a message of another kind": (recording([{"role": "user", "content": 7}]), ("content",)),
    "no messages": (recording([]), ("messages",)),
    "a message at no time": (recording([{**SAID, "occurred_at": "1.5.2024"}]), ("occurred_at", "iso 8601")),
    "half a character": (recording([{"role": "user", "content": "\ud800"}]), ("surrogate",)),
    "a call of no tool": (recording([{"role": "assistant", "content": None}]), ("content",)),
    "parts of no kind": (recording([{"role": "user", "content": [{"a": 1}]}]), ("content",)),
    "a number that is no time": (recording([{**SAID, "occurred_at": 2024}]), ("occurred_at", "iso 8601")),
    "a field that is none": (recording([{**SAID, "text": "y"}]), ("text",)),
    "a summary without words": (summarizing(summary={"decisions": ["x"]}), ("text",)),
    "a strategy of no mode": (strategy({"mode": "shrink"}), ("mode", "none", "trim", "summarize", "compact")),
    "a strategy too large": (strategy({"max_tokens": 1_000_001}), ("max_tokens",)),
    "nothing to know": (knowing({}), ("values",)),
    "a key without letters": (knowing({"": 1}), ("key",)),
    "a category that is none": (knowing({"a": 1}, category="mood"), ("category", "fact", "preference", "state")),
    "knowing for no time": (knowing({"a": 1}, expires_in_days=0), ("expires_in_days",)),
}


@pytest.fixture
def writer(still_memory: Any, doors_of: Callable[..., Any]) -> Callable[[], Any]:
    """Makes doors of another new user each time, all with the same short history."""

    def make() -> Any:
        owner, other = Owner("tests", f"writer-{uuid4().hex}"), Owner("tests", f"other-{uuid4().hex}")
        said = [NewMessage("user", "one", "1"), NewMessage("assistant", "I will paint it on Friday.")]
        ids = {
            name: record(
                still_memory.store, whose, said, Target(external_id="talk"), still_memory.clock
            ).session.session_id
            for name, whose in (("talk", owner), ("theirs", other))
        }
        set_strategy(still_memory.store, owner, "session", ids["talk"], {"mode": "compact", "keep_turns": 9})
        upsert(still_memory.store, owner, {"tone": "brief"}, clock=still_memory.clock)
        return doors_of(owner, ids)

    return make


@pytest.mark.parametrize("name", WRITTEN)
async def test_doors_write_the_same(writer: Callable[[], Any], agree: Any, name: str) -> None:
    said, left = await written(WRITTEN[name], writer)
    assert "refused" not in agree(said)
    assert agree(left) != kept(writer())


@pytest.mark.parametrize("name", REPEATED)
async def test_doors_do_nothing_twice(writer: Callable[[], Any], agree: Any, name: str) -> None:
    said, left = await written(REPEATED[name], writer)
    assert "refused" not in agree(said)
    assert agree(left) == kept(writer())


@pytest.mark.parametrize("name", REFUSED)
async def test_doors_refuse_to_write_alike(writer: Callable[[], Any], agree: Any, name: str) -> None:
    said, left = await written(REFUSED[name], writer)
    assert agree(said).keys() == {"refused"}
    assert agree(left) == kept(writer())


@pytest.mark.parametrize("name", IN_OWN_WORDS)
async def test_doors_refuse_in_their_own_words(writer: Callable[[], Any], agree: Any, name: str) -> None:
    asks, words = IN_OWN_WORDS[name]
    said, left = await written(asks, writer)
    for door, answer in said.items():
        assert answer.keys() == {"refused"}, f"{door} accepts it"
        missing = [word for word in words if word not in answer["refused"].lower()]
        assert not missing, f"{door} says: {answer['refused']}"
    assert agree(left) == kept(writer())


async def written(asks: Asks, writer: Callable[[], Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What each door answers to a user of its own, and what is recorded afterwards."""
    said, left = {}, {}
    for door, ask in asks.items():
        at = writer()
        said[door] = anonymous(await ask(at))
        left[door] = kept(at)
    return said, left


def kept(at: Any) -> str:
    """All that is recorded of the user."""
    with at.memory.store.read(at.owner) as records:
        found = records.sessions(SessionFilter(), 100)
        each = [
            (
                records.transcript(s.session_id),
                records.summaries(s.session_id),
                records.strategy("session", s.session_id),
            )
            for s in found
        ]
        return str(anonymous(repr((found, each, records.user_context(None), records.user_context_history(None)))))


def anonymous(value: Any) -> Any:
    """The same for every user: ids and digests that were made here are numbered in the order in which they appear."""
    if not isinstance(value, str):
        return json.loads(anonymous(json.dumps(value)))
    names: dict[str, str] = {}
    return GIVEN_ID.sub(lambda found: names.setdefault(found[0], f"id {len(names) + 1}"), value)
