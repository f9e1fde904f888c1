"""What is wrong is said in one sentence that names what would be right; nothing is half done."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from memory.errors import StorageFailed
from server.app import build_memory, build_server
from server.opening import LazyMemory
from server.protocol.server import MemoryServer
from server.settings import Settings

if TYPE_CHECKING:
    from tests.server.conftest import Connect

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("tool", "arguments", "said"),
    [
        ("search_conversation_history", {}, "query is missing"),
        ("search_conversation_history", {"query": None}, "query is null; give text"),
        ("search_conversation_history", {"query": 7}, "query is 7; give text"),
        ("search_conversation_history", {"query": "  "}, "is empty"),
        ("search_conversation_history", {"query": "x", "limit": 100_000}, "limit is 100000; at most 100"),
        ("search_conversation_history", {"query": "x", "limit": 0}, "at least 1"),
        ("search_conversation_history", {"query": "x", "limit": True}, "limit is true; give a number"),
        ("search_conversation_history", {"query": "x", "limit": 1.5}, "limit is 1.5; give a whole number"),
        ("search_conversation_history", {"query": "x", "limit": "ten"}, "limit is 'ten'; give a whole number"),
        ("search_conversation_history", {"query": "x", "limit": 10**400}, "limit"),
        ("search_conversation_history", {"query": "x", "days_back": -1}, "days_back is -1"),
        ("search_conversation_history", {"query": "x", "since": "yesterday"}, "since is no time; give ISO 8601"),
        ("search_conversation_history", {"query": "x", "since": 2024}, "since is no time"),
        ("search_conversation_history", {"query": "x", "until": "9999-12-31"}, "until"),
        ("search_conversation_history", {"query": "x", "role": "admin"}, "allowed are user, assistant, system, tool"),
        ("search_conversation_history", {"query": "x", "projectId": "p"}, "has no 'projectId'; it takes query"),
        ("search_conversation_history", {"query": "x", "queries": ["a", 1]}, "queries[1] is 1; give text"),
        ("search_conversation_history", {"query": "x", "session_id": "nope"}, "No session 'nope' was found"),
        ("get_context_around_topic", {"topic": ""}, "is empty"),
        ("get_context_around_topic", {"topic": "x", "session_id": "nope"}, "No session 'nope' was found"),
        ("record_messages", {"messages": []}, "messages is empty"),
        ("record_messages", {"messages": "hello"}, "messages is 'hello'; give a list"),
        ("record_messages", {"messages": [{"role": "user"}]}, "messages[0].content is missing"),
        ("record_messages", {"messages": [{"role": "boss", "content": "x"}]}, "messages[0].role is 'boss'"),
        ("record_messages", {"messages": [{"role": "user", "content": 1}]}, "messages[0].content is 1"),
        ("record_messages", {"messages": [{"role": "user", "content": "x", "text": "y"}]}, "messages[0] has no 'text'"),
        ("record_messages", {"messages": [{"role": "user", "content": "x", "id": "a\0"}]}, "messages[0].id"),
        ("record_messages", {"messages": [{"role": "user", "content": "x", "intent_confidence": 2}]}, "at most 1"),
        ("record_messages", {"messages": [{"role": "user", "content": "x", "occurred_at": "1.5.2024"}]}, "is no time"),
        (
            "record_messages",
            {"messages": [{"role": "user", "content": "x", "occurred_at": "0001-01-01T00:00:00+14:00"}]},
            "outside the years 1 to 9999",
        ),
        (
            "record_messages",
            {"messages": [{"role": "user", "content": "x", "metadata": [1]}]},
            "messages[0].metadata is a list; give an object",
        ),
        (
            "record_messages",
            {"messages": [{"role": "user", "content": "x"}], "session_id": "nope"},
            "No session 'nope'",
        ),
        ("record_messages", {"messages": [{"role": "user", "content": "x"}], "channel": "fax"}, "chat, voice, sms"),
        ("upsert_user_context", {"values": {}}, "values"),
        ("upsert_user_context", {"values": {"": 1}}, "key"),
        ("upsert_user_context", {"values": [1]}, "values is a list; give an object"),
        ("upsert_user_context", {"values": {"a": 1}, "category": "mood"}, "fact, preference, state"),
        ("upsert_user_context", {"values": {"a": 1}, "expires_in_days": 0}, "expires_in_days is 0"),
        ("upsert_user_context", {"values": {"a": 1}, "source_message_id": "nope"}, "No message 'nope' was found"),
        ("summarize_session", {"session_id": "nope"}, "No session 'nope' was found"),
        ("summarize_session", {"summary": {"decisions": ["x"]}}, "summary.text is missing"),
        ("summarize_session", {"summary": {"text": "x", "decisions": [3]}}, "summary.decisions[0]"),
        ("summarize_session", {"summary": {"text": "x", "facts": [{"fact": "y"}]}}, "it takes text, message_id"),
        ("get_session_context", {"session_id": "nope"}, "No session 'nope' was found"),
        ("get_session_context", {"strategy": {"mode": "shrink"}}, "allowed are none, trim, summarize, compact"),
        ("get_session_context", {"purpose": "fax"}, "allowed are chat, voice"),
        ("get_session_context", {"max_tokens": 1}, "at least 50"),
        ("set_memory_strategy", {"level": "session", "session_id": "nope", "strategy": "trim"}, "No session 'nope'"),
        ("set_memory_strategy", {"level": "agent", "strategy": "trim"}, "agent"),
        ("archive_session", {"session_id": "nope"}, "No session 'nope' was found"),
        ("list_sessions", {"cursor": "???"}, "cursor"),
        ("list_sessions", {"user": "somebody-else"}, "No user 'somebody-else' was found"),
    ],
)
async def test_the_sentence_names_the_problem_and_what_is_right(
    connect: "Connect", tool: str, arguments: dict[str, Any], said: str
) -> None:
    async with connect() as call:
        sentence = await call.refusal(tool, **arguments)
        assert said in sentence


async def test_another_users_ids_read_like_unknown_ones(
    connect: "Connect", server_of: Callable[[str], MemoryServer]
) -> None:
    theirs = server_of("somebody")
    async with connect(theirs) as other:
        done = await other(
            "record_messages", messages=[{"role": "user", "content": "private", "id": "m"}], external_id="theirs"
        )
        session_id = done["session_id"]
    async with connect() as call:
        for tool, arguments in (
            ("search_conversation_history", {"query": "private"}),
            ("get_context_around_topic", {"topic": "private"}),
            ("get_session_context", {}),
            ("summarize_session", {}),
            ("archive_session", {}),
            ("record_messages", {"messages": [{"role": "user", "content": "x"}]}),
        ):
            known = await call.refusal(tool, session_id=session_id, **arguments)
            unknown = await call.refusal(tool, session_id="ses_unknown", **arguments)
            assert known.replace(session_id, "ses_unknown") == unknown
        known = await call.refusal("upsert_user_context", values={"a": 1}, source_message_id="m")
        assert known.startswith("No message 'm' was found")
        unknown = await call.refusal("upsert_user_context", values={"a": 1}, source_message_id="unknown")
        assert known.replace("'m'", "'unknown'") == unknown
        assert (await call("search_conversation_history", query="private"))["hits"] == []
        assert (await call("list_sessions", external_id="theirs"))["sessions"] == []
        own = await call("start_session", external_id="theirs")
        assert own["session_id"] != session_id


async def test_one_bad_message_records_none_of_the_batch(connect: "Connect") -> None:
    async with connect() as call:
        good = {"role": "user", "content": "good", "id": "g"}
        await call.refusal("record_messages", messages=[good, {"role": "user", "content": "x" * 10_485_761}])
        assert (await call("list_sessions"))["sessions"] == []


async def test_ten_megabytes_are_recorded_and_found(connect: "Connect") -> None:
    text = ("a needle in ten megabytes. " + "hay " * 3_000_000)[: 10 * 1024 * 1024]
    async with connect() as call:
        done = await call("record_messages", messages=[{"role": "user", "content": text, "id": "big"}])
        found = await call("search_conversation_history", query="needle")
        assert found["hits"][0]["message_id"] == "big"
        assert len(found["hits"][0]["content"]) < 200_000
        assert len(await call.text("search_conversation_history", query="needle")) < 20_000
        address, whole = f"memory://sessions/{done['session_id']}/messages", ""
        while address:
            part = json.loads((await call.read(address))[0])
            whole += part["messages"][0]["content"]
            address = part.get("next", "")
        assert whole == text


async def test_an_unforeseen_failure_shows_nothing_of_itself(
    connect: "Connect", memory: LazyMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("secret detail")

    async with connect() as call:
        monkeypatch.setattr(memory.wait().recall, "search", fail, raising=True)
        sentence = await call.refusal("search_conversation_history", query="x")
        assert "secret" not in sentence


async def test_a_full_disk_is_one_sentence(
    connect: "Connect", memory: LazyMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise StorageFailed("The database is full; nothing was recorded.")

    async with connect() as call:
        monkeypatch.setattr(memory.wait().store, "write", fail, raising=True)
        sentence = await call.refusal("record_messages", messages=[{"role": "user", "content": "x"}])
        assert sentence == "The database is full; nothing was recorded."


async def test_the_size_of_a_message_is_limited_without_http_too(connect: "Connect", tmp_path: Path) -> None:
    with build_memory(Settings(data_dir=tmp_path, embedder="none", max_message=10)) as memory:
        async with connect(build_server(memory)) as call:
            sentence = await call.refusal("record_messages", messages=[{"role": "user", "content": "é" * 6}])
            assert sentence == "messages[0].content takes 12 bytes; at most 10 are accepted."
            await call("record_messages", messages=[{"role": "user", "content": "é" * 5}])
