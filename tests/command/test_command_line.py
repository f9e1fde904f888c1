"""The command as a shell sees it: help, exit codes, one-sentence failures, awkward terminals and pipes."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from server.cli import Commands, run

WOHNUNG = "Ich suche eine Wohnung in Köln – 東京?"
EVIL = "Evil \x1b[31mred\x1b[0m \x07 and\nsecond line"


@pytest.mark.parametrize("name", Commands.table)
def test_every_command_explains_itself(capsys: pytest.CaptureFixture[str], name: str) -> None:
    assert run([name, "--help"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("Usage: backstory") and "-h, --help" in shown


def test_group_names_every_command_and_the_version(backstory: Any) -> None:
    shown = backstory("--help").stdout
    assert all(f"  {name} " in shown for name in Commands.table)
    assert backstory("--version").stdout.startswith("backstory ")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["nope"], "No such command 'nope'"),
        (["search"], "QUERY"),
        (["search", "  "], "QUERY is empty"),
        (["search", "x", "--limit", "0"], "--limit"),
        (["search", "x", "--since", "soon"], "--since"),
        (["search", "x", "--role", "robot"], "--role"),
        (["export", "--format", "pdf"], "--format"),
        (["import"], "PATH"),
        (["import", "/does/not/exist.json"], "does not exist"),
        (["import", "/etc/hostname", "--project", " "], "--project is empty"),
        (["serve", "--transport", "carrier-pigeon"], "--transport"),
        (["serve", "--tools", "all"], "--tools is 'all'; allowed are recall, agent, full"),
        (["sessions", "--embedder", "huge"], "--embedder is 'huge'"),
    ],
)
def test_wrong_usage_is_exit_code_2(capsys: pytest.CaptureFixture[str], arguments: list[str], told: str) -> None:
    assert run(arguments) == 2
    shown = capsys.readouterr()
    assert told in shown.err and shown.out == ""


def test_a_bad_setting_is_named_and_no_secret_shown(backstory: Any) -> None:
    backstory("nope", code=2)
    done = backstory("sessions", code=2, BACKSTORY_EMBEDDER="huge", OPENAI_API_KEY="sk-very-secret")
    assert done.stderr.startswith("Error: BACKSTORY_EMBEDDER is 'huge'") and "secret" not in done.stderr


def test_an_empty_store_is_no_failure(backstory: Any) -> None:
    backstory.environment["BACKSTORY_EMBEDDER"] = "none"
    assert backstory.json("sessions")["sessions"] == []
    assert backstory.json("search", "anything")["hits"] == []
    assert json.loads(backstory("export").stdout) == {"sessions": [], "user_context": []}
    told = backstory("sessions").stderr
    assert "Nothing is recorded yet" in told and "backstory demo" in told


def test_results_for_people_and_for_machines(stored: Any) -> None:
    found = stored("search", "Wohnung", "--role", "user")
    assert "Naïve café ☕" in found.stdout and "Köln – 東京?" in found.stdout
    (hit,) = stored.json("search", "Wohnung", "--role", "user")["hits"]
    assert hit["content"] == WOHNUNG and hit["seq"] == 1
    (session,) = stored.json("sessions")["sessions"]
    assert session["external_id"] == "s1" and session["message_count"] == 2 and session["archived_at"]
    assert "Naïve café" in stored("sessions").stdout


def test_recorded_text_cannot_control_the_terminal(stored: Any) -> None:
    shown = stored("search", "evil", "--role", "assistant").stdout
    assert "\x1b" not in shown and "\x07" not in shown and "\\x1b[31mred" in shown
    assert json.loads(stored("export").stdout)["sessions"][0]["messages"][1]["content"] == EVIL


def test_output_that_is_not_utf8_loses_nothing(stored: Any) -> None:
    plain = {"PYTHONIOENCODING": "cp437"}
    assert "\\u6771\\u4eac?" in stored("search", "Wohnung", "--role", "user", **plain).stdout
    assert "Köln – 東京?" in stored("export", **plain).stdout
    assert "\\u2615" in stored("sessions", **plain).stdout
    assert stored.json("sessions", **plain)["sessions"][0]["title"] == "Naïve café ☕"


@pytest.mark.parametrize("command", [["export"], ["export", "--format", "jsonl"], ["search", "boat", "--limit", "100"]])
def test_a_reader_that_leaves_early_is_no_traceback(stored: Any, command: list[str]) -> None:
    process = stored.start(*command, "--user", "much", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout.read(10)
    process.stdout.close()
    errors = process.stderr.read().decode()
    process.stderr.close()
    assert process.wait(60) in (0, 1)
    assert errors == ""


def test_a_closed_standard_output_is_no_traceback(backstory: Any) -> None:
    shell = f"exec {' '.join(backstory.prefix)} sessions --json >&-"
    done = subprocess.run(
        ["sh", "-c", shell], env=backstory.env, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode in (0, 1) and "Traceback" not in done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_output_is_said(stored: Any) -> None:
    with Path("/dev/full").open("wb") as full:
        process = stored.start("export", stdout=full, stderr=subprocess.PIPE)
        errors = process.communicate(timeout=60)[1].decode()
    assert process.returncode == 1 and "No space left" in errors and len(errors.strip().splitlines()) == 1


def test_settings_as_flags_and_separate_users(stored: Any, tmp_path: Path) -> None:
    assert stored.json("sessions", "--user", "much")["sessions"][0]["message_count"] == 500
    assert stored.json("sessions", "--user", "much", "--tenant", "other")["sessions"] == []
    assert stored.json("sessions", "--user", "much", "--data-dir", str(tmp_path / "elsewhere"))["sessions"] == []


def test_debug_shows_the_traceback(stored: Any) -> None:
    done = subprocess.run(
        [*stored.prefix, "--debug", "sessions", "--cursor", "nonsense"],
        env=stored.env, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 1 and "Traceback" in done.stderr
    assert "cursor" in stored("sessions", "--cursor", "nonsense", code=1).stderr
