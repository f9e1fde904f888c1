"""MCP over Streamable HTTP and SSE, in both protocol eras: every tool, subscriptions, restarts, acting for others."""

import re
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest
from mcp.shared.exceptions import MCPError

pytestmark = pytest.mark.anyio
WAYS = [("http", "auto"), ("http", "legacy"), ("sse", "auto"), ("sse", "legacy")]
PHONE = "+1 (415) 555-2671"


def said(text: str, **more: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}], **more}


async def call(client: Any, tool: str, **arguments: Any) -> Any:
    answer = await client.call_tool(tool, arguments)
    assert not answer.is_error, answer.content[0].text
    return answer.structured_content


@pytest.mark.parametrize(("transport", "mode"), WAYS)
async def test_every_tool_answers(hosted: Any, transport: str, mode: str) -> None:
    token = hosted.token("acme", f"{transport}-{mode}", "read,write,erase,act-as")
    async with hosted.client(token, transport, mode) as client:
        tools = {tool.name for tool in (await client.list_tools()).tools}
        recorded = await call(client, "record_messages", **said("The blue bicycle is in the shed."))
        session = recorded["session_id"]
        arguments: dict[str, dict[str, Any]] = {
            "record_messages": said("The red one is in the garage."),
            "search_conversation_history": {"query": "bicycle"},
            "get_context_around_topic": {"topic": "bicycle"},
            "upsert_user_context": {"values": {"colour": "blue"}},
            "summarize_session": {"session_id": session, "summary": {"text": "About bicycles."}},
            "set_memory_strategy": {"level": "session", "session_id": session, "strategy": {"mode": "trim"}},
            "identify_user": {"phone": PHONE},
            "set_consent": {},
            "erase_memory": {"session_id": session, "confirm": False},
            "export_history": {"format": "json"},
        }
        for name in sorted(tools - {"archive_session"}):
            answer = await client.call_tool(name, arguments.get(name, {}))
            assert not answer.is_error, (name, answer.content[0].text)
        hits = (await call(client, "search_conversation_history", query="bicycle"))["hits"]
        assert hits[0]["content"] == "The blue bicycle is in the shed."
        assert (await call(client, "archive_session", session_id=session))["archived_at"]
        names = {resource.name for resource in (await client.list_resources()).resources}
        assert "sessions" in names
        assert (await client.read_resource(f"memory://sessions/{session}")).contents


async def test_tools_for_bridges_are_listed_for_bridges(hosted_factory: Any) -> None:
    server = hosted_factory()
    bridge, plain = server.token("acme", "bridge", "read,write,act-as"), server.token("acme", "ann")
    server.start()
    for transport, mode in WAYS:
        async with server.client(bridge, transport, mode) as client:
            assert "identify_user" in {tool.name for tool in (await client.list_tools()).tools}
        async with server.client(plain, transport, mode) as client:
            assert "identify_user" not in {tool.name for tool in (await client.list_tools()).tools}
            answer = await client.call_tool("identify_user", {"phone": PHONE})
            assert answer.is_error
            assert "was found" in answer.content[0].text


@pytest.mark.parametrize("transport", ["http", "sse"])
async def test_a_bridge_acts_for_anybody_of_its_tenant_and_others_for_nobody(hosted: Any, transport: str) -> None:
    bridge = hosted.token(f"t-{transport}", "bridge", "read,write,act-as")
    plain = hosted.token(f"t-{transport}", "plain")
    elsewhere = hosted.token("elsewhere", "bridge", "read,write,act-as")
    async with hosted.client(bridge, transport) as client:
        found = await call(client, "identify_user", phone=PHONE, email="ann@example.com", display_name="Ann")
        user = found["user"]
        assert found["created"]
        assert not found["candidates"]
        await call(client, "record_messages", **said("My cat is called Minka."), user=user)
        for name in (user, PHONE, "1-415-555-2671", "ANN@example.com"):
            hits = (await call(client, "search_conversation_history", query="cat", user=name))["hits"]
            assert [hit["content"] for hit in hits] == ["My cat is called Minka."]
        assert (await call(client, "search_conversation_history", query="cat"))["hits"] == []
        voice = await call(client, "get_session_context", purpose="voice", user=user)
        assert "Ann" in voice["instructions"]
    for token in (plain, elsewhere):
        async with hosted.client(token, transport) as client:
            texts = set()
            for name in (user, PHONE, "ann@example.com", "usr_nobody", "bridge"):
                if token == elsewhere and name == "bridge":
                    continue
                refused = await client.call_tool("search_conversation_history", {"query": "cat", "user": name})
                assert refused.is_error
                texts.add(refused.content[0].text.replace(name, "X"))
            assert len(texts) == 1


@pytest.mark.parametrize("transport", ["http", "sse"])
async def test_several_people_behind_one_number(hosted: Any, transport: str) -> None:
    token = hosted.token(f"shared-{transport}", "bridge", "read,write,act-as")
    async with hosted.client(token, transport) as client:
        ann = await call(client, "identify_user", phone=PHONE, display_name="Ann")
        ben = await call(client, "identify_user", phone=PHONE, display_name="Ben")
        asked = await call(client, "identify_user", phone=PHONE, call_id="CA1")
        assert asked["user"] is None
        assert {c["user"] for c in asked["candidates"]} == {ann["user"], ben["user"]}
        refused = await client.call_tool("list_sessions", {"user": PHONE})
        assert refused.is_error
        assert "2 people share" in refused.content[0].text
        chosen = await call(client, "identify_user", phone=PHONE, call_id="CA1", user=ben["user"])
        assert chosen["user"] == ben["user"]
        assert (await call(client, "identify_user", phone=PHONE, call_id="CA1"))["user"] == ben["user"]
        assert (await call(client, "list_sessions", user="call:CA1"))["sessions"] == []


async def test_lines_of_a_call_over_sse(hosted: Any) -> None:
    token = hosted.token("voice", "bridge", "read,write,act-as")

    def line(number: int, role: str, content: str, second: int, status: str = "final") -> dict[str, Any]:
        at = f"2026-03-01T10:00:{second:02d}Z"
        return {"id": f"line-{number}", "role": role, "content": content, "occurred_at": at, "status": status}

    async with hosted.client(token, "sse", "legacy") as client:
        user = (await call(client, "identify_user", phone="+49 30 123456"))["user"]
        about: dict[str, Any] = {"user": user, "external_id": "CA7", "channel": "voice"}
        first = await call(client, "record_messages", messages=[line(1, "assistant", "Hello!", 0)], **about)
        await call(client, "record_messages", messages=[line(2, "user", "I would", 3, "partial")], **about)
        await call(client, "record_messages", messages=[line(2, "user", "I would like to", 3, "partial")], **about)
        final = line(2, "user", "I would like to book a table.", 3)
        replaced = await call(client, "record_messages", messages=[final], **about)
        assert replaced["recorded"] == [{"message_id": replaced["recorded"][0]["message_id"], "seq": 2}]
        again = await call(client, "record_messages", messages=[final], **about)
        assert again["duplicates"] == ["line-2"]
        late = await call(client, "record_messages", messages=[line(2, "user", "I would", 3, "partial")], **about)
        assert late["duplicates"] == ["line-2"]
        await call(client, "record_messages", messages=[line(4, "assistant", "For how ma", 9, "interrupted")], **about)
        await call(client, "record_messages", messages=[line(3, "user", "For Friday.", 6)], **about)
        session = first["session_id"]
    with hosted.http(token) as http:
        page = http.get(f"/api/v1/sessions/{session}/messages", params={"user": user}).json()
        rows = [(m["seq"], m["content"], m["status"], m["occurred_at"][-3:]) for m in page["messages"]]
    assert rows == [
        (1, "Hello!", "final", "00Z"),
        (2, "I would like to book a table.", "final", "03Z"),
        (3, "For how ma", "interrupted", "09Z"),
        (4, "For Friday.", "final", "06Z"),
    ]


async def until(condition: Callable[[], bool]) -> None:
    with anyio.fail_after(20):
        while not condition():
            await anyio.sleep(0.02)


@pytest.mark.filterwarnings("ignore:resources/subscribe is removed")
@pytest.mark.parametrize("transport", ["http", "sse"])
async def test_subscribers_hear_of_their_own_changes_alone(hosted: Any, transport: str) -> None:
    ann, ben = hosted.token(f"s-{transport}", "ann"), hosted.token(f"s-{transport}", "ben")
    heard: dict[str, list[str]] = {"ann": [], "ben": []}

    def listener(name: str) -> Callable[[Any], Awaitable[None]]:
        async def hear(message: Any) -> None:
            if getattr(message, "method", "") == "notifications/resources/updated":
                heard[name].append(str(message.params.uri))

        return hear

    async with (
        hosted.client(ann, transport, "legacy", message_handler=listener("ann")) as one,
        hosted.client(ben, transport, "legacy", message_handler=listener("ben")) as two,
    ):
        for client in (one, two):
            await client.subscribe_resource("memory://user/context")
        session = (await call(one, "start_session"))["session_id"]
        await one.subscribe_resource(f"memory://sessions/{session}")
        with pytest.raises(MCPError, match="was found"):
            await two.subscribe_resource(f"memory://sessions/{session}")
        await call(one, "upsert_user_context", values={"colour": "blue"})
        await call(one, "record_messages", **said("hello", session_id=session))
        await until(lambda: len(heard["ann"]) >= 2)
        await call(two, "upsert_user_context", values={"colour": "red"})
        await until(lambda: len(heard["ben"]) >= 1)
    assert heard["ben"] == ["memory://user/context"]
    assert set(heard["ann"]) == {"memory://user/context", f"memory://sessions/{session}"}


@pytest.mark.parametrize("transport", ["http", "sse"])
async def test_listeners_of_the_new_era_hear_of_their_own_changes_alone(hosted: Any, transport: str) -> None:
    ann, ben = hosted.token(f"l-{transport}", "ann"), hosted.token(f"l-{transport}", "ben")
    heard: list[str] = []
    async with hosted.client(ann, transport) as one, hosted.client(ben, transport) as two:
        async with (
            two.listen(resource_subscriptions=["memory://user/context"]) as events,
            anyio.create_task_group() as tg,
        ):

            async def hear() -> None:
                async for event in events:
                    heard.append(str(event.uri))

            tg.start_soon(hear)
            for _ in range(3):
                await call(one, "upsert_user_context", values={"colour": _})
            await anyio.sleep(0.3)
            assert heard == []
            with hosted.http(ben) as http:
                assert http.put("/api/v1/user/context", json={"values": {"colour": "red"}}).status_code == 200
            await until(lambda: bool(heard))
            tg.cancel_scope.cancel()
        session = (await call(one, "start_session"))["session_id"]
        with pytest.raises(MCPError, match="was found"):
            async with two.listen(resource_subscriptions=[f"memory://sessions/{session}"]):
                pass


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_a_client_goes_on_after_a_restart(hosted_factory: Any, mode: str) -> None:
    server = hosted_factory()
    token = server.token("acme", "ann")
    server.start()
    async with server.client(token, "http", mode) as client:
        first = await call(client, "record_messages", **said("before"), external_id="CA1")
        assert server.stop() == 0
        server.start()
        second = await call(client, "record_messages", **said("after"), external_id="CA1")
        assert second["session_id"] == first["session_id"]
        assert second["recorded"][0]["seq"] == 2
    assert "Traceback" not in server.log_path.read_text()


async def test_a_session_that_was_ended_stays_ended(hosted: Any) -> None:
    token = hosted.token("acme", "ender")
    opening = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "initialize",
        "params": {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "0"}},
    }
    headers = {"Accept": "application/json, text/event-stream"}
    with hosted.http(token, follow_redirects=False) as http:
        http.headers.update(headers)
        opened = http.post("/mcp", json=opening)
        about = {"Mcp-Session-Id": opened.headers["mcp-session-id"], "MCP-Protocol-Version": "2025-06-18"}
        ask = {"jsonrpc": "2.0", "id": 2, "method": "tools/list"}
        assert http.post("/mcp", json=ask, headers=about).status_code == 200
        assert http.delete("/mcp", headers=about).status_code == 200
        assert http.post("/mcp", json=ask, headers=about).status_code == 404
        unknown = {**about, "Mcp-Session-Id": "0" * 32}
        assert http.post("/mcp", json=ask, headers=unknown).status_code == 200


async def test_a_session_of_one_user_is_not_anothers(hosted: Any) -> None:
    ann, ben = hosted.token("own", "ann"), hosted.token("own", "ben")
    ask = {"jsonrpc": "2.0", "id": 2, "method": "tools/list"}
    with hosted.http(ann) as http, http.stream("GET", "/sse") as stream:
        lines = stream.iter_lines()
        where = next(line for line in lines if line.startswith("data:")).removeprefix("data:").strip()
        with hosted.http(ben) as other:
            assert other.post(where, json=ask).status_code == 404
        assert http.post(where, json=ask).status_code == 202


async def test_what_a_strategy_keeps_out_is_counted_over_the_protocol_and_over_rest(hosted: Any) -> None:
    token = hosted.token("acme", "counted")

    def saved() -> float:
        with hosted.http(token) as http:
            lines = http.get("/metrics").text.splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith("backstory_tokens_saved_total{"))

    async with hosted.client(token) as client:
        talk = [{"role": "user", "content": f"Line {number} about the boat."} for number in range(30)]
        session = (await call(client, "record_messages", messages=talk))["session_id"]
        before = saved()
        await call(client, "get_session_context", session_id=session)
        assert saved() == before, "nothing was kept out"
        await call(client, "get_session_context", session_id=session, strategy={"mode": "trim", "keep_turns": 5})
        by_protocol = saved() - before
        assert by_protocol > 25
        with hosted.http(token) as http:
            assert http.get(f"/api/v1/sessions/{session}/context", params={"mode": "trim"}).status_code == 200
        assert 0 < saved() - before - by_protocol < by_protocol, "ten turns are kept where nobody says how many"


async def test_each_strategy_is_credited_with_what_it_kept_out_itself(hosted: Any) -> None:
    token = hosted.token("acme", "modes")
    name = "backstory_tokens_saved_total"

    def saved() -> dict[str, float]:
        with hosted.http(token) as http:
            lines = [line for line in http.get("/metrics").text.splitlines() if line.startswith(name + "{")]
        return {re.findall(r'mode="(\w+)"', line)[0]: float(line.split()[-1]) for line in lines}

    talk: list[dict[str, Any]] = []
    for n in range(25):
        call_of = {"tool_name": "weather", "tool_call_id": f"c{n}"}
        talk += [
            {"role": "user", "content": f"What is the weather on day {n}?"},
            {"role": "assistant", "content": "I look.", **call_of},
            {"role": "tool", "content": f"Day {n} has rain and wind. " * 30, **call_of},
        ]
    async with hosted.client(token) as client:
        session = (await call(client, "record_messages", messages=talk))["session_id"]
        whole = (await call(client, "get_session_context", session_id=session, max_tokens=20_000))["tokens"]
        cut = await call(client, "get_session_context", session_id=session, max_tokens=1_000)
        assert cut["left_out"] > 0
        before, tokens = saved(), {}
        for mode in ("none", "trim", "summarize", "compact"):
            asked = {"session_id": session, "max_tokens": 20_000, "strategy": {"mode": mode, "keep_turns": 5}}
            tokens[mode] = (await call(client, "get_session_context", **asked))["tokens"]
            with hosted.http(token) as http:
                shown = {"max_tokens": 1_000, "mode": mode}
                assert http.get(f"/api/v1/sessions/{session}/context", params=shown).status_code == 200
        gained = {mode: value - before.get(mode, 0) for mode, value in saved().items()}
    assert gained.get("none", 0) == 0
    assert gained["compact"] == pytest.approx(2 * (whole - tokens["compact"]), rel=0.05), "through two doors"
    assert 0.6 * whole < gained["trim"] < 2 * whole, "all but five turns, then all but ten"
    assert 0.25 * whole < gained["summarize"] < 2 * whole
