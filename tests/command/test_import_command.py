"""`backstory import` and `backstory export`: nothing twice, nothing lost, resumed after kill -9."""

import json
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from server.demo.process import served

HELLO = {"external_id": "s", "role": "user", "content": "hello"}


@pytest.fixture(autouse=True)
def without_embedder(backstory: Any) -> None:
    backstory.environment["BACKSTORY_EMBEDDER"] = "none"


def stored_messages(backstory: Any) -> int:
    """How many there are, looking at the file alone."""
    try:
        with sqlite3.connect(f"file:{backstory.data_dir}/backstory.db?mode=ro", uri=True, timeout=30) as db:
            return int(db.execute("SELECT count(*) FROM messages").fetchone()[0])
    except sqlite3.OperationalError:
        return 0


def exported(backstory: Any, *arguments: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in backstory("export", "--format", "jsonl", *arguments).stdout.splitlines()]


def test_a_killed_import_goes_on_and_what_it_did_is_searchable(
    backstory: Any, write_jsonl: Callable[..., Path]
) -> None:
    total = 4000
    path = write_jsonl(
        "big.jsonl",
        *(
            {
                "external_id": f"s{n // 40}",
                "role": ("user", "assistant")[n % 2],
                "content": f"marker{n} the tram to Porto",
            }
            for n in range(total)
        ),
    )
    process = backstory.start("import", str(path), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while stored_messages(backstory) < 1000 and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGSTOP)
    assert process.poll() is None, "the import was over before it could be stopped"
    contents = [hit["content"] for hit in backstory.json("search", "marker7")["hits"]]
    assert any(content.startswith("marker7 ") for content in contents)
    process.kill()
    process.wait()
    before = stored_messages(backstory)
    assert 1000 <= before < total
    (again,) = backstory.json("import", str(path))["files"]
    assert (again["recorded"], again["duplicates"]) == (total - before, before)
    assert "nothing new; 4,000 messages had been recorded before" in backstory("import", str(path)).stderr
    lines = exported(backstory)
    contents = [line["content"] for line in lines if line["type"] == "message"]
    assert sorted(contents) == sorted(f"marker{n} the tram to Porto" for n in range(total))
    sessions = [line for line in lines if line["type"] == "session"]
    assert len(sessions) == total // 40
    for session in sessions:
        seqs = [
            line["seq"] for line in lines if line["type"] == "message" and line["session_id"] == session["session_id"]
        ]
        assert seqs == list(range(1, 41)) and session["archived_at"]
    backstory("doctor", "--audit")


def test_a_changed_message_is_named_by_its_line_and_the_rest_kept(
    backstory: Any, write_jsonl: Callable[..., Path]
) -> None:
    backstory("import", str(write_jsonl("a.jsonl", {**HELLO, "id": "1"})))
    path = write_jsonl("b.jsonl", {**HELLO, "id": "0"}, {**HELLO, "id": "1", "content": "other"}, {**HELLO, "id": "2"})
    done = backstory("import", str(path), code=1)
    named, told = done.stderr.strip().splitlines()
    assert f"{path}, line 2: Message id '1' was recorded" in named
    assert "2 messages recorded in 1 session; 1 place skipped" in told
    assert [line["content"] for line in exported(backstory) if line["type"] == "message"] == ["hello"] * 3


def test_one_bad_line_is_one_bad_line(backstory: Any, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    good = [json.dumps({**HELLO, "content": f"good {n}"}) for n in range(4)]
    bad = ["null", '{"role": "user", "content": "half \\ud83d"}', '{"role": "user", "content": "cut']
    path.write_text("\n".join([bad[0], good[0], good[1], bad[1], good[2], good[3], bad[2]]))
    for recorded in (4, 0):
        done = backstory("import", "--json", str(path), code=1)
        (told,) = json.loads(done.stdout)["files"]
        assert (told["recorded"], told["duplicates"]) == (recorded, 4 - recorded)
        assert [skipped["where"] for skipped in told["skipped"]] == ["line 1", "line 4", "line 7"]
        assert [f"{path}, line {n}: " in done.stderr for n in (1, 4, 7)] == [True] * 3
    assert [line["content"] for line in exported(backstory) if line["type"] == "message"] == [
        f"good {n}" for n in range(4)
    ]
    whole = tmp_path / "whole.jsonl"
    whole.write_text("\n".join(good))
    assert "nothing new; 4 messages had been recorded before" in backstory("import", str(whole)).stderr


def test_a_session_that_is_refused_costs_its_own_lines(backstory: Any, write_jsonl: Callable[..., Path]) -> None:
    backstory("import", str(write_jsonl("a.jsonl", {**HELLO, "project_id": "p"})))
    path = write_jsonl(
        "b.jsonl", *({**HELLO, "project_id": "q", "content": f"{n}"} for n in range(2)), {**HELLO, "external_id": "t"}
    )
    done = backstory("import", str(path), code=1)
    assert done.stderr.count("belongs to project 'p', not to project 'q'") == 2
    assert "1 message recorded" in done.stderr


def test_bad_files_are_refused_in_one_sentence(backstory: Any, tmp_path: Path) -> None:
    for name, content, told in (
        ("a.bin", b"\x00\x01\x02", "its format is not recognised; formats are jsonl, locomo"),
        ("s.jsonl", b'{"role": "user", "content": "\\ud800"}\n', "line 1"),
        ("empty.json", b"", "its format is not recognised"),
        ("b.jsonl", b'{"role": "user", "content": "x", "colour": 1}\n', "line 1: unknown field 'colour'"),
        ("c.json", b'[{"sample_id": "x", "conversation": {"speaker_a": 1, "session_1": 3}}]', "session_1: a session"),
    ):
        path = tmp_path / name
        path.write_bytes(content)
        done = backstory("import", str(path), code=1)
        assert told in done.stderr and len(done.stderr.strip().splitlines()) == 1
    refused = tmp_path / "d.jsonl"
    refused.write_text(json.dumps({**HELLO, "intent_confidence": 3}) + "\n")
    assert "line 1" in backstory("import", str(refused), code=1).stderr
    assert "line 1" in backstory("import", "--format", "jsonl", str(tmp_path / "a.bin"), code=1).stderr
    assert stored_messages(backstory) == 0


def test_an_export_into_an_empty_store_gives_the_same_messages(
    backstory: Any, write_jsonl: Callable[..., Path], tmp_path: Path
) -> None:
    at = "1969-12-31T23:59:59.123456Z"
    rich = {
        "external_id": "call-1", "project_id": "p", "title": "Tïtle", "channel": "voice", "agent": "desk", "id": "7",
        "role": "tool", "content": "NUL \u0000, tab\t, ☕", "occurred_at": at, "speaker": "Bø", "tool_name": "t",
        "tool_call_id": "c", "tool_arguments": [1, {"a": None}], "intent": "i", "intent_confidence": 0.25,
        "entities": {"x": [True]}, "metadata": {"k": "v\u0000"}, "status": "interrupted",
    }  # fmt: skip
    context = {"type": "user_context", "key": "city", "value": {"name": "Porto"}, "category": "state", "updated_at": at}
    alone = {**context, "key": "lonely", "value": None, "project_id": "without sessions"}
    first = write_jsonl(
        "a.jsonl",
        rich,
        {**HELLO, "id": "7"},
        {**HELLO, "content": ""},
        {"role": "user", "content": "x"},
        context,
        alone,
    )
    backstory("import", str(first))
    lines = exported(backstory)
    kept = next(line for line in lines if line.get("tool_name") == "t")
    for name, value in rich.items():
        if name not in ("external_id", "project_id", "title", "channel"):
            assert kept[name] == value, name
    assert any(line["type"] == "user_context" and line["value"] == {"name": "Porto"} for line in lines)
    assert any(line.get("project_id") == "without sessions" and line["value"] is None for line in lines)
    out = tmp_path / "all.jsonl"
    backstory("export", "--format", "jsonl", "-o", str(out))
    assert [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()] == lines
    other = ("--data-dir", str(tmp_path / "other"))
    backstory("import", str(out), *other)

    def comparable(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [{k: v for k, v in line.items() if k not in ("recorded_at", "archived_at")} for line in lines]

    assert comparable(exported(backstory, *other)) == comparable(lines)
    assert "nothing new" in backstory("import", str(out), *other).stderr
    backstory("doctor", "--audit", *other)


async def ask(backstory: Any, tool: str, **arguments: Any) -> Any:
    async with served(backstory.env) as (client, _):
        result = await client.call_tool(tool, arguments)
        assert not result.is_error, result.content
        return result.structured_content


@pytest.mark.anyio
async def test_imported_sessions_never_take_in_new_turns(backstory: Any, write_jsonl: Callable[..., Path]) -> None:
    backstory("import", str(write_jsonl("a.jsonl", HELLO, {**HELLO, "project_id": "p", "external_id": "t"})))
    known = {session["session_id"] for session in backstory.json("sessions")["sessions"]}
    turn = {"role": "user", "content": "a new day"}
    for project in ({}, {"project_id": "p"}):
        recorded = await ask(backstory, "record_messages", messages=[turn], **project)
        assert recorded["session_id"] not in known and recorded["recorded"][0]["seq"] == 1


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def test_locomo_becomes_projects(backstory: Any, locomo: Path) -> None:
    (done,) = backstory.json("import", str(locomo))["files"]
    assert (done["format"], done["recorded"], done["sessions"]) == ("locomo", 2760, 128)
    first = backstory.json("sessions", "--limit", "100")
    sessions, cursor = first["sessions"], first["next_cursor"]
    while cursor:
        page = backstory.json("sessions", "--limit", "100", "--cursor", cursor)
        sessions, cursor = sessions + page["sessions"], page["next_cursor"]
    assert len(sessions) == 128
    assert len({session["project_id"] for session in sessions}) == 5
    assert all(session["archived_at"] and session["last_activity_at"] < "2025" for session in sessions)
    (again,) = backstory.json("import", "--format", "locomo", str(locomo))["files"]
    assert (again["recorded"], again["duplicates"]) == (0, 2760)
    hit = backstory.json("search", "LGBTQ support group", "--project", "conv-26", "--limit", "5")["hits"][0]
    assert hit["message_id"].startswith("conv-26:D") and hit["occurred_at"].startswith("2023-")
