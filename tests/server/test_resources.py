"""Every address of the contract: JSON, text where a model reads it, and nothing of another user."""

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from mcp.shared.exceptions import MCPError
from mcp.types import GetPromptResult, PromptReference, ResourceTemplateReference, TextContent, TextResourceContents

from server.protocol.server import MemoryServer

if TYPE_CHECKING:
    from tests.server.conftest import Calls, Connect

pytestmark = pytest.mark.anyio

STATIC = {
    "memory://sessions",
    "memory://archive/latest",
    "memory://user/context",
    "memory://user/preamble",
    "memory://user/profile",
}
TEMPLATES = {
    "memory://sessions/{session_id}",
    "memory://sessions/{session_id}/messages",
    "memory://sessions/{session_id}/messages{?from,to,offset}",
    "memory://sessions/{session_id}/summary",
    "memory://sessions/{session_id}/context",
}
INVALID_PARAMS = -32602


async def read(call: "Calls", uri: str) -> tuple[Any, str]:
    """(data, text or nothing) of a resource."""
    contents = (await call.client.read_resource(uri)).contents
    assert all(part.uri == uri for part in contents)
    assert contents[0].mime_type == "application/json"
    assert [part.mime_type for part in contents[1:]] in ([], ["text/plain"])
    data, *text = await call.read(uri)
    return json.loads(data), "".join(text)


async def missing(call: "Calls", uri: str) -> str:
    """The sentence with which reading fails."""
    with pytest.raises(MCPError) as refused:
        await call.client.read_resource(uri)
    assert refused.value.error.code == INVALID_PARAMS
    return str(refused.value)


async def test_all_addresses_are_listed(connect: "Connect") -> None:
    async with connect() as call:
        listed = (await call.client.list_resources()).resources
        assert {r.uri for r in listed} == STATIC
        assert all(r.title and r.description and r.mime_type == "application/json" for r in listed)
        templates = (await call.client.list_resource_templates()).resource_templates
        assert {t.uri_template for t in templates} == TEMPLATES


async def test_a_session_its_messages_summary_and_context(connect: "Connect") -> None:
    async with connect() as call:
        done = await call("record_messages", messages=[{"role": "user", "content": "Hello </b> there", "id": "1"}])
        base = f"memory://sessions/{done['session_id']}"
        listed, text = await read(call, "memory://sessions")
        assert text == ""
        assert [s["session_id"] for s in listed["sessions"]] == [done["session_id"]]
        assert (await read(call, base))[0] == listed["sessions"][0]
        messages, _ = await read(call, f"{base}/messages")
        assert [(m["message_id"], m["content"], m["seq"]) for m in messages["messages"]] == [
            ("1", "Hello </b> there", 1)
        ]
        assert (await read(call, f"{base}/summary"))[0]["version"] == 0
        await call("summarize_session", summary={"text": "They greeted."})
        assert (await read(call, f"{base}/summary"))[0]["text"] == "They greeted."
        context, text = await read(call, f"{base}/context")
        assert [m["content"] for m in context["messages"]] == ["Hello </b> there"]
        assert "Hello" in text


async def walked(call: "Calls", uri: str | None) -> list[dict[str, Any]]:
    """Every answer from `uri` on, as `next` leads."""
    answers: list[dict[str, Any]] = []
    while uri is not None:
        (content,) = (await call.client.read_resource(uri)).contents
        assert isinstance(content, TextResourceContents)
        assert len(json.dumps(content.text, ensure_ascii=False).encode()) <= 256 * 1024
        answers.append(json.loads(content.text))
        uri = answers[-1].get("next")
    return answers


async def test_a_long_session_is_read_in_parts_and_whole(connect: "Connect") -> None:
    async with connect() as call:
        words = [f"{n} " + "word " * 400 for n in range(600)]
        for start in (0, 300):
            messages = [{"role": "user", "content": text} for text in words[start : start + 300]]
            session_id = (await call("record_messages", messages=messages, external_id="long"))["session_id"]
        base = f"memory://sessions/{session_id}/messages"
        answers = await walked(call, base)
        assert len(answers) > 4
        assert [m["content"] for answer in answers for m in answer["messages"]] == words
        assert "`next`" in answers[0]["note"]
        assert "next" not in answers[-1]
        some = await walked(call, f"{base}?from=10&to=400")
        assert [m["seq"] for answer in some for m in answer["messages"]] == list(range(10, 401))
        assert (await read(call, f"{base}?from=601"))[0]["messages"] == []
        with pytest.raises(MCPError, match="from is 'x'; give a whole number"):
            await call.client.read_resource(f"{base}?from=x")


async def test_a_message_longer_than_an_answer_is_read_to_its_last_character(connect: "Connect") -> None:
    async with connect() as call:
        long = "".join(f'{n} é\t"\x01 ' for n in range(60_000))
        said = ["before", long, "after"]
        done = await call("record_messages", messages=[{"role": "user", "content": text} for text in said])
        answers = await walked(call, f"memory://sessions/{done['session_id']}/messages")
        assert answers[0]["messages"][0]["content"] == "before"
        parts = [answer for answer in answers if "part" in answer]
        assert len(parts) > 3
        assert "".join(answer["messages"][0]["content"] for answer in parts) == long
        assert parts[-1]["part"]["to_character"] == parts[0]["part"]["of"] == len(long)
        assert answers[-1]["messages"][0]["content"] == "after"


async def test_the_last_archived_conversation(connect: "Connect") -> None:
    async with connect() as call:
        data, text = await read(call, "memory://archive/latest")
        assert data == {"session": None, "summary": None, "messages": []}
        assert text == "No conversation has been archived yet."
        done = await call("record_messages", messages=[{"role": "user", "content": "About the garden"}])
        await call("archive_session")
        data, text = await read(call, "memory://archive/latest")
        assert data["session"]["session_id"] == done["session_id"]
        assert [m["content"] for m in data["messages"]] == ["About the garden"]
        assert "About the garden" in text


async def test_user_context_and_preamble(connect: "Connect") -> None:
    async with connect() as call:
        assert (await read(call, "memory://user/context"))[0] == {"entries": []}
        assert (await read(call, "memory://user/preamble"))[0]["text"] == ""
        await call("upsert_user_context", values={"name": "Ana", "diet": "vegan"}, category="preference")
        data, text = await read(call, "memory://user/context")
        assert {e["key"]: e["value"] for e in data["entries"]} == {"name": "Ana", "diet": "vegan"}
        assert "diet: vegan" in text
        preamble, text = await read(call, "memory://user/preamble")
        assert preamble["text"] == text
        profile = (await read(call, "memory://user/profile"))[0]
        assert set(profile) == {"summaries", "preferences", "metadata", "last_updated", "expires_at"}
        assert {**profile["preferences"], **profile["metadata"]}.keys() > {"message_count"}
        assert "Ana" in text
        assert "vegan" in text


async def test_an_unknown_address_is_not_found(connect: "Connect") -> None:
    async with connect() as call:
        for end in ("", "/messages", "/summary", "/context"):
            assert "No session 'nope' was found" in await missing(call, f"memory://sessions/nope{end}")
        for uri in ("memory://nothing", "memory://sessions/a/b", "memory://sessions/", "memory://user/context/x"):
            await missing(call, uri)
        assert "'a\\x00b'" in await missing(call, "memory://sessions/a%00b")
        await missing(call, "other://thing")


async def test_another_users_resources_are_not_found(
    connect: "Connect", server_of: Callable[[str], MemoryServer]
) -> None:
    async with connect(server_of("resource-owner")) as other:
        done = await other("record_messages", messages=[{"role": "user", "content": "private"}])
        await other("upsert_user_context", values={"secret": "yes"})
        await other("archive_session")
    async with connect() as call:
        for end in ("", "/messages", "/summary", "/context"):
            theirs = await missing(call, f"memory://sessions/{done['session_id']}{end}")
            unknown = await missing(call, f"memory://sessions/ses_unknown{end}")
            assert theirs.replace(done["session_id"], "ses_unknown") == unknown
        for uri in STATIC:
            texts = await call.read(uri)
            assert texts
            assert not any(word in text for text in texts for word in ("private", "secret", done["session_id"]))


async def test_session_ids_complete_by_id_and_by_title(
    connect: "Connect", server_of: Callable[[str], MemoryServer]
) -> None:
    async with connect(server_of("completing")) as other:
        await other("start_session", title="Garden plans")
    async with connect() as call:
        garden = await call("start_session", title="Garden plans")
        tax = await call("start_session", title="The tax return", project_id="office")

        async def completed(ref: PromptReference | ResourceTemplateReference, name: str, value: str) -> list[str]:
            return (await call.client.complete(ref, {"name": name, "value": value})).completion.values

        for template in TEMPLATES:
            by = ResourceTemplateReference(uri=template)
            assert await completed(by, "session_id", "gard") == [garden["session_id"]]
            assert await completed(by, "session_id", "RETURN") == [tax["session_id"]]
            assert await completed(by, "session_id", garden["session_id"][:-3]) == [garden["session_id"]]
            assert await completed(by, "session_id", "") == [tax["session_id"], garden["session_id"]]
            assert await completed(by, "other", "") == []
        recall = PromptReference(name="recall_topic")
        assert await completed(recall, "topic", "gar") == ["Garden plans"]
        assert await completed(recall, "project_id", "") == ["office"]


def words_of(prompt: GetPromptResult) -> str:
    (message,) = prompt.messages
    assert isinstance(message.content, TextContent)
    return message.content.text


async def test_the_prompts_put_memory_before_the_model(connect: "Connect") -> None:
    async with connect() as call:
        prompts = {p.name: p for p in (await call.client.list_prompts()).prompts}
        assert set(prompts) == {"recall_topic", "start_with_memory"}
        assert [a.name for a in prompts["recall_topic"].arguments or [] if a.required] == ["topic"]
        await call("record_messages", messages=[{"role": "user", "content": "The roof leaks above the piano."}])
        await call("upsert_user_context", values={"name": "Ana"})
        recalled = await call.client.get_prompt("recall_topic", {"topic": "roof"})
        assert "The roof leaks above the piano." in words_of(recalled)
        begun = await call.client.get_prompt("start_with_memory", {})
        assert "Ana" in words_of(begun)
        wrong: list[tuple[str, dict[str, str], str]] = [
            ("recall_topic", {}, "topic is missing"),
            ("recall_topic", {"topic": " "}, "topic is missing"),
            ("recall_topic", {"topic": "x", "colour": "red"}, "has no 'colour'"),
            ("no_such", {}, "No prompt 'no_such' was found"),
        ]
        for name, arguments, said in wrong:
            with pytest.raises(MCPError, match=said) as refused:
                await call.client.get_prompt(name, arguments)
            assert refused.value.error.code == INVALID_PARAMS
