"""What a model is shown is pinned: a change is deliberate. Run as a script, this file writes it anew."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import anyio
import pytest
from mcp import Client

from memory.errors import Unavailable
from server.app import build_server
from server.opening import LazyMemory
from server.protocol.json_schema import input_schema
from server.settings import Settings, ToolSet
from server.tools import AGENT, FULL, RECALL
from server.wire.schemas import CommitmentIn, MessageIn, StrategyIn, SummaryIn

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


@pytest.mark.parametrize(("tool_set", "characters"), [("agent", 14_000), ("full", 18_000)])
async def test_the_list_is_short(tool_set: ToolSet, characters: int) -> None:
    assert len(json.dumps({"tools": await listed(tool_set)})) < characters


async def test_every_tool_says_what_it_is_for_and_what_it_does() -> None:
    for name, tool in (await surface()).items():
        assert tool["title"], name
        assert len(tool["description"]) > 60, name
        assert "\n" not in tool["description"], name
        schema = tool["inputSchema"]
        assert "user" in schema["properties"], name
        hints = tool["annotations"]
        assert hints["openWorldHint"] is False, name
        assert hints["readOnlyHint"] is (name in READING or name == "list_sessions"), name
        assert hints["readOnlyHint"] or "destructiveHint" in hints, name


def schemas_in(node: dict[str, Any], place: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every schema within a schema, itself included, by its place."""
    yield place, node
    for name, item in node.get("properties", {}).items():
        yield from schemas_in(item, f"{place}.{name}")
    if "items" in node:
        yield from schemas_in(node["items"], f"{place}[]")


# What every client that was tried can read; many refuse `anyOf`, lists of types, open bounds, patterns and formats.
KINDS = {"string", "integer", "number", "boolean", "object", "array"}
WORDS = {"type", "description", "properties", "required", "items", "enum", "default", "minimum", "maximum"}
WORDS |= {"minItems", "maxItems"}


async def test_every_value_has_one_type_that_every_client_knows() -> None:
    for name, tool in (await surface()).items():
        for side in ("inputSchema", "outputSchema"):
            assert tool[side]["type"] == "object", name
            for place, schema in schemas_in(tool[side], f"{name}.{side}"):
                assert schema.keys() <= WORDS, place
                assert schema["type"] in KINDS, place
                assert all(isinstance(word, str) for word in schema.get("enum", [])), place
                assert ("items" in schema) is (schema["type"] == "array"), place
                assert set(schema.get("required", [])) <= schema.get("properties", {}).keys(), place


def optional_in(schema: dict[str, Any]) -> dict[str, None]:
    return dict.fromkeys(schema["properties"].keys() - set(schema.get("required", [])))


async def test_what_is_optional_may_be_null() -> None:
    least = {
        "query": "x",
        "topic": "x",
        "messages": [{"role": "user", "content": "x"}],
        "values": {"a": 1},
        "level": "session",
    }
    for spec in FULL:
        schema = input_schema(spec.arguments)
        given = {name: least[name] for name in schema.get("required", [])}
        assert spec.checked({**given, **optional_in(schema)}) == spec.checked(given), spec.name


async def test_within_objects_as_well() -> None:
    of = {spec.name: input_schema(spec.arguments)["properties"] for spec in FULL}
    message = {"role": "user", "content": "x"}
    nulls = optional_in(of["record_messages"]["messages"]["items"])
    assert MessageIn.model_validate({**message, **nulls}) == MessageIn.model_validate(message)
    nulls = optional_in(of["summarize_session"]["summary"])
    assert SummaryIn.model_validate({"text": "x", **nulls}) == SummaryIn.model_validate({"text": "x"})
    nulls = optional_in(of["summarize_session"]["summary"]["properties"]["commitments"]["items"])
    assert CommitmentIn.model_validate({"what": "x", **nulls}) == CommitmentIn.model_validate({"what": "x"})
    StrategyIn.model_validate(optional_in(of["set_memory_strategy"]["strategy"]))


if __name__ == "__main__":
    PINNED.write_text(json.dumps(anyio.run(surface), indent=1, ensure_ascii=False) + "\n")
    print(f"{PINNED} written", file=sys.stderr)
