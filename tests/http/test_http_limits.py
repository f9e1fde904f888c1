"""Sizes, rates, names: what is refused, and how it is said."""

import threading
import time
from typing import Any

import pytest

BIG = {"messages": [{"role": "user", "content": "x" * 3000}]}


def serve(factory: Any, **environ: Any) -> Any:
    return factory(environ={f"BACKSTORY_{name.upper()}": str(value) for name, value in environ.items()})


def test_a_body_that_is_too_large_is_413(hosted_factory: Any) -> None:
    server = serve(hosted_factory, max_body=20_000)
    token = server.token("acme", "ann")
    server.start()
    with server.http(token) as http:
        for path in ("/mcp", "/api/v1/sessions", "/messages/?session_id=0"):
            answer = http.post(path, content=b"x" * 20_001, headers={"Content-Type": "application/json"})
            assert answer.status_code == 413, path
            assert answer.json()["status"] == 413
        chunks = (b"x" * 1000 for _ in range(30))
        answer = http.post("/api/v1/sessions", content=chunks, headers={"Content-Type": "application/json"})
        assert answer.status_code == 413
        assert http.get("/api/v1/sessions").status_code == 200


def test_a_message_that_is_too_large_is_refused_everywhere(hosted_factory: Any) -> None:
    server = serve(hosted_factory, max_message=2000)
    token = server.token("acme", "ann")
    server.start()
    with server.http(token) as http:
        session = http.post("/api/v1/sessions", json={}).json()["session_id"]
        answer = http.post(f"/api/v1/sessions/{session}/messages", json=BIG)
        assert answer.status_code == 413
        assert "at most 2,000" in answer.json()["detail"]
        ok = {"messages": [{"role": "user", "content": "é" * 1000}]}
        assert http.post(f"/api/v1/sessions/{session}/messages", json=ok).status_code == 201


@pytest.mark.anyio
async def test_a_tool_refuses_a_message_that_is_too_large(hosted_factory: Any) -> None:
    server = serve(hosted_factory, max_message=2000)
    token = server.token("acme", "ann")
    server.start()
    async with server.client(token) as client:
        refused = await client.call_tool("record_messages", BIG)
        assert refused.is_error
        assert "at most 2,000" in refused.content[0].text
        listed = await client.call_tool("list_sessions", {})
        assert listed.structured_content["sessions"] == []


def test_a_token_that_sends_too_often_is_429_and_others_are_not(hosted_factory: Any) -> None:
    server = serve(hosted_factory, rate_per_minute=60, rate_burst=5)
    ann, ben = server.token("acme", "ann"), server.token("acme", "ben")
    server.start()
    with server.http(ann) as http, server.http(ben) as other:
        answers = [http.get("/api/v1/sessions") for _ in range(12)]
        refused = [answer for answer in answers if answer.status_code == 429]
        assert answers[0].status_code == 200
        assert refused
        wait = int(refused[-1].headers["retry-after"])
        assert 1 <= wait <= 2
        assert other.get("/api/v1/sessions").status_code == 200
        time.sleep(wait + 0.1)
        assert http.get("/api/v1/sessions").status_code == 200


def test_a_token_holds_only_so_many_streams(hosted_factory: Any) -> None:
    server = serve(hosted_factory, max_streams=2)
    token = server.token("acme", "ann")
    server.start()
    with server.http(token) as http, http.stream("GET", "/sse"), http.stream("GET", "/sse") as second:
        assert second.status_code == 200
        refused = http.get("/sse")
        assert refused.status_code == 429
        assert refused.headers["retry-after"]
    with server.http(token) as http:
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            with http.stream("GET", "/sse") as again:
                if again.status_code == 200:
                    return
            time.sleep(0.2)
    raise AssertionError("closed streams are still counted")


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1", 200),
        ("localhost:1234", 200),
        ("[::1]:80", 200),
        ("10.1.2.3", 200),
        ("evil.example.com", 421),
        ("localhost.evil.com", 421),
        ("127.0.0.1.nip.io", 421),
        ("", 421),
        ("memory.example.com", 200),
        ("user@127.0.0.1", 421),
    ],
)
def test_the_host_is_checked(named: Any, host: str, status: int) -> None:
    server, token = named
    with server.http(token) as http:
        assert http.get("/api/v1/sessions", headers={"Host": host}).status_code == status


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        (None, 200),
        ("http://localhost:3000", 200),
        ("https://app.example.com", 200),
        ("http://app.example.com", 403),
        ("https://evil.example.com", 403),
        ("https://app.example.com.evil.com", 403),
        ("null", 403),
        ("file://", 403),
    ],
)
def test_the_origin_is_checked(named: Any, origin: str | None, status: int) -> None:
    server, token = named
    headers = {"Origin": origin} if origin else {}
    with server.http(token) as http:
        for path in ("/api/v1/sessions", "/metrics"):
            assert http.get(path, headers=headers).status_code == status


@pytest.fixture(scope="module")
def named(tmp_path_factory: pytest.TempPathFactory, hosted: Any) -> Any:
    environ = {
        "BACKSTORY_ALLOWED_HOSTS": "memory.example.com",
        "BACKSTORY_ALLOWED_ORIGINS": "https://app.example.com",
    }
    server = type(hosted)(tmp_path_factory.mktemp("named") / "data", environ)
    token = server.token("acme", "ann")
    yield server.start(), token
    server.kill()


def test_cors_is_for_origins_that_may_call(named: Any) -> None:
    server, token = named
    ask = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,content-type"}
    with server.http() as http:
        yes = http.options("/mcp", headers={"Origin": "https://app.example.com", **ask})
        no = http.options("/mcp", headers={"Origin": "https://other.example.com", **ask})
    assert yes.status_code == 200
    assert yes.headers["access-control-allow-origin"] == "https://app.example.com"
    assert "authorization" in yes.headers["access-control-allow-headers"].lower()
    assert no.status_code == 403
    assert "access-control-allow-origin" not in no.headers
    with server.http(token) as http:
        answer = http.get("/api/v1/sessions", headers={"Origin": "https://app.example.com"})
    assert answer.headers["access-control-allow-origin"] == "https://app.example.com"
    assert "x-request-id" in answer.headers["access-control-expose-headers"].lower()


def test_many_requests_at_once_are_all_answered(hosted: Any) -> None:
    token = hosted.token("acme", "crowd")
    codes: list[int] = []

    def ask() -> None:
        with hosted.http(token) as http:
            codes.extend(http.get("/api/v1/sessions").status_code for _ in range(5))

    threads = [threading.Thread(target=ask) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert codes == [200] * 100
