"""'Yesterday' is the same day at every door: a process has one zone, by name, by POSIX rule, or the machine's."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from mcp import Client

from memory.errors import Invalid
from memory.recall import searching, understanding
from server.app import build_memory, build_server
from server.cli import run
from server.settings import Settings

LATE = datetime(2026, 3, 18, 23, 30, tzinfo=UTC)
TOKYO = timedelta(hours=9)


@pytest.mark.anyio
async def test_every_door_reads_dates_in_the_same_zone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[Any] = []

    def understood(query: str, names: Any, languages: Any, now: datetime, where: Any) -> Any:
        heard.append(now.utcoffset())
        return real(query, names, languages, now, where)

    real = understanding.understood
    monkeypatch.setattr(searching, "understood", understood)
    settings = Settings(data_dir=tmp_path, embedder="none", time_zone="Asia/Tokyo")
    with build_memory(settings, clock=lambda: LATE) as memory:
        async with Client(build_server(memory)) as client:
            turn = [{"role": "user", "content": "what did I do yesterday"}]
            done = await client.call_tool("record_messages", {"messages": turn})
            assert done.structured_content
            await client.call_tool("search_conversation_history", {"query": "yesterday"})
            await client.call_tool("get_context_around_topic", {"topic": "yesterday"})
            await client.call_tool("get_session_context", {"query": "yesterday"})
            await client.read_resource(f"memory://sessions/{done.structured_content['session_id']}/context")
            await client.get_prompt("recall_topic", {"topic": "yesterday"})
            await client.get_prompt("start_with_memory", {"query": "yesterday"})
    assert heard == [TOKYO] * 6


def test_a_command_reads_dates_in_the_zone_of_the_variable_tz(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TZ", "JST-9")
    assert run(["search", "yesterday", "--json", "--data-dir", str(tmp_path), "--embedder", "none"]) == 0
    (date,) = json.loads(capsys.readouterr().out)["interpreted"]["dates"]
    assert (date["since"][11:], date["until"][11:]) == ("15:00:00Z", "15:00:00Z")


@pytest.mark.parametrize(
    "text", ["CET-1CEST,M3.5.0,M10.5.0/3", ":Europe/Berlin", "Europe/Berlin", "<+01>-1<+02>,J60,J300"]
)
def test_whatever_tz_may_hold_is_understood(tmp_path: Path, text: str) -> None:
    from server.time_zones import zone_named

    settings = Settings.load({"data_dir": str(tmp_path)}, environ={"TZ": text})
    assert settings.time_zone == text
    zone = zone_named(text)
    assert [datetime(2026, month, 15, tzinfo=zone).utcoffset() for month in (1, 7)] == [
        timedelta(hours=1),
        timedelta(hours=2),
    ]


def test_the_setting_comes_before_tz(tmp_path: Path) -> None:
    environ = {"TZ": "CET-1", "BACKSTORY_TIME_ZONE": "Asia/Tokyo"}
    assert Settings.load({"data_dir": str(tmp_path)}, environ=environ).time_zone == "Asia/Tokyo"


@pytest.mark.parametrize(
    "text", ["Mars/Olympus", "CET-1CEST", "/etc/passwd", "../../etc/passwd", "UTC0\nX", "Köln-1", ":"]
)
@pytest.mark.parametrize("name", ["TZ", "BACKSTORY_TIME_ZONE"])
def test_what_is_no_zone_is_refused(tmp_path: Path, name: str, text: str) -> None:
    with pytest.raises(Invalid, match=rf"^{name} is '.*'; give an IANA name such as Europe/Berlin, or a POSIX rule"):
        Settings.load({"data_dir": str(tmp_path)}, environ={name: text})


def test_words_of_every_language_are_read_where_tz_holds_a_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    from memory.recall.dates_elsewhere import read_dates

    monkeypatch.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
    ((day, _, _),) = read_dates("igår", "sv", LATE)
    assert day == datetime(2026, 3, 17, tzinfo=UTC)
