"""REST and the tools answer and refuse alike: one memory, asked in one process through both."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp import Client

from server.app import build_memory, build_server
from server.http.rest.application import build_api
from server.settings import Settings

pytestmark = pytest.mark.anyio
NOW = datetime(2024, 6, 1, 12, tzinfo=UTC)
TURNS = [
    {"role": "user", "content": "The boat is blue", "id": "m1", "occurred_at": "2024-05-30T12:00:00Z"},
    {"role": "assistant", "content": "A blue boat, noted", "id": "m2", "occurred_at": "2024-05-31T12:00:00Z"},
]
Doors = tuple[Client, httpx2.AsyncClient]


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def doors(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Doors]:
    home: Path = tmp_path_factory.mktemp("doors")
    with build_memory(Settings(data_dir=home, embedder="none"), clock=lambda: NOW) as memory:
        server = build_server(memory, tools="full")
        wire = httpx2.ASGITransport(app=build_api(server.calls))
        async with Client(server) as tools, httpx2.AsyncClient(transport=wire, base_url="http://x/api/v1/") as rest:
            await tools.call_tool("record_messages", {"messages": TURNS, "project_id": "boats"})
            yield tools, rest


async def asked(doors: Doors, tool: str, path: str, **values: Any) -> tuple[Any, Any]:
    """(what the tool says, what REST says): data, or the sentence of a refusal."""
    tools, rest = doors
    done = await tools.call_tool(tool, values)
    said = done.structured_content if not done.is_error else done.content[0].text  # type: ignore[union-attr]  # errors are text
    answer = await rest.get(path, params=values)
    return said, answer.json() if answer.status_code == 200 else answer.json()["detail"]


@pytest.mark.parametrize(
    "values",
    [
        {"query": "boat"},
        {"query": "what did you say about the boat yesterday"},
        {"query": "boat", "queries": ["blue", " "]},
        {"query": "boat", "until": "2024-05-31"},
        {"query": "boat", "until": "2024-05-31T00:00"},
        {"query": "boat", "since": "2024-W22-5"},
        {"query": "boat", "days_back": 0.5},
        {"query": "boat", "days_back": 0.0001},
        {"query": "boat", "project_id": "unknown"},
        {"query": "boat", "project_id": " boats "},
        {"query": "boat", "project_id": " ", "session_id": ""},
        {"query": "boat", "role": "assistant", "scope": "project", "channel": "voice"},
        {"query": "boat " * 3000},
    ],
)
async def test_search_finds_the_same(doors: Doors, values: Any) -> None:
    tool, rest = await asked(doors, "search_conversation_history", "search", **values)
    assert tool == rest
    assert "hits" in rest


@pytest.mark.parametrize(
    "values",
    [
        {"query": "boat", "since": "2024-06-01", "until": "2024-05-01"},
        {"query": "boat", "since": "soon"},
        {"query": "boat", "until": "0001-01-01T00:00:00+01:00"},
        {"query": "boat", "session_id": "nope"},
        {"query": "boat", "limit": 0},
        {"query": "boat", "limit": 101},
        {"query": "boat", "days_back": 0},
        {"query": "boat", "role": "robot"},
        {"query": "boat", "project_id": "p" * 513},
        {"query": "boat", "project_id": "a\nb"},
        {"query": "boat", "queries": ["x"] * 9},
        {"query": "  "},
        {"query": ""},
    ],
)
async def test_search_refuses_in_the_same_words(doors: Doors, values: Any) -> None:
    tool, rest = await asked(doors, "search_conversation_history", "search", **values)
    assert tool == rest
    assert isinstance(rest, str)


@pytest.mark.parametrize(
    "values",
    [
        {"topic": "boat"},
        {"topic": "boat", "max_tokens": 50, "window": 0},
        {"topic": " "},
        {"topic": "boat", "max_tokens": 49},
        {"topic": "boat", "window": 51},
        {"topic": "boat", "session_id": "nope"},
        {"topic": "boat", "since": "2024-06-01", "until": "2024-05-01"},
    ],
)
async def test_topics_are_the_same(doors: Doors, values: Any) -> None:
    tool, rest = await asked(doors, "get_context_around_topic", "topic", **values)
    assert tool == rest


@pytest.mark.parametrize(
    "values",
    [
        {"project_id": "boats"},
        {"project_id": " ", "title": "", "cursor": " "},
        {"cursor": "nonsense"},
        {"cursor": "WyJub3QiLCAiYSB0aW1lIl0"},
        {"cursor": "W10"},
        {"limit": 0},
        {"limit": 101},
        {"channel": "smoke"},
        {"external_id": "unknown"},
    ],
)
async def test_sessions_are_listed_the_same(doors: Doors, values: Any) -> None:
    tool, rest = await asked(doors, "list_sessions", "sessions", **values)
    assert tool == rest


async def test_a_refusal_is_422_and_an_unknown_session_404(doors: Doors) -> None:
    _, rest = doors
    range_of_nothing = {"query": "x", "since": "2024-06-01", "until": "2024-05-01"}
    assert (await rest.get("search", params=range_of_nothing)).status_code == 422
    assert (await rest.get("sessions", params={"cursor": "nonsense"})).status_code == 422
    assert (await rest.get("sessions/nope/messages", params={"cursor": "nonsense"})).status_code == 422
    assert (await rest.get("search", params={"query": "x", "session_id": "nope"})).status_code == 404


async def test_what_is_written_is_taken_and_refused_alike(doors: Doors) -> None:
    tools, rest = doors
    started = (await rest.post("sessions", json={"title": "Tea"})).json()["session_id"]
    cases: list[tuple[dict[str, Any], int]] = [
        ({"role": "user", "content": "x", "speaker": " ", "id": " a1 "}, 201),
        ({"role": "robot", "content": "x"}, 422),
        ({"role": "user"}, 422),
        ({"role": "user", "content": "x", "intent_confidence": 2}, 422),
        ({"role": "user", "content": "x", "occurred_at": "soon"}, 422),
        ({"role": "user", "content": "x", "id": "i" * 513}, 422),
        ({"role": "user", "content": "x", "speaker": "a\nb"}, 422),
    ]
    for message, status in cases:
        answer = await rest.post(f"sessions/{started}/messages", json={"messages": [message]})
        done = await tools.call_tool("record_messages", {"messages": [message], "session_id": started})
        assert answer.status_code == status
        assert done.is_error is (status == 422)
        if status == 422 and "content" in message and "speaker" not in message:
            assert answer.json()["detail"] == done.content[0].text  # type: ignore[union-attr]  # errors are text
    (page,) = [(await rest.get(f"sessions/{started}/messages")).json()["messages"]]
    assert [(m["message_id"], m["speaker"]) for m in page] == [("a1", None)]


async def test_a_session_is_changed_in_one_step(doors: Doors) -> None:
    tools, rest = doors
    started = (await rest.post("sessions", json={"title": "Tea"})).json()["session_id"]
    refused = await rest.patch(f"sessions/{started}", json={"title": "t" * 600, "archived": True})
    assert refused.status_code == 422
    shown = (await rest.get(f"sessions/{started}")).json()
    assert (shown["title"], shown["archived_at"]) == ("Tea", None)
    changed = (await rest.patch(f"sessions/{started}", json={"title": "Cocoa", "archived": True})).json()
    assert (changed["title"], changed["archived_at"]) == ("Cocoa", "2024-06-01T12:00:00Z")
    (listed,) = (await tools.call_tool("list_sessions", {"title": "Cocoa"})).structured_content["sessions"]
    assert listed == changed
