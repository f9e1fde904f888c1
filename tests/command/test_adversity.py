"""Full disks, read-only directories, damaged files, newer databases: one clear sentence, nothing half written."""

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from storage.sql.migrating import VERSION_TABLE

HELLO = {"external_id": "s", "role": "user", "content": "hello Porto"}


pytestmark = pytest.mark.reliability


@pytest.fixture(autouse=True)
def without_embedder(backstory: Any, tried: Callable[[str, int], None]) -> None:
    backstory.environment["BACKSTORY_EMBEDDER"] = "none"
    tried("disk full or read-only; database or index emptied, zeroed, cut off or of another version", 1)


@pytest.fixture
def mounted(backstory: Any, lacking: Callable[[str], None]) -> Callable[[str], Any]:
    """The command in a mount namespace of its own, where a shell command prepares the data directory ($D)."""
    probe = ["unshare", "--mount", "--map-root-user", "true"]
    if shutil.which("unshare") is None or subprocess.run(probe, capture_output=True, check=False).returncode:
        lacking("mount namespaces are not available here")
    backstory.data_dir.mkdir(exist_ok=True)

    class Mounted(type(backstory)):  # type: ignore[misc]
        preparation = "true"

        @property
        def prefix(self) -> list[str]:
            script = f'D={self.data_dir} && {self.preparation} && exec "$@"'
            return ["unshare", "--mount", "--map-root-user", "sh", "-c", script, "sh", *super().prefix]

    def make(preparation: str) -> Any:
        command = Mounted(backstory.home, backstory.environment)
        command.preparation = preparation
        return command

    return make


def one_sentence(done: subprocess.CompletedProcess[str]) -> str:
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("Error: ") and done.stdout == "", done
    return lines[0]


def test_a_full_disk_refuses_turns_and_takes_them_again_later(
    mounted: Callable[[str], Any], wire_of: Callable[..., Any]
) -> None:
    command = mounted("mount -t tmpfs -o size=12m tmpfs $D")
    server = wire_of(command)
    server.initialize()

    def record(number: int) -> Any:
        message = {"id": str(number), "role": "user", "content": f"turn{number} " + "x" * 20_000}
        return server.request(
            "tools/call", name="record_messages", arguments={"messages": [message], "external_id": "s"}
        )

    inside = Path(f"/proc/{server.process.pid}/root{command.data_dir}")
    assert not record(1).get("isError")
    with (inside / "filler").open("wb", buffering=0) as filler, pytest.raises(OSError, match="No space left"):
        while True:
            filler.write(b"x" * 4096)
    refused = [answer for answer in (record(n) for n in range(2, 200)) if answer.get("isError")]
    text = refused[-1]["content"][0]["text"]
    assert "disk" in text and "half written" in text and "\n" not in text
    hits = server.call("search_conversation_history", query="turn1")["hits"]
    assert "1" in [hit["message_id"] for hit in hits]
    (inside / "filler").unlink()
    last = record(1000)
    assert not last.get("isError")
    seq = last["structuredContent"]["recorded"][0]["seq"]
    (session,) = server.call("list_sessions")["sessions"]
    assert session["message_count"] == seq


def test_an_import_onto_a_full_disk(mounted: Callable[[str], Any], write_jsonl: Callable[..., Path]) -> None:
    path = write_jsonl("a.jsonl", *({**HELLO, "content": "x" * 100_000, "id": str(n)} for n in range(100)))
    done = mounted("mount -t tmpfs -o size=4m tmpfs $D")("import", str(path), code=1)
    assert "disk" in done.stderr and len([line for line in done.stderr.splitlines() if "Error: " in line]) == 1


def test_a_demonstration_that_fails_says_so(mounted: Callable[[str], Any]) -> None:
    command = mounted("mount -t tmpfs -o size=200k tmpfs $D")
    done = command("demo", code=1, TMPDIR=str(command.data_dir))
    assert "Error: The demonstration stopped" in done.stderr and "disk" in done.stderr
    assert "came back" not in done.stdout


def test_a_read_only_directory(
    backstory: Any, mounted: Callable[[str], Any], write_jsonl: Callable[..., Path], wire_of: Callable[..., Any]
) -> None:
    path = str(write_jsonl("a.jsonl", HELLO))
    command = mounted("mount --bind $D $D && mount -o remount,ro,bind $D")
    sentence = one_sentence(command("sessions", code=1))
    assert str(backstory.data_dir) in sentence
    backstory("import", path)
    for arguments in (["import", path], ["sessions"], ["search", "hello"], ["export"]):
        done = subprocess.run(
            [*command.prefix, *arguments], env=command.env, capture_output=True, text=True, timeout=100, check=False
        )
        assert done.returncode in (0, 1) and "Traceback" not in done.stderr
        assert done.returncode == 0 or "Error: " in done.stderr
    server = wire_of(command)
    server.initialize()
    message = {"role": "user", "content": "now"}
    answer = server.request("tools/call", name="record_messages", arguments={"messages": [message]})
    assert answer["isError"] and len(answer["content"][0]["text"].splitlines()) == 1
    assert backstory("doctor", "--audit").returncode == 0
    assert "1 message" in backstory("import", path).stderr


def test_a_database_from_a_newer_version(
    backstory: Any, wire_of: Callable[..., Any], write_jsonl: Callable[..., Path]
) -> None:
    path = str(write_jsonl("a.jsonl", HELLO))
    backstory("import", path)
    with sqlite3.connect(backstory.data_dir / "backstory.db") as db:
        db.execute(f"UPDATE {VERSION_TABLE} SET version_num = '9999'")
    db.close()
    for arguments in (["import", path], ["sessions"], ["search", "hello"], ["export"], ["migrate"], ["reindex"]):
        sentence = one_sentence(backstory(*arguments, code=1))
        assert "9999" in sentence and "newer" in sentence
    assert "newer" in backstory("doctor", code=1).stdout
    server = wire_of(backstory)
    server.initialize()
    answer = server.request("tools/call", name="list_sessions", arguments={})
    assert answer["isError"] and "newer" in answer["content"][0]["text"]


def test_a_file_that_is_no_database(backstory: Any) -> None:
    backstory.data_dir.mkdir()
    (backstory.data_dir / "backstory.db").write_bytes(b"not a database at all " * 500)
    assert "backstory.db" in one_sentence(backstory("sessions", code=1))
    done = backstory("doctor", code=1)
    assert "bad" in done.stdout and "backstory.db" in done.stdout


def ruin(directory: Path, how: Callable[[bytes], bytes]) -> int:
    files = [path for path in directory.rglob("*") if path.is_file() and "lance" in str(path) and path.stat().st_size]
    for path in files:
        path.write_bytes(how(path.read_bytes()))
    return len(files)


@pytest.mark.parametrize(
    "how",
    [lambda old: b"", lambda old: b"\0" * len(old), lambda old: os.urandom(len(old))],
    ids=["empty", "zero", "noise"],
)
def test_a_ruined_index_is_said_survived_and_rebuilt(
    backstory: Any, wire_of: Callable[..., Any], write_jsonl: Callable[..., Path], how: Callable[[bytes], bytes]
) -> None:
    path = write_jsonl("a.jsonl", *({**HELLO, "content": f"marker{n} in Porto", "id": str(n)} for n in range(50)))
    backstory("import", str(path))
    backstory("reindex", "--wait")
    assert ruin(backstory.data_dir / "index", how) > 3
    found = [hit["content"] for hit in backstory.json("search", "marker7")["hits"]]
    assert "marker7 in Porto" in found
    server = wire_of(backstory)
    server.initialize()
    hits = server.call("search_conversation_history", query="marker8")["hits"]
    assert "marker8 in Porto" in [hit["content"] for hit in hits]
    backstory("reindex", "--wait")
    healthy = backstory.json("doctor")
    assert healthy["healthy"], healthy
    assert {"check": "index keywords", "state": "ok", "text": "up to date"} in healthy["findings"]


def test_doctor_repairs_an_index_that_is_gone(backstory: Any, write_jsonl: Callable[..., Path]) -> None:
    backstory("import", str(write_jsonl("a.jsonl", HELLO)))
    shutil.rmtree(backstory.data_dir / "index")
    assert "not built yet" in backstory("doctor").stdout
    assert "built anew" in backstory("doctor", "--repair").stdout
    assert "up to date" in backstory("doctor").stdout


def test_an_altered_message_is_found_by_the_audit(backstory: Any, write_jsonl: Callable[..., Path]) -> None:
    backstory("import", str(write_jsonl("a.jsonl", HELLO, {**HELLO, "content": "second"})))
    assert "exactly what was recorded" in backstory("doctor", "--audit").stdout
    with sqlite3.connect(backstory.data_dir / "backstory.db") as db:
        db.execute("UPDATE messages SET content = 'forged' WHERE seq = 2")
    db.close()
    done = backstory("doctor", "--audit", code=1)
    assert "seq 2" in done.stdout
