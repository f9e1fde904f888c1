"""No result is above 25,000 tokens, or what was asked for, in either form, whatever is stored."""

import json
from typing import TYPE_CHECKING, Any

import pytest

from memory.text.forms import RESULT_TOKENS
from memory.text.tokens import EstimatedTokens, json_text

if TYPE_CHECKING:
    from tests.server.conftest import Connect

pytestmark = pytest.mark.anyio
COUNTER = EstimatedTokens()
HOSTILE = {
    "words": "The quarterly report says revenue rose in the north. " * 2_000,
    "characters": "報告書の収益は北で上がった。" * 4_000,
    "emoji": "👩‍👩‍👧‍👦🚀report " * 4_000,
    "base64": "QmFzZTY0WnhRcTk" * 6_000 + " report",
    "lines": 'report: "\\\n' * 9_000,
    "one word": "x" * 90_000 + " report",
}


def tokens(answer: Any) -> int:
    text = "\n".join(part.text for part in answer.content)
    return max(COUNTER.count(text), COUNTER.count(json_text(answer.structured_content)))


async def fill(call: Any) -> None:
    for kind, text in HOSTILE.items():
        said = {"role": "user", "content": f"Read the report of {kind}.", "speaker": "北" * 90}
        result = {"role": "tool", "content": text, "tool_name": "read", "tool_call_id": kind}
        await call("record_messages", messages=[said, result], external_id=kind * 40)
        await call("start_session", title="題" * 150, project_id="京" * 150, external_id=kind * 50)
    for value in ("値" * 2_500, "👩‍👩‍👧‍👦" * 250):
        await call("upsert_user_context", values={f"key.{n}": value for n in range(50)})


CALLS: list[tuple[str, dict[str, Any]]] = [
    ("search_conversation_history", {"query": "report revenue 収益"}),
    ("search_conversation_history", {"query": "report", "limit": 100}),
    ("get_user_context", {}),
    ("get_user_context", {"include_history": True}),
    ("list_sessions", {"limit": 100}),
    *[("get_context_around_topic", {"topic": "report", "max_tokens": size}) for size in (300, 1500, 200_000)],
    *[("get_session_context", {"query": "report", "max_tokens": size}) for size in (400, 1500, 200_000)],
    *[("get_session_context", {"purpose": "voice", "max_tokens": size}) for size in (300, 400)],
]
ADDRESSES = ["sessions", "user/context", "user/profile", "user/preamble", "archive/latest"]


async def test_no_answer_is_too_large_in_either_form(connect: "Connect") -> None:
    async with connect() as call:
        await fill(call)
        for tool, arguments in CALLS:
            answer = await call.client.call_tool(tool, arguments)
            assert not answer.is_error
            assert tokens(answer) <= min(RESULT_TOKENS, arguments.get("max_tokens", RESULT_TOKENS)), (tool, arguments)
            told = answer.structured_content.get("tokens")
            assert told is None or told == pytest.approx(tokens(answer), abs=5), "it tells the truth"
            assert len(answer.content[0].model_dump()["text"]) > 100
        latest = (await call("list_sessions", limit=100))["sessions"]
        await call("archive_session", session_id=latest[-1]["session_id"])
        of_session = [f"sessions/{s['session_id']}/{end}" for s in latest[:12] for end in ("messages", "context")]
        for address in ADDRESSES + of_session:
            for part in await call.read(f"memory://{address}"):
                assert COUNTER.count(part) <= RESULT_TOKENS, address


async def test_a_cut_hit_shows_the_words_asked_for_and_says_where_the_rest_is(connect: "Connect") -> None:
    async with connect() as call:
        text = "a lot of words " * 3_000 + "the zebra crossed the bridge " + "and many more " * 3_000
        done = await call("record_messages", messages=[{"role": "user", "content": text}])
        hit = (await call("search_conversation_history", query="zebra bridge"))["hits"][0]
        assert "the zebra crossed the bridge" in hit["content"]
        address = hit["content"].rpartition(": ")[2].rstrip("]")
        assert address == f"memory://sessions/{done['session_id']}/messages?from=1&to=1"
        whole = json.loads((await call.read(address))[0])
        assert whole["messages"][0]["content"].startswith("a lot of words")


async def test_what_is_left_of_a_list_is_named_or_has_a_cursor(connect: "Connect") -> None:
    async with connect() as call:
        await fill(call)
        found = await call("get_user_context")
        shown = {entry["key"] for entry in found["entries"]}
        assert 0 < len(shown) < 50
        for key in {f"key.{n}" for n in range(50)} - shown:
            assert key in found["note"]
        seen, cursor = 0, None
        while True:
            page = await call("list_sessions", limit=100, cursor=cursor)
            seen, cursor = seen + len(page["sessions"]), page["next_cursor"]
            if cursor is None:
                break
        assert seen == 2 * len(HOSTILE)


async def test_recording_very_many_at_once_answers_briefly(connect: "Connect") -> None:
    async with connect() as call:
        lines = [{"role": "user", "content": f"line {n}", "id": f"{n}-" + "i" * 100} for n in range(3_000)]
        for _ in range(2):
            answer = await call.client.call_tool("record_messages", {"messages": lines})
            assert tokens(answer) <= RESULT_TOKENS
            assert "left out" in answer.structured_content["note"]
