"""What somebody meets who has just begun: examples that work, and an empty memory that says what to do."""

import re
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest

from server.cli import cli

FILES = ("history.jsonl", "locomo10.json", "all.jsonl")
TOLD = ("Nothing is recorded yet for user local", "backstory connect", "backstory import", "backstory demo")


@pytest.fixture(autouse=True)
def without_embedder(backstory: Any) -> None:
    backstory.environment["BACKSTORY_EMBEDDER"] = "none"


def examples() -> list[str]:
    """Every line that a command's help gives as an example, without what a shell does to it."""
    found, groups = list[str](), list[click.Group]([cli])
    while groups:
        group = groups.pop()
        context = click.Context(group)
        for name in group.list_commands(context):
            command = group.get_command(context, name)
            assert command is not None
            if isinstance(command, click.Group):
                groups.append(command)
            found += [
                line.strip() for line in (command.help or "").splitlines() if line.strip().startswith("backstory ")
            ]
    return found


def test_every_example_is_a_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in FILES:
        (tmp_path / name).touch()
    tried = examples()
    assert len(tried) > 20
    for line in tried:
        words = shlex.split(re.split(r" [|>] ", line)[0], comments=True)[1:]
        command: click.Command = cli
        while isinstance(command, click.Group):
            name = words.pop(0)
            found = command.get_command(click.Context(command), name)
            assert found is not None, line
            command = found
        command.make_context("example", words)


def test_the_examples_of_import_work_as_they_are_printed(
    backstory: Any, tmp_path: Path, write_jsonl: Callable[..., Path]
) -> None:
    write_jsonl("history.jsonl", {"role": "user", "content": "My dog is called Biscuit."})
    script = tmp_path / "backstory"
    script.write_text(f'#!/bin/sh\nexec {shlex.join(backstory.prefix)} "$@"\n')
    script.chmod(0o755)
    env = {**backstory.env, "PATH": f"{tmp_path}:{backstory.env['PATH']}"}
    printed = backstory("import", "--help").stdout
    lines = [line.strip() for line in printed.splitlines() if line.strip().startswith("backstory ")]
    for line in [line for line in lines if "locomo" not in line]:
        subprocess.run(line, shell=True, check=True, cwd=tmp_path, env=env, capture_output=True)  # as printed
    assert (tmp_path / "elsewhere" / "backstory.db").is_file()
    hits = backstory.json("search", "dog", "--data-dir", str(tmp_path / "elsewhere"))["hits"]
    assert [hit["content"] for hit in hits] == ["My dog is called Biscuit."]


@pytest.mark.parametrize("command", [["search", "dog"], ["sessions"], ["export"], ["sessions", "--json"]])
def test_an_empty_memory_says_what_to_do_first(backstory: Any, command: list[str]) -> None:
    (told,) = backstory(*command).stderr.splitlines()
    assert all(words in told for words in TOLD)
    assert str(backstory.data_dir) in told


def test_a_memory_with_something_in_it_says_nothing_of_the_kind(
    backstory: Any, write_jsonl: Callable[..., Path]
) -> None:
    first, second = (backstory("doctor").stdout for _ in range(2))
    assert "backstory connect HOST --write" in first
    assert "backstory connect HOST --write" in second
    backstory("import", str(write_jsonl("h.jsonl", {"role": "user", "content": "My dog is called Biscuit."})))
    for command in (["search", "zebra", "--project", "none"], ["sessions", "--project", "none"], ["export"]):
        assert "backstory connect" not in backstory(*command).stderr
    assert "backstory connect" not in backstory("doctor").stdout
    assert "Nothing is recorded yet for user ann" in backstory("sessions", "--user", "ann").stderr


@pytest.mark.parametrize("place", ["${workspaceFolder}/memory", "%APPDATA%/memory", "~nobody-of-this-name/memory"])
def test_no_folder_gets_the_name_of_what_a_host_did_not_fill_in(backstory: Any, tmp_path: Path, place: str) -> None:
    done = subprocess.run(
        [*backstory.prefix, "sessions"],
        env={**backstory.env, "BACKSTORY_DATA_DIR": place, "PYTHONPATH": str(Path(__file__).parents[2])},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    (told,) = done.stderr.splitlines()
    assert told.startswith("Error: BACKSTORY_DATA_DIR is ")
    assert not list(tmp_path.glob("[$%~]*"))


@pytest.mark.parametrize(
    "environment",
    [
        {"HTTPS_PROXY": "socks5://127.0.0.1:9"},
        {"ALL_PROXY": "garbage", "HTTP_PROXY": "socks5h://"},
        {"LC_ALL": "xx_YY.bad", "HF_HOME": "/proc/nowhere", "XDG_CACHE_HOME": "/proc/nowhere"},
    ],
)
def test_what_fails_beside_it_never_costs_the_memory(
    backstory: Any, write_jsonl: Callable[..., Path], environment: dict[str, str]
) -> None:
    backstory("import", str(write_jsonl("h.jsonl", {"role": "user", "content": "My dog is called Biscuit."})))
    optional = {
        "BACKSTORY_EMBEDDER": "openai:text-embedding-3-small",
        "BACKSTORY_SUMMARIZER": "openai:gpt",
        "OPENAI_API_KEY": "sk-none",
    }
    found = backstory("search", "dog", **optional, **environment)
    assert "Biscuit" in found.stdout
    ours = [line for line in found.stderr.splitlines() if "backstory." in line]
    assert len(ours) == 1, found.stderr
    assert "sk-none" not in found.stderr
