"""Nothing that a client chose stands in the log, at whichever door it knocks."""

import contextlib
import json
import logging
import socket
from typing import Any

import pytest

from memory.errors import NotFound, Unavailable
from server.log_lines import PlainLines, failure_of, text_of

MARK = "Markiert7"
HEADERS = {
    **dict.fromkeys(("User-Agent", "Referer", "Cookie", "X-Request-Id", "X-Forwarded-For", "Mcp-Name", "Accept"), MARK),
    **dict.fromkeys(
        ("Mcp-Session-Id", "MCP-Protocol-Version", "Mcp-Method", "Last-Event-ID", "traceparent", MARK), MARK
    ),
}
MCP = {"Accept": "application/json, text/event-stream", "User-Agent": MARK}


def call(name: str, **arguments: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": MARK, "method": "tools/call", "params": {"name": name, "arguments": arguments}}


def raw(server: Any, text: str) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as peer:
        peer.sendall(text.encode("latin1"))
        peer.settimeout(0.5)
        with contextlib.suppress(OSError):
            peer.recv(500)


def test_the_log_says_nothing_that_a_client_chose(hosted_factory: Any) -> None:
    server = hosted_factory(environ={"BACKSTORY_LOG_LEVEL": "DEBUG", "BACKSTORY_TOOLS": "full"})
    token = server.token("acme", "ann")
    server.start()
    with server.http() as stranger, server.http(token) as http:
        for path in (
            f"/{MARK}",
            f"/mcp?{MARK}={MARK}",
            f"/api/v1/sessions/{MARK}",
            f"/healthz?{MARK}",
            "/sse",
            "/messages/",
        ):
            stranger.get(path, headers={**HEADERS, "Authorization": f"Bearer {MARK}"})
            stranger.request(MARK.upper(), path, headers={"Host": MARK})
            stranger.get(path, headers={"Origin": f"http://{MARK}"})
            if path != "/sse":
                http.get(path, headers=HEADERS)
                http.post(path, headers={**HEADERS, "Content-Type": MARK}, content=MARK)
                http.post(path, json={MARK: MARK, "messages": MARK})
        http.post(f"/messages/?session_id={MARK}", json={})
        http.post("/messages/?session_id=" + "a" * 32, json={MARK: MARK})
        for body in (
            {"jsonrpc": "2.0", "id": 1, "method": MARK, "params": {MARK: MARK}},
            {"jsonrpc": "2.0", "method": f"notifications/{MARK}", "params": {MARK: MARK}},
            {"jsonrpc": "2.0", "id": MARK, "method": "resources/read", "params": {"uri": f"memory://sessions/{MARK}"}},
            {"jsonrpc": "2.0", "id": MARK, "method": "prompts/get", "params": {"name": MARK}},
            call(MARK, **{MARK: MARK}),
            call("search_conversation_history", query=MARK, user=MARK, session_id=MARK),
            call("record_messages", messages=[{"role": "user", "content": MARK, "id": MARK}], external_id=MARK),
            call("record_messages", messages=[{"role": MARK, "content": MARK}], project_id=MARK),
            call("summarize_session", session_id=MARK),
        ):
            http.post("/mcp", json=body, headers=MCP)
            http.post("/mcp", json=body, headers={**MCP, "Mcp-Session-Id": MARK, "MCP-Protocol-Version": "2025-06-18"})
        hello = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": MARK, "version": MARK}}
        http.post("/mcp", json={"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello}, headers=MCP)
        http.get("/api/v1/search", params={"query": MARK, "session_id": MARK})
        http.post("/api/v1/sessions", json={"title": MARK, "external_id": MARK})
        http.get(f"/api/v1/user/context?keys={MARK}")
    raw(server, f"{MARK}\r\n\r\n")
    raw(server, f"GET / HTTP/1.1\r\n{MARK}\r\n\r\n")
    raw(server, f"GET /mcp HTTP/1.1\r\nHost: localhost\r\nUpgrade: {MARK}\r\nConnection: upgrade\r\n\r\n")
    server.stop()
    text = server.log_path.read_text()
    assert MARK.lower() not in text.lower(), [line for line in text.splitlines() if MARK.lower() in line.lower()][:3]
    assert all(json.loads(line) for line in text.splitlines())


def record(name: str, message: str, *args: object, error: BaseException | None = None) -> logging.LogRecord:
    raised = (type(error), error, None) if error is not None else None
    return logging.LogRecord(name, logging.ERROR, "/somewhere/library.py", 7, message, args, raised, func="work")


@pytest.mark.parametrize(
    ("made", "text"),
    [
        (record("mcp.server", f"Could not find {MARK}"), "library.py:7 work"),
        (record("mcp.server", "Could not find %r", MARK), "library.py:7 work: Could not find %r"),
        (record("backstory.x", "Failed: %s", NotFound("session", MARK)), "Failed: NotFound"),
        (record("backstory.x", "Failed: %s", ValueError(MARK)), "Failed: ValueError"),
        (record("backstory.x", "%s", Unavailable("The disk is full.")), "The disk is full."),
        (record("py.warnings", "%s", f"/a/b.py:3: UserWarning: {MARK}\n  raise {MARK}"), "/a/b.py:3: UserWarning"),
    ],
)
def test_a_line_tells_a_place_rather_than_others_words(made: logging.LogRecord, text: str) -> None:
    assert text_of(made) == text


def test_a_failure_is_its_kind_and_its_place() -> None:
    made = record("backstory.x", "It broke", error=ExceptionGroup(MARK, [ValueError(MARK)]))
    assert failure_of(made) == ("ValueError", [])
    assert MARK not in PlainLines().format(made)
