"""What hosts really send, in the shape that is recorded: content parts, calls, times."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.wire.normalising import normalised
from server.wire.schemas import MessageIn, SummaryIn
from server.wire.times import moment

BYTES = "iVBORw0KGgo=" * 2048
CALL = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"q": "x"}'}}


def message(**given: Any) -> MessageIn:
    return MessageIn.model_validate(normalised(MessageIn, {"role": "user", **given}))


@pytest.mark.parametrize(
    ("parts", "text"),
    [
        (["one", {"type": "text", "text": "two"}], "one\ntwo"),
        ({"type": "input_text", "text": "alone"}, "alone"),
        ([{"type": "text", "text": {"value": "in an object", "annotations": []}}], "in an object"),
        ([{"type": "output_text", "text": "said"}, {"type": "refusal", "refusal": "no"}], "said\nno"),
        ([{"type": "input_image", "image_url": f"data:image/png;base64,{BYTES}"}], "[image: image/png, 18 KB]"),
        ([{"type": "image_url", "image_url": {"url": "https://x.org/a/cat.png?sig=1"}}], "[image: cat.png]"),
        (
            [{"type": "image", "source": {"type": "base64", "media_type": "image/jpeg", "data": BYTES}}],
            "[image: image/jpeg, 18 KB]",
        ),
        ([{"type": "audio", "data": BYTES, "mimeType": "audio/wav"}], "[audio: audio/wav, 18 KB]"),
        ([{"type": "input_audio", "transcript": "hello", "audio": BYTES}], "hello"),
        ([{"type": "input_file", "filename": "a [1].pdf", "file_data": BYTES}], "[file: a 1 .pdf, 18 KB]"),
        ([{"type": "resource", "resource": {"uri": "file:///a/b.txt", "text": "words"}}], "[file: b.txt]\nwords"),
        ([{"type": "resource_link", "uri": "file:///c.pdf", "name": "c.pdf", "size": 2048}], "[file: c.pdf, 2 KB]"),
        ([{"text": "hi"}, {"inlineData": {"mimeType": "image/png", "data": BYTES}}], "hi\n[image: image/png, 18 KB]"),
        ([{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "answer"}], "answer"),
        ([{"type": "new", "data": BYTES}, {"type": "text", "text": "answer"}], "[new: 18 KB]\nanswer"),
    ],
)  # fmt: skip
def test_parts_are_text_and_marks(parts: Any, text: str) -> None:
    assert message(content=parts).content == text


@pytest.mark.parametrize(
    "given",
    [
        {"content": None, "tool_calls": [CALL], "refusal": None, "annotations": []},
        {"tool_calls": json.dumps([CALL])},
        {"content": None, "function_call": CALL["function"]},
        {"content": [{"type": "tool_use", "id": "c1", "name": "look", "input": {"q": "x"}}]},
        {"role": "model", "parts": [{"functionCall": {"name": "look", "args": {"q": "x"}}}]},
        {"content": [{"toolUse": {"toolUseId": "c1", "name": "look", "input": {"q": "x"}}}]},
        {"content": None, "metadata": {"tool_calls": [CALL]}},
        {"content": None, "tool_name": "look", "tool_call_id": "c1", "tool_arguments": {"q": "x"}},
    ],
)
def test_a_call_without_words_is_a_message(given: dict[str, Any]) -> None:
    told = message(**{"role": "assistant", **given})
    assert (told.role, told.content, told.tool_name, told.tool_arguments) == ("assistant", "", "look", {"q": "x"})
    assert told.tool_call_id in ("c1", None)


def test_of_several_calls_none_is_lost() -> None:
    told = message(role="assistant", content="Both.", tool_calls=[CALL, {"id": "c2", "name": "go", "args": {"n": 1}}])
    assert (told.tool_name, told.content) == ("look", 'Both.\n[tool call: go {"n": 1}]')
    assert [call["id"] for call in (told.metadata or {})["tool_calls"]] == ["c1", "c2"]


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"content": [{"type": "tool_result", "tool_use_id": "c1", "content": [{"type": "text", "text": "5"}]}]}, "5"),
        ({"content": [{"toolResult": {"toolUseId": "c1", "content": [{"json": {"a": 1}}]}}]}, '{"a": 1}'),
        ({"role": "tool", "tool_call_id": "c1", "content": {"type": "Point", "x": 1}}, '{"type": "Point", "x": 1}'),
        ({"role": "tool", "tool_call_id": "c1", "content": None}, ""),
    ],
)  # fmt: skip
def test_results_are_the_tools(given: dict[str, Any], text: str) -> None:
    told = message(**given)
    assert (told.role, told.tool_call_id, told.content) == ("tool", "c1", text)


NOON = datetime(2024, 5, 31, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (1717156800, NOON),
        ("1717156800.5", NOON + timedelta(seconds=0.5)),
        (1717156800123, NOON + timedelta(milliseconds=123)),
        ("1717156800123", NOON + timedelta(milliseconds=123)),
        ("2024-05-31t12:00:00z", NOON),
        ("2024-05-31 12:00:00 UTC", NOON),
        ("2024-05-31 12:00:00gmt", NOON),
        ("2024-05-31 14:00:00 +0200", NOON),
        ("2024-05-31T14:00:00 02:00", NOON),
        ("2024-05-31 12:00:00 +0000 UTC", NOON),
        ("2024-05-31T14:00+02:00[Europe/Berlin]", NOON),
        ("Fri, 31 May 2024 12:00:00 GMT", NOON),
        ("2024-05-31T11:59:60Z", NOON),
        ("2024-05-30T24:00:00Z", NOON - timedelta(hours=12)),
        ("2024-05-31T12:00:00.1234", NOON + timedelta(microseconds=123400)),
        *((wrong, None) for wrong in (True, 0, 2024, 20240531, "2024", "1.5.2024", "yesterday", float("inf"), 10**400)),
        *((f"2024-05-31T{wrong}Z", None) for wrong in ("24:00:01", "24:30", "12:00:61", "12:60:00")),
    ],
)
def test_times_as_they_are_written(written: Any, meant: datetime | None) -> None:
    assert moment(written) == meant


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["type", "text", "role", "content", "parts", "tool_calls", "id", "name"]), inner
        )
    ),
    max_leaves=8,
)


@given(value=JSON)
def test_whatever_comes_has_a_shape_that_stays(value: Any) -> None:
    for model in (MessageIn, SummaryIn):
        once = normalised(model, value)
        assert normalised(model, once) == once
