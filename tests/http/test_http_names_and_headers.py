"""Whatever stands in a head, the answer is a refusal or an answer, never a failure of the server."""

import socket
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

PARSED = (
    *("Host", "Origin", "Accept", "Content-Type", "Content-Length", "Content-Encoding", "Transfer-Encoding", "Expect"),
    *("Authorization", "Mcp-Session-Id", "MCP-Protocol-Version", "Mcp-Method", "Mcp-Name", "Last-Event-ID"),
    *("Forwarded", "X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "If-Match", "If-None-Match", "Range"),
    *("traceparent", "tracestate", "baggage", "Cookie", "Upgrade", "Connection", "Access-Control-Request-Method"),
    *("Access-Control-Request-Headers", "Accept-Language", "User-Agent"),
)
PATHS = (
    *(
        "/mcp",
        "/sse",
        "/messages/",
        "/api/v1/sessions",
        "/api/v1/search",
        "/api/v1/openapi.json",
        "/healthz",
        "/readyz",
    ),
    *("/metrics", "/.well-known/oauth-protected-resource", "/.well-known/oauth-protected-resource/mcp", "/history"),
)
CRAFTED = (
    *(
        "[::1",
        "[",
        "]",
        "[::1]:",
        "[x]:[y",
        "http://[",
        "http://[::1",
        "http://[::1]:x",
        "http://a:99999999",
        "//",
        ":",
    ),
    *(
        "http://\u00bd.example",
        "a\u00bdb",
        "http://a\u2100b",
        "\ufb00",
        "99999999999999999999",
        "-1",
        "+5",
        "\u00b2",
        "1e9",
    ),
    *("Bearer", "Bearer ", "Bearer bst_", "Bearer bst_%_x", "Bearer a.b.c", "Bearer bst_\u00ff_\u00ff", "Basic abc"),
    *(
        "1.2.3.4, [::1",
        "[::1]:x",
        "1.2.3.4:x",
        'for="[',
        "unknown",
        "00-0-0-00",
        "00-" + "f" * 32 + "-" + "f" * 16 + "-01",
    ),
    *(
        "2025-06-18",
        "2026-07-28",
        "9999-99-99",
        "application/json, text/event-stream",
        "text/*;q=x",
        "application/json; charset=x",
    ),
    *("multipart/form-data", "multipart/form-data; boundary=", "application/x-www-form-urlencoded", "gzip", "chunked"),
)
QUERIES = (
    "",
    "session_id=",
    "session_id=" + "0" * 32,
    "%ff=%fe",
    "limit=\u00b2",
    "limit=" + "9" * 5000,
    "query=%00",
    "&&==",
    "a[b=c",
)
VALUES = st.sampled_from(CRAFTED) | st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=60)
BODIES = st.sampled_from(
    (b"", b"{}", b"[]", b"null", b'{"jsonrpc":"2.0","id":1,"method":"tools/list"}', b"\xff", b"[" * 50)
)


def asked(server: Any, head: str, body: bytes) -> bytes:
    """The first bytes that the server answers with; none where it closes."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as peer:
        peer.sendall(head.encode("latin1", "replace") + b"\r\n" + body)
        try:
            return peer.recv(200)
        except TimeoutError:
            return b"(waits)"
        except ConnectionError:
            return b""


@pytest.fixture(scope="module")
def behind_proxy(hosted: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    environ = {
        "BACKSTORY_TRUSTED_PROXIES": "127.0.0.0/8",
        "BACKSTORY_ALLOWED_ORIGINS": "https://app.example.com",
        "BACKSTORY_OAUTH_ISSUER": "http://127.0.0.1:9/issuer",
        "BACKSTORY_OAUTH_AUDIENCE": "backstory",
        "BACKSTORY_RATE_PER_MINUTE": "0",
    }
    server = type(hosted)(tmp_path_factory.mktemp("proxied") / "data", environ)
    token = server.token("acme", "ann", "read,write,admin")
    yield server.start(), token
    server.kill()
    assert not [line for line in server.log() if line["level"] in ("ERROR", "CRITICAL")]


@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(
    method=st.sampled_from(("GET", "POST", "DELETE", "OPTIONS", "HEAD", "PUT")),
    path=st.sampled_from(PATHS),
    query=st.sampled_from(QUERIES),
    headers=st.lists(st.tuples(st.sampled_from(PARSED), VALUES), max_size=4),
    known=st.booleans(),
    body=BODIES,
)
def test_no_head_breaks_the_server(
    behind_proxy: Any, method: str, path: str, query: str, headers: Any, known: bool, body: bytes
) -> None:
    server, token = behind_proxy
    given = {name.lower() for name, _ in headers}
    lines = [f"{method} {path}?{query} HTTP/1.1"]
    defaults = {
        "Host": "127.0.0.1",
        "Content-Type": "application/json",
        "Accept": "application/json, text/event-stream",
        "Content-Length": str(len(body)),
        "Connection": "close",
    }
    if known:
        defaults["Authorization"] = f"Bearer {token}"
    lines += [f"{name}: {value}" for name, value in defaults.items() if name.lower() not in given]
    lines += [f"{name}: {value}" for name, value in headers]
    slow = "content-length" in given or "transfer-encoding" in given  # then more of a body may be waited for
    answer = b"" if slow else asked(server, "\r\n".join(lines) + "\r\n", body)
    assert not answer.startswith(b"HTTP/1.1 50"), (lines, answer)
    assert answer != b"(waits)", lines


@pytest.mark.reliability
@pytest.mark.parametrize("name", PARSED)
def test_no_crafted_header_breaks_the_server(behind_proxy: Any, name: str, tried: Callable[[str, int], None]) -> None:
    tried("crafted header", 2 * len(CRAFTED))
    server, token = behind_proxy
    for value in CRAFTED:
        for path in ("/messages/", "/api/v1/sessions"):
            host = "" if name == "Host" else "Host: 127.0.0.1\r\n"
            proof = "" if name == "Authorization" else f"Authorization: Bearer {token}\r\n"
            head = f"GET {path} HTTP/1.1\r\n{host}{proof}{name}: {value}\r\nConnection: close\r\n"
            with socket.create_connection(("127.0.0.1", server.port), timeout=0.2) as peer:
                peer.sendall(head.encode("latin1", "replace") + b"\r\n")
                try:
                    answer = peer.recv(200)
                except (TimeoutError, ConnectionError):
                    answer = b""
            assert not answer.startswith(b"HTTP/1.1 500"), (name, value, answer)


@pytest.mark.parametrize(
    ("header", "status"),
    [
        ("Host: [::1", 421),
        ("Host: [x]:[y", 421),
        ("Host: a\u00bdb", 421),
        ("Host: 127.0.0.1\r\nOrigin: http://[", 403),
        ("Host: 127.0.0.1\r\nOrigin: http://[::1", 403),
        ("Host: 127.0.0.1\r\nOrigin: http://a\u00bdb", 403),
    ],
)
def test_a_name_that_cannot_be_one_is_refused(hosted: Any, header: str, status: int) -> None:
    answer = asked(hosted, f"GET /metrics HTTP/1.1\r\n{header}\r\nConnection: close\r\n", b"")
    assert answer.startswith(f"HTTP/1.1 {status}".encode()), answer
