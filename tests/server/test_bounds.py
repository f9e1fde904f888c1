"""What is accepted is the same at every door: the schemas say what the record keeps."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest

from memory.context.strategies import read_strategy
from memory.errors import Invalid
from memory.model import KNOBS, NAME_BYTES, Channel, Role

SURFACE = json.loads(Path(__file__).with_name("tool_surface.json").read_text())
TEXT = "Tea without sugar, as always."


def schema_of(tool: str, parameter: str) -> Any:
    return SURFACE[tool]["inputSchema"]["properties"][parameter]


@pytest.mark.parametrize("knob", KNOBS)
def test_a_strategy_promises_what_it_keeps(knob: str) -> None:
    told = schema_of("set_memory_strategy", "strategy")["properties"][knob]
    least, most = KNOBS[knob]
    assert (told["minimum"], told["maximum"]) == (least, most)
    for kept in (least, most):
        assert getattr(read_strategy({knob: kept}), knob) == kept
    for refused in (least - 1, most + 1):
        with pytest.raises(Invalid, match=f"from {least} to {most}"):
            read_strategy({knob: refused})


def test_choices_are_those_of_the_values() -> None:
    assert set(schema_of("record_messages", "channel")["enum"]) - {None} == set(get_args(Channel))
    assert set(schema_of("search_conversation_history", "role")["enum"]) - {None} == set(get_args(Role))


@pytest.mark.anyio
@pytest.mark.parametrize("name", ["n" * NAME_BYTES, "é" * (NAME_BYTES // 2)], ids=["ascii", "accents"])
async def test_an_id_that_is_recorded_can_be_asked_for(connect: Callable[..., Any], name: str) -> None:
    async with connect() as call:
        said = {"role": "user", "content": TEXT, "id": name, "speaker": name}
        recorded = await call("record_messages", messages=[said], external_id=name, project_id=name, agent=name)
        assert recorded["recorded"][0]["message_id"] == name
        kept = await call("upsert_user_context", values={"tea": "plain"}, source_message_id=name, project_id=name)
        assert kept["entries"][0]["key"] == "tea"
        found = await call("search_conversation_history", query="tea sugar", project_id=name)
        assert [hit["speaker"] for hit in found["hits"]] == [name]
        chosen = {"mode": "trim", "keep_turns": 1}
        assert (await call("set_memory_strategy", level="agent", agent=name, strategy=chosen))["mode"] == "trim"


@pytest.mark.anyio
async def test_a_longer_one_is_refused_wherever_it_stands(connect: Callable[..., Any]) -> None:
    name = "é" * (NAME_BYTES // 2) + "!"
    async with connect() as call:
        for field in ("id", "speaker"):
            said = {"role": "user", "content": TEXT, field: name}
            assert "takes 513 bytes" in await call.refusal("record_messages", messages=[said])
        assert "takes 513 bytes" in await call.refusal("search_conversation_history", query="tea", project_id=name)
        assert "takes 513 bytes" in await call.refusal(
            "set_memory_strategy", level="agent", agent=name, strategy={"mode": "trim"}
        )
