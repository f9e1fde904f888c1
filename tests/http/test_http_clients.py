"""The examples run: a voice bridge, the Agents SDK over three transports, the SDK's own client, a host's config."""

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import anyio
import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "clients" / "examples"
pytestmark = pytest.mark.anyio


def example(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def environ(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("BACKSTORY_", "OPENAI_"))}
    return {**kept, "PATH": f"{Path(sys.executable).parent}:{kept['PATH']}", "BACKSTORY_EMBEDDER": "none", **more}


def run(name: str, *arguments: str, **more: str) -> str:
    command = [sys.executable, "-W", "error", str(EXAMPLES / name), *arguments]
    done = subprocess.run(command, env=environ(**more), capture_output=True, text=True, timeout=90, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def spoken(server: Any, token: str, user: str, call: Any) -> list[tuple[str, str, str, float]]:
    with server.http(token) as http:
        about = {"user": user, "external_id": call.call_id}
        session = http.get("/api/v1/sessions", params=about).json()["sessions"][0]["session_id"]
        rows = http.get(f"/api/v1/sessions/{session}/messages", params={"user": user, "limit": 1000}).json()["messages"]
    assert [row["seq"] for row in rows] == list(range(1, len(rows) + 1))
    started = call.started_at.timestamp()
    from datetime import datetime

    return [
        (
            row["role"],
            row["content"],
            row["status"],
            round(datetime.fromisoformat(row["occurred_at"]).timestamp() - started, 3),
        )
        for row in rows
    ]


def wanted(bridge: ModuleType, call: Any) -> list[tuple[str, str, str, float]]:
    """Each utterance once, in its last form."""
    last = dict(zip(bridge.line_ids(call.events), call.events, strict=True))
    roles = {"caller": "user", "agent": "assistant"}
    return [(roles[e["track"]], e["text"], e.get("status", "final"), e["at"]) for e in last.values()]


async def test_a_played_call_loses_and_doubles_nothing_however_often_the_server_dies(hosted_factory: Any) -> None:
    bridge = example("voice_bridge")
    server = hosted_factory()
    token = server.token("acme", "bridge", "read,write,act-as")
    server.start()
    call = bridge.Recording.load(EXAMPLES / "calls" / "first_call.json")
    next_week = bridge.Recording.load(EXAMPLES / "calls" / "second_call.json")

    async with bridge.MemoryLink(f"{server.url}/sse", token).open() as link, anyio.create_task_group() as tasks:

        async def trouble() -> None:
            for _ in range(3):
                await anyio.sleep(0.7)
                await anyio.to_thread.run_sync(server.kill)
                await anyio.to_thread.run_sync(server.start)

        tasks.start_soon(trouble)
        outcome = await bridge.play(call, link, pace=0.12, drop_after=4)
    assert outcome.created
    assert link.connections >= 2
    assert spoken(server, token, outcome.user, call) == wanted(bridge, call)
    assert any("technician" in json.dumps(promise) for promise in outcome.summary["commitments"])
    async with bridge.MemoryLink(f"{server.url}/sse", token).open() as link:
        again = await bridge.play(next_week, link)
    assert again.user == outcome.user
    assert not again.created
    assert "Dana" in again.instructions
    assert "technician" in again.instructions
    assert spoken(server, token, again.user, next_week) == wanted(bridge, next_week)


async def test_a_bridge_asks_who_is_calling_from_a_shared_phone(hosted: Any) -> None:
    bridge = example("voice_bridge")
    token = hosted.token("shared-phone", "bridge", "read,write,act-as")
    call = bridge.Recording.load(EXAMPLES / "calls" / "second_call.json")
    async with bridge.MemoryLink(f"{hosted.url}/sse", token).open() as link:
        dana = await link.call("identify_user", phone=call.number, display_name="Dana")
        await link.call("identify_user", phone=call.number, display_name="Sam")
        outcome = await bridge.play(call, link)
    assert outcome.user == dana["user"]


def test_the_voice_bridge_runs_from_a_shell(hosted: Any) -> None:
    token = hosted.token("shell", "bridge", "read,write,act-as")
    secrets = {"BACKSTORY_TOKEN": token, "BACKSTORY_URL": f"{hosted.url}/sse"}
    first = run("voice_bridge.py", str(EXAMPLES / "calls" / "first_call.json"), "--drop-after", "5", **secrets)
    assert "first contact" in first
    assert "commitment: send a technician" in first
    second = run("voice_bridge.py", str(EXAMPLES / "calls" / "second_call.json"), **secrets)
    assert "(known)" in second
    assert "Address the user as Dana." in second


def test_the_plain_client_runs_over_stdio_and_http(hosted: Any, tmp_path: Path) -> None:
    alone = run("plain_client.py", BACKSTORY_DATA_DIR=str(tmp_path))
    served = run("plain_client.py", "--url", f"{hosted.url}/mcp", BACKSTORY_TOKEN=hosted.token("plain", "ann"))
    for output in (alone, served):
        assert "My sister Ines moved to Porto" in output
        assert "- sister: Ines, Porto" in output


def test_the_config_starts_a_server(tmp_path: Path) -> None:
    config = json.loads((EXAMPLES / "claude_desktop_config.json").read_text())
    entry = config["mcpServers"]["backstory"]
    assert entry["command"] == "uvx"
    name, *arguments = entry["args"]
    assert name == "backstory"
    command = [str(Path(sys.executable).with_name("backstory")), *arguments]
    opening = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "initialize",
        "params": {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "0"}},
    }
    settings = environ(BACKSTORY_DATA_DIR=str(tmp_path), **entry.get("env", {}))
    asked = json.dumps(opening) + "\n"
    done = subprocess.run(command, input=asked, env=settings, capture_output=True, text=True, timeout=60, check=False)
    assert json.loads(done.stdout.splitlines()[0])["result"]["serverInfo"]["name"] == "backstory"


@asynccontextmanager
async def agents_server(
    sdk: ModuleType, kind: str, hosted: Any, tmp_path: Path, monkeypatch: Any
) -> AsyncGenerator[Any, None]:
    if kind == "stdio":
        for name, value in environ(BACKSTORY_DATA_DIR=str(tmp_path)).items():
            monkeypatch.setenv(name, value)
        made = sdk.memory_server()
    else:
        path = {"sse": "/sse", "http": "/mcp"}[kind]
        made = sdk.memory_server(hosted.url + path, hosted.token(f"agents-{kind}", "ann", "read,write,act-as"))
    async with made as server:
        yield server


@pytest.mark.parametrize("kind", ["stdio", "sse", "http"])
async def test_the_agents_sdk_lists_and_calls_every_tool(
    hosted: Any, tmp_path: Path, monkeypatch: Any, kind: str
) -> None:
    sdk = example("openai_agents")
    arguments: dict[str, dict[str, Any]] = {
        "record_messages": {"messages": [{"role": "user", "content": "The tent is in the attic."}]},
        "search_conversation_history": {"query": "tent"},
        "get_context_around_topic": {"topic": "tent"},
        "upsert_user_context": {"values": {"tent": "attic"}},
        "summarize_session": {"summary": {"text": "Tents."}},
        "set_memory_strategy": {"level": "agent", "agent": "a", "strategy": {"mode": "trim"}},
        "identify_user": {"phone": "+1 415 555 2671"},
        "set_consent": {},
        "erase_memory": {"everything": True, "confirm": False},
        "export_history": {"format": "json"},
    }
    async with agents_server(sdk, kind, hosted, tmp_path, monkeypatch) as server:
        names = [tool.name for tool in await server.list_tools()]
        assert "search_conversation_history" in names
        for name in [
            "record_messages",
            *(n for n in names if n not in ("record_messages", "archive_session")),
            "archive_session",
        ]:
            answer = await server.call_tool(name, arguments.get(name, {}))
            assert not answer.is_error, (name, answer.content[0].text)


@pytest.mark.parametrize("kind", ["stdio", "sse", "http"])
async def test_a_session_of_the_agents_sdk_outlives_its_process(
    hosted: Any, tmp_path: Path, monkeypatch: Any, kind: str
) -> None:
    from agents import Agent, Runner, set_tracing_disabled
    from agents.memory import Session
    from agents.testing import ScriptedModel, assistant_message, function_call

    set_tracing_disabled(True)
    sdk = example("openai_agents")
    async with agents_server(sdk, kind, hosted, tmp_path, monkeypatch) as server:
        session = sdk.BackstorySession("thread-1", server, agent="assistant")
        assert isinstance(session, Session)
        script = [
            [function_call("search_conversation_history", {"query": "tent"}, call_id="call-1")],
            [assistant_message("I find nothing about a tent yet.")],
        ]
        model = ScriptedModel(script)
        agent = Agent(name="Assistant", model=model, mcp_servers=[server])
        await Runner.run(agent, "Where is the tent?", session=session)
        model.assert_complete()
        kinds = [item.get("type") or item.get("role") for item in await session.get_items()]
        assert kinds[0] == "user"
        assert kinds[1:3] == ["function_call", "function_call_output"]
    async with (
        agents_server(sdk, kind, hosted, tmp_path, monkeypatch) if kind == "stdio" else reopened(sdk, server) as server
    ):
        session = sdk.BackstorySession("thread-1", server, agent="assistant")
        model = ScriptedModel([[assistant_message("As I said: nothing.")]])
        result = await Runner.run(Agent(name="Assistant", model=model), "And now?", session=session)
        assert result.final_output == "As I said: nothing."
        assert model.last_call is not None
        sent = model.last_call.input
        assert [item for item in sent if isinstance(item, dict) and item.get("content") == "Where is the tent?"]
        before = await session.get_items()
        assert await session.get_items(limit=2) == before[-2:]
        assert await session.get_items(limit=0) == []
        assert await session.pop_item() == before[-1]
        assert await session.get_items() == before[:-1]
        await session.add_items([{"role": "user", "content": "Once more."}])
        assert (await session.get_items())[-1] == {"role": "user", "content": "Once more."}
        await session.clear_session()
        assert await session.get_items() == []
        assert await session.pop_item() is None
        other = sdk.BackstorySession("thread-2", server)
        assert await other.get_items() == []


@asynccontextmanager
async def reopened(sdk: ModuleType, server: Any) -> AsyncGenerator[Any, None]:
    """Another connection with the same address and token."""
    token = server.params["headers"]["Authorization"].removeprefix("Bearer ")
    async with sdk.memory_server(server.params["url"], token) as again:
        yield again
