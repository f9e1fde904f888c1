"""What a model is shown is pinned: a change is deliberate. Run as a script, this file writes it anew."""

import json
import sys
from pathlib import Path
from typing import Any, NoReturn

import anyio
import pytest
from mcp import Client

from memory.errors import Unavailable
from server.app import build_server
from server.opening import LazyMemory
from server.settings import Settings, ToolSet
from server.tools import AGENT, FULL, RECALL

pytestmark = pytest.mark.anyio

PINNED = Path(__file__).with_name("tool_surface.json")
READING = {
    "search_conversation_history",
    "get_context_around_topic",
    "get_user_context",
    "get_session_context",
}
AGENTS = READING | {
    "record_messages",
    "upsert_user_context",
    "summarize_session",
    "list_sessions",
    "start_session",
    "archive_session",
}


def not_opened(*_: object) -> NoReturn:
    raise Unavailable("Listing tools opens nothing.")


async def listed(tool_set: ToolSet) -> list[dict[str, Any]]:
    """The tool list as it goes over the wire. Nothing is opened for it."""
    memory = LazyMemory(Settings(data_dir=Path("/nowhere")), opener=not_opened)
    with memory:
        async with Client(build_server(memory, tools=tool_set)) as client:
            tools = (await client.list_tools()).tools
    return [tool.model_dump(by_alias=True, exclude_none=True, mode="json") for tool in tools]


async def surface() -> dict[str, Any]:
    return {tool["name"]: tool for tool in await listed("full")}


async def test_the_surface_is_the_pinned_one() -> None:
    assert await surface() == json.loads(PINNED.read_text()), "if this is meant, write it anew (see above)"


async def test_the_sets_are_those_of_the_contract() -> None:
    assert {tool["name"] for tool in await listed("recall")} == READING == {spec.name for spec in RECALL}
    assert {tool["name"] for tool in await listed("agent")} == AGENTS == {spec.name for spec in AGENT}
    assert {tool["name"] for tool in await listed("full")} >= AGENTS | {"set_memory_strategy"}
    assert len(FULL) == len(await listed("full"))


async def test_the_default_list_is_short() -> None:
    tools = await listed("agent")
    assert len(json.dumps(tools)) < 16_000
    assert len(json.dumps({"tools": tools}, ensure_ascii=True)) < 16_000


async def test_every_tool_says_what_it_is_for_and_what_it_does() -> None:
    for name, tool in (await surface()).items():
        assert tool["title"], name
        assert len(tool["description"]) > 60, name
        assert "\n" not in tool["description"], name
        schema = tool["inputSchema"]
        assert schema["additionalProperties"] is False, name
        assert "user" in schema["properties"], name
        assert "$ref" not in json.dumps(tool), name
        hints = tool["annotations"]
        assert hints["openWorldHint"] is False, name
        assert hints["readOnlyHint"] is (name in READING or name == "list_sessions"), name
        assert hints["readOnlyHint"] or "destructiveHint" in hints, name


async def test_optional_parameters_may_be_null() -> None:
    for name, tool in (await surface()).items():
        schema = tool["inputSchema"]
        for parameter, described in schema["properties"].items():
            if parameter in schema.get("required", []) or not described.keys() & {"type", "anyOf", "enum"}:
                continue
            assert "null" in described.get("type", []) or {"type": "null"} in described.get("anyOf", []), (
                name,
                parameter,
            )
            assert None in described.get("enum", [None]), (name, parameter)


if __name__ == "__main__":
    PINNED.write_text(json.dumps(anyio.run(surface), indent=1, ensure_ascii=False) + "\n")
    print(f"{PINNED} written", file=sys.stderr)
