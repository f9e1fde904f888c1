"""What real clients send at the door is taken: slashes, Accept headers, preflights, and the search for OAuth."""

import json
from typing import Any

import pytest
from mcp import Client
from starlette.datastructures import Headers

from server.http.manners import Accepted, AsJson

HELLO = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}
INITIALIZE = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": HELLO}
MODERN = "2026-07-28"
BOTH = "application/json, text/event-stream"
PREFLIGHT = {
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "authorization,content-type,mcp-protocol-version,mcp-param-project",
}


def search(number: int = 2, meta: dict[str, Any] | None = None) -> dict[str, Any]:
    arguments = {"query": "bicycle"}
    params = {"name": "search_conversation_history", "arguments": arguments} | ({"_meta": meta} if meta else {})
    return {"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": params}


def modern_headers() -> dict[str, str]:
    return {
        "MCP-Protocol-Version": MODERN,
        "Mcp-Method": "tools/call",
        "Mcp-Name": "search_conversation_history",
    }


def modern_search() -> dict[str, Any]:
    return search(
        meta={
            "io.modelcontextprotocol/protocolVersion": MODERN,
            "io.modelcontextprotocol/clientCapabilities": {},
            "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
        }
    )


@pytest.mark.parametrize("path", ["/mcp", "/mcp/", "/mcp//"])
def test_a_slash_at_the_end_changes_nothing(hosted: Any, path: str) -> None:
    with hosted.http(hosted.token("acme", "slash")) as http:
        opened = http.post(path, json=INITIALIZE, headers={"Accept": BOTH})
        assert (opened.status_code, opened.history) == (200, [])
        session = {"Mcp-Session-Id": opened.headers["mcp-session-id"], "Accept": BOTH}
        assert '"result"' in http.post(path, json=search(), headers=session).text
        with http.stream("GET", path, headers=session) as stream:
            assert stream.headers["content-type"].startswith("text/event-stream")
        assert http.delete(path, headers=session).status_code == 200
        again = http.post(path, json=modern_search(), headers=modern_headers() | {"Accept": BOTH})
        assert again.json()["result"]["structuredContent"]["hits"] == []
    with hosted.http() as http:
        assert http.post(path, json=INITIALIZE).status_code == 401


@pytest.mark.parametrize("slash", ["", "/"])
def test_sse_and_its_messages_with_and_without_a_slash(hosted: Any, slash: str) -> None:
    with hosted.http(hosted.token("acme", "sse-slash")) as http, http.stream("GET", f"/sse{slash}") as stream:
        lines = (line for line in stream.iter_lines() if line.startswith("data: "))
        query = next(lines).partition("?")[2]
        assert http.post(f"/messages{slash}?{query}", json=INITIALIZE).status_code == 202
        assert json.loads(next(lines).removeprefix("data: "))["result"]["serverInfo"]["name"] == "backstory"


def test_rest_with_a_slash(hosted: Any) -> None:
    with hosted.http(hosted.token("acme", "rest-slash")) as http:
        for path in ("/api/v1/sessions", "/api/v1/search?query=bicycle", "/api/v1/user/context"):
            plain, slashed = http.get(path), http.get(path.replace("?", "/?") if "?" in path else path + "/")
            assert (slashed.status_code, slashed.content) == (plain.status_code, plain.content)
            assert slashed.status_code == 200
        begun = http.post("/api/v1/sessions/", json={"title": "Bicycles"})
        assert begun.status_code == http.post("/api/v1/sessions", json={"title": "More"}).status_code
        assert http.get("/api/v1/sessions/nobody/").status_code == 404


@pytest.mark.parametrize(
    "accept",
    [
        "application/json",
        "*/*",
        "application/*",
        "Application/JSON; charset=utf-8",
        "application/json, text/plain, */*",
        "application/json;q=0.9, text/event-stream;q=0",
        "application/json, text/event-stream;q=0.3",
        "",
        None,
    ],
)
def test_json_alone_is_answered_with_json(hosted: Any, accept: str | None) -> None:
    given = {} if accept is None else {"Accept": accept}
    with hosted.http(hosted.token("acme", "json")) as http:
        if accept is None:
            del http.headers["accept"]
        opened = http.post("/mcp", json=INITIALIZE, headers=given)
        assert opened.status_code == 200
        assert opened.headers["content-type"] == "application/json"
        assert opened.json()["result"]["protocolVersion"] == "2025-06-18"
        session = {"Mcp-Session-Id": opened.headers["mcp-session-id"], **given}
        told = http.post("/mcp", json={"jsonrpc": "2.0", "method": "notifications/initialized"}, headers=session)
        assert told.status_code == 202
        found = http.post("/mcp", json=search(7), headers=session)
        assert found.headers["content-type"] == "application/json"
        assert found.json()["id"] == 7
        assert found.json()["result"]["structuredContent"]["hits"] == []
        unknown = http.post("/mcp", json={"jsonrpc": "2.0", "id": 8, "method": "nope"}, headers=session)
        assert unknown.json()["error"]["code"] == -32601
        modern = http.post("/mcp", json=modern_search(), headers=modern_headers() | given)
        assert (modern.status_code, modern.headers["content-type"]) == (200, "application/json")
        assert modern.json()["result"]["structuredContent"]["hits"] == []


def test_one_session_is_answered_each_time_as_it_asks(hosted: Any) -> None:
    with hosted.http(hosted.token("acme", "both")) as http:
        opened = http.post("/mcp", json=INITIALIZE, headers={"Accept": "application/json"})
        session = {"Mcp-Session-Id": opened.headers["mcp-session-id"]}
        for accept, kind in ((BOTH, "text/event-stream"), ("*/*", "application/json"), (BOTH, "text/event-stream")):
            answer = http.post("/mcp", json=search(), headers=session | {"Accept": accept})
            assert answer.headers["content-type"].startswith(kind)


@pytest.mark.parametrize("accept", ["text/html", "text/event-stream", "application/json;q=0", "image/*"])
@pytest.mark.parametrize("era", [{}, {"MCP-Protocol-Version": MODERN, "Mcp-Method": "tools/call"}])
def test_what_takes_no_json_is_not_acceptable(hosted: Any, accept: str, era: dict[str, str]) -> None:
    with hosted.http(hosted.token("acme", "html")) as http:
        assert http.post("/mcp", json=INITIALIZE, headers={"Accept": accept, **era}).status_code == 406


def test_a_stream_is_opened_by_those_alone_who_take_one(hosted: Any) -> None:
    with hosted.http(hosted.token("acme", "stream")) as http:
        opened = http.post("/mcp", json=INITIALIZE, headers={"Accept": "application/json"})
        session = {"Mcp-Session-Id": opened.headers["mcp-session-id"]}
        assert http.get("/mcp", headers=session | {"Accept": "application/json"}).status_code == 406


@pytest.mark.parametrize(
    ("accept", "alone", "header"),
    [
        ("application/json, text/event-stream", False, BOTH),
        ("text/event-stream, application/json", False, BOTH),
        ("text/*, application/*", False, BOTH),
        ("text/event-stream, */*", False, BOTH),
        ("*/*", True, BOTH),
        ("application/json;q=0.2, text/event-stream;q=0.8", False, BOTH),
        ("application/json; q = 0.5", True, "application/json"),
        ("application/json;q=nonsense", True, "application/json"),
        ("text/event-stream", False, "text/event-stream"),
        ("text/html", False, ""),
    ],
)
def test_what_an_accept_header_asks_for(accept: str, alone: bool, header: str) -> None:
    found = Accepted.of(Headers({"accept": accept}))
    assert (found.json_alone, found.header()) == (alone, header)


@pytest.mark.anyio
async def test_what_stands_before_the_answer_is_left_out_of_json() -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    answer = AsJson(send)
    stream = [(b"content-type", b"text/event-stream"), (b"mcp-session-id", b"abc")]
    await answer({"type": "http.response.start", "status": 200, "headers": stream})
    for piece in (b': ping\r\n\r\nevent: message\r\ndata: {"meth', b'od":"n"}\r\n\r\nevent: message\r\n'):
        await answer({"type": "http.response.body", "body": piece, "more_body": True})
    await answer({"type": "http.response.body", "body": b'data: {"id":1,"result":{}}\r\n\r\n', "more_body": False})
    assert sent[-1]["body"] == b'{"id":1,"result":{}}'
    headers = dict(sent[0]["headers"])
    assert headers[b"content-type"] == b"application/json"
    assert headers[b"content-length"] == b"20"
    assert headers[b"mcp-session-id"] == b"abc"


@pytest.mark.parametrize("path", ["/mcp", "/mcp/", "/sse", "/messages/", "/messages", "/api/v1/sessions", "/healthz"])
@pytest.mark.parametrize("origin", ["http://localhost:6274", "http://127.0.0.1:3000", "http://[::1]:8080"])
def test_a_preflight_is_answered_where_the_call_is_admitted(hosted: Any, path: str, origin: str) -> None:
    with hosted.http() as http:
        asked = http.options(path, headers={"Origin": origin, **PREFLIGHT})
    assert asked.status_code == 200
    assert asked.headers["access-control-allow-origin"] == origin
    assert "origin" in asked.headers["vary"].lower()
    allowed = asked.headers["access-control-allow-headers"].lower()
    assert all(name in allowed for name in PREFLIGHT["Access-Control-Request-Headers"].split(","))
    assert "POST" in asked.headers["access-control-allow-methods"]
    assert "access-control-allow-credentials" not in asked.headers


def test_a_page_may_read_the_answer_and_its_session(hosted: Any) -> None:
    with hosted.http(hosted.token("acme", "page")) as http:
        answer = http.post("/mcp", json=INITIALIZE, headers={"Accept": BOTH, "Origin": "http://localhost:6274"})
        assert answer.headers["access-control-allow-origin"] == "http://localhost:6274"
        assert "mcp-session-id" in answer.headers["access-control-expose-headers"].lower()
    with hosted.http() as http:
        refused = http.post("/mcp", json=INITIALIZE, headers={"Origin": "http://localhost:6274"})
        assert refused.status_code == 401
        assert refused.headers["access-control-allow-origin"] == "http://localhost:6274"
        assert "www-authenticate" in refused.headers["access-control-expose-headers"].lower()


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://localhost.evil.example"])
def test_a_preflight_of_a_page_that_may_not_call_is_refused(hosted: Any, origin: str) -> None:
    with hosted.http() as http:
        asked = http.options("/mcp", headers={"Origin": origin, **PREFLIGHT})
        health = http.get("/healthz", headers={"Origin": origin})
    assert asked.status_code == 403
    assert "access-control-allow-origin" not in asked.headers
    assert "access-control-allow-origin" not in health.headers


@pytest.mark.parametrize(
    "path",
    [
        "/.well-known/oauth-protected-resource",
        "/.well-known/oauth-protected-resource/mcp",
        "/.well-known/oauth-protected-resource/sse",
        "/.well-known/oauth-authorization-server",
        "/.well-known/oauth-authorization-server/mcp",
        "/.well-known/openid-configuration",
        "/mcp/.well-known/openid-configuration",
        "/register",
        "/authorize",
        "/token",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_where_there_is_no_oauth_nothing_is_found(hosted: Any, path: str, method: str) -> None:
    for token in (None, "bst_made_up"):
        with hosted.http(token) as http:
            answer = http.request(method, path)
        assert answer.status_code == 404
        assert "www-authenticate" not in answer.headers


def deep(levels: int) -> str:
    body = json.dumps(INITIALIZE | {"id": "deep", "method": "tools/call", "params": {"name": "x", "arguments": "DEEP"}})
    return body.replace('"DEEP"', '{"a":' * levels + "1" + "}" * levels)


@pytest.mark.parametrize("levels", [250, 5_000, 100_000])
@pytest.mark.parametrize("era", [{}, {"MCP-Protocol-Version": MODERN, "Mcp-Method": "tools/call", "Mcp-Name": "x"}])
def test_nesting_beyond_the_limit_is_said_to_be_that(hosted: Any, levels: int, era: dict[str, str]) -> None:
    with hosted.http(hosted.token("acme", "deep")) as http:
        headers = {"Accept": BOTH, "Content-Type": "application/json", **era}
        answer = http.post("/mcp", content=deep(levels), headers=headers)
        assert answer.status_code == 400
        assert "nested too deeply; at most 200 levels" in answer.json()["error"]["message"]
        assert answer.json()["id"] == "deep"
        rest = http.post(
            "/api/v1/sessions/s/messages",
            content='{"messages":' + "[" * levels + "]" * levels + "}",
            headers={"Content-Type": "application/json"},
        )
        assert rest.status_code in (400, 422)
        assert "nested too deeply; at most 200 levels" in rest.json()["detail"]
        assert "Parse error" in http.post("/mcp", content=deep(3)[:-1], headers=headers).json()["error"]["message"]


def test_nesting_is_said_of_messages_for_sse(hosted: Any) -> None:
    with hosted.http(hosted.token("acme", "deep-sse")) as http, http.stream("GET", "/sse") as stream:
        lines = (line for line in stream.iter_lines() if line.startswith("data: "))
        query = next(lines).partition("?")[2]
        headers = {"Content-Type": "application/json"}
        answer = http.post(f"/messages/?{query}", content=deep(500), headers=headers)
        assert answer.status_code == 400
        assert "nested too deeply" in answer.text


WRITING = {
    *("record_messages", "upsert_user_context", "summarize_session", "start_session", "archive_session"),
    "set_memory_strategy",
}


@pytest.mark.parametrize(("transport", "mode"), [("http", "legacy"), ("http", "auto"), ("sse", "legacy")])
@pytest.mark.anyio
async def test_a_token_that_only_reads_is_not_shown_what_writes(hosted_factory: Any, transport: str, mode: Any) -> None:
    server = hosted_factory(environ={"BACKSTORY_TOOLS": "full"})
    reads, writes = server.token("acme", "ann", "read"), server.token("acme", "ben", "read,write")
    server.start()

    async def shown(client: Client) -> set[str]:
        assert client.instructions is not None
        names = await tools(client)
        assert ("record_messages" in client.instructions) == bool(names & WRITING)
        return names

    async def tools(client: Client) -> set[str]:
        listed = await client.list_tools()
        assert getattr(listed, "cache_scope", None) in (None, "private")
        return {tool.name for tool in listed.tools}

    async with server.client(writes, transport, mode) as client:
        whole = await shown(client)
        assert whole >= WRITING
    async with server.client(reads, transport, mode) as client:
        assert await shown(client) == whole - WRITING
        said = {"messages": [{"role": "user", "content": "x"}]}
        refused = await client.call_tool("record_messages", said)
        assert refused.is_error
        assert "lacks the right 'write'" in refused.content[0].text
        prompt: Any = await client.get_prompt("start_with_memory", {})
        assert "record" not in prompt.messages[0].content.text
