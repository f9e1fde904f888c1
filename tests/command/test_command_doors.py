"""A command asks as the tool of the same purpose does: the same times, the same refusals."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from memory.model import NewMessage, Owner
from memory.record.recording import record
from memory.record.sessions import Target
from server.cli import run
from storage.sql import open_store, sqlite_url

OWNER = Owner("default", "local")
Ask = Callable[..., Any]


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("doors")
    store = open_store(sqlite_url(home / "backstory.db"))
    times = (datetime(2024, 5, 30, 12, tzinfo=UTC), datetime(2024, 5, 31, 12, tzinfo=UTC))
    turns = [NewMessage("user", f"The boat, day {n}", client_id=f"m{n}", occurred_at=at) for n, at in enumerate(times)]
    record(store, OWNER, turns, Target(external_id="s1"), lambda: datetime(2024, 6, 1, tzinfo=UTC))
    store.close()
    return home


@pytest.fixture
def ask(data_dir: Path, capsys: pytest.CaptureFixture[str]) -> Ask:
    """What a command prints as JSON, or with another `code` the sentence that it refuses with."""

    def asked(*arguments: str, code: int = 0) -> Any:
        done = run([*arguments, "--json", "--data-dir", str(data_dir), "--embedder", "none"])
        shown = capsys.readouterr()
        assert done == code, shown.err
        return json.loads(shown.out) if code == 0 else shown.err.strip().splitlines()[-1]

    return asked


@pytest.mark.parametrize(
    ("bounds", "found"),
    [
        (["--until", "2024-05-31"], ["m0", "m1"]),
        (["--until", "2024-05-31T00:00"], ["m0"]),
        (["--until", "2024-05-31T00:00:00Z"], ["m0"]),
        (["--until", "2024-05-31T14:00:00+02:00"], ["m0"]),
        (["--until", "2024-05-31T12:00:00.001"], ["m0", "m1"]),
        (["--since", "2024-05-31"], ["m1"]),
        (["--since", "2024-W22-5"], ["m1"]),
        (["--days-back", "0.5"], []),
    ],
)
def test_a_time_is_the_tools_time(ask: Ask, bounds: list[str], found: list[str]) -> None:
    assert sorted(hit["message_id"] for hit in ask("search", "boat", *bounds)["hits"]) == found


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--session", "nope"], "No session 'nope' was found"),
        (["--since", "2024-06-02", "--until", "2024-06-01"], "The time range ends before it begins; give a 'since'"),
    ],
)
def test_what_the_tool_refuses_is_refused(ask: Ask, arguments: list[str], sentence: str) -> None:
    assert ask("search", "boat", *arguments, code=1).startswith(f"Error: {sentence}")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["search", "boat", "--limit", "0"], "--limit is 0; at least 1 is allowed."),
        (["search", "boat", "--limit", "101"], "--limit is 101; at most 100 is allowed."),
        (["search", "boat", "--days-back", "-1"], "--days-back is '-1'; more than 0 is wanted."),
        (["search", "boat", "--since", "soon"], "--since is no time; give ISO 8601 such as 2024-05-31"),
        (["search", "boat", "--project", "a\nb"], "--project holds a control character; give printable"),
        (["sessions", "--limit", "101"], "--limit is 101; at most 100 is allowed."),
        (["sessions", "--limit", "many"], "Invalid value for '--limit': 'many' is not a valid integer."),
    ],
)
def test_an_option_is_refused_as_the_tools_argument_is(ask: Ask, arguments: list[str], sentence: str) -> None:
    assert ask(*arguments, code=2).startswith(f"Error: {sentence}")


def test_a_blank_option_is_one_that_is_not_given(ask: Ask) -> None:
    assert len(ask("search", "boat", "--project", " ", "--session", "")["hits"]) == 2
    assert len(ask("sessions", "--project", " ", "--title", "")["sessions"]) == 1
