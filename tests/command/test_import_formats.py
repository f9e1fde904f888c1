"""What the file formats are read as, and what is said of files that cannot be read."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from memory.model import Summary, UserContextEntry
from server.formats import locomo
from server.formats.items import BadFile, Extra, Item, Skipped, Turn
from server.formats.jsonl import reading as jsonl

LINE = {"role": "user", "content": "hello"}


def lines(path: Path, *objects: Any) -> Path:
    path.write_text("".join((o if isinstance(o, str) else json.dumps(o)) + "\n" for o in objects), encoding="utf-8")
    return path


def read_jsonl(path: Path, project_id: str | None = None) -> list[Item]:
    return list(jsonl.read(path, project_id, lambda _: None))


def turns(items: list[Item]) -> list[Turn]:
    return [item for item in items if isinstance(item, Turn)]


def test_jsonl_takes_every_field_of_a_message(tmp_path: Path) -> None:
    told = {
        "type": "message",
        "external_id": "call-7",
        "project_id": "porto",
        "title": "A call",
        "channel": "voice",
        "agent": "desk",
        "id": "m1",
        "role": "tool",
        "content": "[]",
        "occurred_at": "1969-07-20T20:17:40+02:00",
        "speaker": "Ana",
        "tool_name": "find",
        "tool_call_id": "c1",
        "tool_arguments": {"q": [1, None]},
        "intent": "search",
        "intent_confidence": 0.5,
        "entities": ["Porto"],
        "metadata": {"a": {"b": 1}},
        "status": "interrupted",
    }
    (turn,) = turns(read_jsonl(lines(tmp_path / "f.jsonl", told)))
    assert (turn.thread.external_id, turn.thread.project_id, turn.thread.title) == ("call-7", "porto", "A call")
    assert (turn.thread.channel, turn.thread.agent) == ("voice", "desk")
    message = turn.message
    assert message.occurred_at == datetime(1969, 7, 20, 18, 17, 40, tzinfo=UTC)
    for name in ("role", "content", "speaker", "tool_name", "tool_call_id", "tool_arguments", "intent"):
        assert getattr(message, name) == told[name]
    assert (message.client_id, message.intent_confidence, message.status) == ("m1", 0.5, "interrupted")
    assert (message.entities, message.metadata) == (["Porto"], {"a": {"b": 1}})


def test_messages_without_id_get_the_same_ones_at_each_import(tmp_path: Path) -> None:
    path = lines(tmp_path / "f.jsonl", LINE, LINE, {**LINE, "content": "other"}, {**LINE, "external_id": "s"})
    ids = [turn.message.client_id for turn in turns(read_jsonl(path))]
    assert len(set(ids)) == 4 and None not in ids
    longer = lines(tmp_path / "f.jsonl", {**LINE, "content": "new first"}, LINE, LINE, {**LINE, "content": "other"})
    assert [turn.message.client_id for turn in turns(read_jsonl(longer))][1:] == ids[:3]


class LaterLine(jsonl.MessageLine):
    """A message's line of a time when messages have one more field."""

    mood: str | None = None


def test_a_field_that_came_later_changes_no_derived_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = lines(tmp_path / "f.jsonl", LINE, {**LINE, "intent": "greet", "metadata": {"n": 1}})
    earlier = ["jsonl-f7c8227840f5a850d324745e", "jsonl-b7096bb85f5bf30fffb86fd3"]
    assert [turn.message.client_id for turn in turns(read_jsonl(path))] == earlier
    monkeypatch.setitem(jsonl._LINES, "message", TypeAdapter(LaterLine))
    assert [turn.message.client_id for turn in turns(read_jsonl(path))] == earlier
    in_moods = lines(tmp_path / "f.jsonl", LINE, *({**LINE, "mood": mood} for mood in ("glad", "sad")))
    assert len({turn.message.client_id for turn in turns(read_jsonl(in_moods))}) == 3


def test_lines_without_session_share_one_of_the_file_and_project(tmp_path: Path) -> None:
    path = lines(tmp_path / "notes.jsonl", LINE, {**LINE, "project_id": "p"}, LINE)
    threads = [(t.thread.external_id, t.thread.project_id, t.thread.title) for t in turns(read_jsonl(path))]
    assert threads == [("file:notes.jsonl", None, "notes"), ("file:notes.jsonl:p", "p", "notes"), threads[0]]
    assert {t.thread.project_id for t in turns(read_jsonl(path, "all"))} == {"all"}


def test_session_lines_summaries_and_user_context(tmp_path: Path) -> None:
    at = "2026-01-02T03:04:05Z"
    path = lines(
        tmp_path / "f.jsonl",
        {"type": "session", "session_id": "s1", "external_id": "e1", "title": "T", "started_at": at, "archived_at": at},
        {**LINE, "session_id": "s1", "id": "a", "seq": 1, "message_id": "a", "recorded_at": at},
        {"type": "summary", "session_id": "s1", "version": 2, "text": "S", "facts": [{"text": "f", "message_id": "a"}],
         "commitments": [{"what": "w", "by_when": "Monday"}], "covers_to_seq": 1, "producer": "p", "created_at": at},
        {"type": "user_context", "key": "k", "value": None, "updated_at": at, "category": "state", "version": 3},
    )  # fmt: skip
    turn, summary, entry = read_jsonl(path)
    assert isinstance(turn, Turn) and turn.thread.title == "T" and turn.thread.external_id == "e1"
    assert isinstance(summary, Extra) and isinstance(summary.value, Summary)
    assert summary.thread == turn.thread and summary.value.draft.facts[0].message_id == "a"
    assert summary.value.draft.commitments[0].by_when == "Monday"
    assert isinstance(entry, Extra) and isinstance(entry.value, UserContextEntry)
    assert (entry.value.key, entry.value.category, entry.value.version) == ("k", "state", 3)


@pytest.mark.parametrize(
    ("second", "told"),
    [
        ("{", "line 2: not a valid JSON object"),
        ("[1]", "line 2: must be a JSON object"),
        ({"role": "user"}, "line 2: 'content' is missing"),
        ({"role": "robot", "content": "x"}, "line 2: 'role'"),
        ({**LINE, "txt": "x"}, "line 2: unknown field 'txt'"),
        ({**LINE, "occurred_at": "soon"}, "line 2: 'occurred_at'"),
        ({**LINE, "occurred_at": 12}, "line 2: 'occurred_at'"),
        ({**LINE, "id": ""}, "line 2: 'id'"),
        ({"type": "table"}, "line 2: 'type' is 'table'"),
        ({"type": ["x"]}, "line 2: 'type'"),
        ("[" * 100_000, "line 2: not a valid JSON object"),
        ("null", "line 2: must be a JSON object"),
        ("9" * 5000, "line 2: not a valid JSON object"),
        ('{"role": "user", "content": "\\ud83d"}', "line 2: holds half of a surrogate pair"),
        (
            {
                "type": "summary",
                "session_id": "x",
                "version": 1,
                "text": "S",
                "covers_to_seq": 1,
                "producer": "p",
                "created_at": "2026-01-02",
            },
            "line 2: the summary's session 'x' has no line before it",
        ),
    ],
)
def test_bad_lines_are_named(tmp_path: Path, second: Any, told: str) -> None:
    path = lines(tmp_path / "f.jsonl", LINE, second, LINE)
    kept, skipped, after = read_jsonl(path)
    assert isinstance(kept, Turn) and isinstance(after, Turn) and isinstance(skipped, Skipped)
    sentence = f"{skipped.where}: {skipped.why}"
    assert told in sentence and "\n" not in sentence and len(sentence) < 400


def test_jsonl_survives_marks_blank_lines_and_odd_bytes(tmp_path: Path) -> None:
    path = tmp_path / "f.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(LINE).encode() + b"\r\n\n  \n" + json.dumps(LINE).encode())
    assert len(turns(read_jsonl(path))) == 2
    assert jsonl.detects(path.read_bytes())
    path.write_bytes(b'{"role": "user", "content": "\xff"}\n')
    assert read_jsonl(path) == [Skipped("line 1", "not UTF-8 text; save the file as UTF-8.")]


def test_a_line_without_end_costs_itself_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jsonl, "_LONGEST_LINE", 1000)
    monkeypatch.setattr(jsonl, "_PIECE", 64)
    path = lines(tmp_path / "f.jsonl", LINE, {**LINE, "content": "x" * 5000}, LINE, '{"role": "user", "content": "cut')
    first, long, third, cut = read_jsonl(path)
    assert isinstance(first, Turn) and isinstance(third, Turn)
    assert isinstance(long, Skipped) and (long.where, long.why[:11]) == ("line 2", "longer than")
    assert isinstance(cut, Skipped) and cut.where == "line 4"


def test_lines_come_in_every_shape_that_hosts_send(tmp_path: Path) -> None:
    call = {"id": "c", "type": "function", "function": {"name": "look", "arguments": '{"q": "x"}'}}
    path = lines(
        tmp_path / "f.jsonl",
        {"role": "User", "content": [{"type": "text", "text": "a"}], "id": 7, "occurred_at": 1716000000, "odd": None},
        {"role": "assistant", "content": None, "tool_calls": [call]},
    )
    said, called = (turn.message for turn in turns(read_jsonl(path)))
    assert (said.role, said.content, said.client_id) == ("user", "a", "7")
    assert said.occurred_at == datetime(2024, 5, 18, 2, 40, tzinfo=UTC)
    assert (called.content, called.tool_name, called.tool_arguments) == ("", "look", {"q": "x"})


def sample(**more: Any) -> dict[str, Any]:
    conversation = {
        "speaker_a": "Ana",
        "speaker_b": "Bo",
        "session_2_date_time": "12:09 am on 13 September, 2023",
        "session_2": [{"speaker": "Ana", "dia_id": "D2:1", "text": "again"}],
        "session_10_date_time": "2024-02-29T10:00:00",
        "session_10": [{"speaker": "Bo", "dia_id": "D10:1", "text": "later"}],
        "session_1_date_time": "1:56 pm on 8 May, 2023",
        "session_1": [
            {
                "speaker": "Ana",
                "dia_id": "D1:1",
                "text": "look",
                "blip_caption": "a dog",
                "img_url": ["u"],
                "query": "q",
            },
            {"speaker": "Bo", "dia_id": "D1:2", "text": ""},
        ],
        "session_3_date_time": "1:00 pm on 9 May, 2023",
    }
    return {"sample_id": "conv-1", "qa": [], "conversation": {**conversation, **more}}


def read_locomo(path: Path, data: Any, project_id: str | None = None) -> list[Turn]:
    path.write_text(json.dumps(data), encoding="utf-8")
    return turns(list(locomo.read(path, project_id, lambda _: None)))


def test_locomo_sessions_in_order_with_dates_roles_and_images(tmp_path: Path) -> None:
    first, second, third, last = read_locomo(tmp_path / "l.json", [sample()])
    assert [t.thread.external_id for t in (first, third, last)] == [f"conv-1:session_{n}" for n in (1, 2, 10)]
    assert first.thread.project_id == "conv-1"
    assert (first.message.role, first.message.speaker, first.message.client_id) == ("user", "Ana", "conv-1:D1:1")
    assert first.message.content == "look [shared an image: a dog]"
    assert first.message.metadata == {
        "sample_id": "conv-1", "dia_id": "D1:1", "image_urls": ["u"], "image_caption": "a dog", "image_query": "q",
    }  # fmt: skip
    assert first.message.occurred_at == datetime(2023, 5, 8, 13, 56, tzinfo=UTC)
    assert (second.message.role, second.message.occurred_at) == (
        "assistant",
        datetime(2023, 5, 8, 13, 56, 1, tzinfo=UTC),
    )
    assert third.message.occurred_at == datetime(2023, 9, 13, 0, 9, tzinfo=UTC)
    assert last.message.occurred_at == datetime(2024, 2, 29, 10, tzinfo=UTC)


def test_locomo_conversations_in_one_given_project_stay_apart(tmp_path: Path) -> None:
    other = {**sample(), "sample_id": "conv-2"}
    found = read_locomo(tmp_path / "l.json", [sample(), other], "mine")
    assert {t.thread.project_id for t in found} == {"mine"}
    assert len({t.thread.external_id for t in found}) == 6


@pytest.mark.parametrize(
    ("data", "told"),
    [
        ([{"sample_id": "x"}], "conversation 1: there is no 'conversation'"),
        ([{"conversation": {}}], "conversation 1: there is no 'sample_id'"),
        ([3], "conversation 1"),
        (sample(session_1_date_time="1:00 pm on 31 February, 2023"), "session_1: the date"),
        (sample(session_1=["hello"]), "session_1, turn 1: a turn must have"),
        (sample(session_1={"a": 1}), "session_1: a session must be a list"),
    ],
)
def test_bad_locomo_is_named(tmp_path: Path, data: Any, told: str) -> None:
    path = tmp_path / "l.json"
    good = {**sample(), "sample_id": "good"}
    path.write_text(json.dumps([*(data if isinstance(data, list) else [data]), good]), encoding="utf-8")
    found = list(locomo.read(path, None, lambda _: None))
    (skipped,) = (item for item in found if isinstance(item, Skipped))
    assert told in f"{skipped.where}: {skipped.why}"
    assert sum(turn.thread.project_id == "good" for turn in turns(found)) == 4


def test_broken_json_is_named_by_line(tmp_path: Path) -> None:
    path = tmp_path / "l.json"
    path.write_text('[{"sample_id": "x",\n oops}]')
    with pytest.raises(BadFile, match="line 2: not valid JSON"):
        list(locomo.read(path, None, lambda _: None))


def test_json_nested_without_end_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "l.json"
    path.write_text("[" * 100_000)
    with pytest.raises(BadFile, match="nested too deeply"):
        list(locomo.read(path, None, lambda _: None))


def test_formats_tell_each_other_apart() -> None:
    whole = json.dumps([sample()], indent=1).encode()
    assert locomo.detects(whole) and not jsonl.detects(whole)
    one_line = json.dumps([sample()]).encode()
    assert locomo.detects(one_line) and not jsonl.detects(one_line)
    assert jsonl.detects(b'\n{"content": "x", "role": "user"}\n') and not locomo.detects(b'{"role": "user"}')
    assert jsonl.detects(b'{"type": "session", "session_id": "s"}\n')
    long = b'{"role": "user", "content": "' + b"x" * 70_000
    assert jsonl.detects(long[:65536])
    assert not jsonl.detects(b"hello") and not locomo.detects(b"hello")
    assert not jsonl.detects(b"") and not locomo.detects(b"")
