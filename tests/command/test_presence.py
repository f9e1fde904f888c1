"""The data directory deleted, moved or restored under a running server: every turn that it acknowledged is kept."""

import json
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.reliability


@pytest.fixture(autouse=True)
def without_embedder(backstory: Any, tried: Callable[[str, int], None]) -> None:
    backstory.environment["BACKSTORY_EMBEDDER"] = "none"
    tried("data directory deleted or restored under a running server", 1)


def say(server: Any, text: str) -> bool:
    """Whether the turn was acknowledged; where it was not, one sentence says why."""
    arguments = {"messages": [{"role": "user", "content": text, "id": text}], "external_id": "s"}
    answer = server.request("tools/call", name="record_messages", arguments=arguments)
    if answer.get("isError"):
        assert len(answer["content"][0]["text"].splitlines()) == 1
        return False
    return True


def found(backstory: Any) -> set[str]:
    """What whoever opens the record now finds in it."""
    lines = map(json.loads, backstory("export", "--format", "jsonl").stdout.splitlines())
    return {line["content"] for line in lines if line["type"] == "message"}


def kill(server: Any) -> None:
    server.process.kill()
    server.process.wait()


def rebuilt(directory: Path) -> None:
    shutil.rmtree(directory)
    directory.mkdir()


@pytest.mark.parametrize("harm", [shutil.rmtree, rebuilt], ids=["deleted", "emptied"])
def test_turns_after_the_directory_is_gone_are_kept_or_refused(
    backstory: Any, wire: Callable[..., Any], harm: Callable[[Path], None]
) -> None:
    server = wire()
    server.initialize()
    assert say(server, "before")
    harm(backstory.data_dir)
    acknowledged = {text for text in ("one", "two", "three") if say(server, text)}
    kill(server)
    assert acknowledged <= found(backstory)
    again = wire()
    again.initialize()
    assert say(again, "afterwards"), "a new start begins a new record"


def test_turns_after_a_restore_are_in_what_was_restored(
    backstory: Any, wire: Callable[..., Any], tmp_path: Path
) -> None:
    server = wire()
    server.initialize()
    assert say(server, "saved in Porto")
    database = backstory.data_dir / "backstory.db"
    with sqlite3.connect(database) as source, sqlite3.connect(tmp_path / "backup.db") as target:
        source.backup(target)
    source.close()
    target.close()
    assert say(server, "never saved in Porto")
    (tmp_path / "backup.db").replace(database)
    assert say(server, "new in Porto")
    hits = server.call("search_conversation_history", query="Porto")["hits"]
    assert {hit["content"] for hit in hits} == {"saved in Porto", "new in Porto"}
    kill(server)
    assert found(backstory) == {"saved in Porto", "new in Porto"}


def test_doctor_tells_of_a_log_that_was_deleted_after_a_crash(backstory: Any, wire: Callable[..., Any]) -> None:
    backstory("sessions")
    server = wire()
    server.initialize()
    for number in range(5):
        assert say(server, f"turn {number}")
    kill(server)
    (backstory.data_dir / "backstory.db-wal").unlink()
    assert "lacks 5 changes" in backstory("doctor", code=1).stdout
