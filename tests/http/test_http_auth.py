"""No token, no answer; a token is one user's, and ends when it is revoked."""

import json
import threading
import time
from datetime import timedelta
from typing import Any

import anyio
import pytest

from memory.model import Owner
from memory.people.api_tokens import revoke
from server.http.auth import Lanes
from server.http.principal import Principal
from server.opening import utc_now

PATHS = [
    *(
        "/mcp",
        "/sse",
        "/messages/",
        "/messages",
        "/metrics",
        "/api/v1/sessions",
        "/api/v1/openapi.json",
        "/api/v1/nope",
    ),
    *("/", "/history", "/nope", "/well-known", "/healthz/", "/HEALTHZ", "/readyz/x"),
    *("//healthz", "/healthz/../mcp"),
]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "OPTIONS", "PUT"])
def test_every_path_but_health_needs_a_token(hosted: Any, path: str, method: str) -> None:
    with hosted.http() as http:
        answer = http.request(method, path, json={})
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == 'Bearer realm="backstory"'
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_health_needs_none(hosted: Any, path: str) -> None:
    with hosted.http() as http:
        assert http.get(path).status_code == 200


@pytest.mark.parametrize(
    "header",
    [
        "Bearer",
        "Basic YTpi",
        "bst_x_y",
        "Bearer bst_",
        "Bearer bst_00_x",
        "Bearer é",
        "Bearer " + "x" * 5000,
    ],
)
def test_what_is_no_token_is_refused(hosted: Any, header: str) -> None:
    with hosted.http() as http:
        answer = http.get("/api/v1/sessions", headers={"Authorization": header.encode("latin-1")})
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer realm=")


def test_an_altered_token_is_invalid(hosted: Any) -> None:
    good = hosted.token("acme", "ann")
    for bad in (good[:-1], good + "x", good.swapcase(), good.replace("bst_", "bst_0"), good[:20]):
        with hosted.http(bad) as http:
            answer = http.get("/api/v1/sessions")
        assert answer.status_code == 401
        assert 'error="invalid_token"' in answer.headers["www-authenticate"]
    with hosted.http(good) as http:
        assert http.get("/api/v1/sessions").status_code == 200


def test_two_headers_are_none(hosted: Any) -> None:
    good = hosted.token("acme", "ann")
    headers = [("Authorization", f"Bearer {good}"), ("Authorization", f"Bearer {good}")]
    with hosted.http() as http:
        assert http.get("/api/v1/sessions", headers=headers).status_code == 401


def test_a_revoked_token_ends_at_once(hosted: Any) -> None:
    token = hosted.token("acme", "ann")
    with hosted.http(token) as http:
        assert http.get("/api/v1/sessions").status_code == 200
        with hosted.directory() as directory:
            revoke(directory, token.split("_")[1], utc_now)
        assert http.get("/api/v1/sessions").status_code == 401


def test_an_expired_token_ends(hosted: Any) -> None:
    token = hosted.token("acme", "ann", lifetime=timedelta(seconds=4))
    ends = time.monotonic() + 4
    with hosted.http(token) as http:
        assert http.get("/api/v1/sessions").status_code == 200
        time.sleep(max(0, ends - time.monotonic()) + 0.2)
        assert http.get("/api/v1/sessions").status_code == 401


def test_a_revoked_token_loses_its_open_stream(hosted: Any) -> None:
    token = hosted.token("acme", "ann")
    with hosted.http(token) as http, http.stream("GET", "/sse") as stream:
        lines = stream.iter_lines()
        assert next(lines) == "event: endpoint"
        with hosted.directory() as directory:
            revoke(directory, token.split("_")[1], utc_now)
        started = time.monotonic()
        assert not [line for line in lines if line and not line.startswith((":", "data:"))]
        assert time.monotonic() - started < 15


@pytest.mark.parametrize(
    ("rights", "allowed", "refused"),
    [("read", ["GET"], ["POST"]), ("write", ["POST"], ["GET"]), ("read,write", ["GET", "POST"], [])],
)
def test_rights_are_asked_for(hosted: Any, rights: str, allowed: list[str], refused: list[str]) -> None:
    with hosted.http(hosted.token("acme", "ann", rights)) as http:
        done = {"GET": http.get("/api/v1/sessions"), "POST": http.post("/api/v1/sessions", json={})}
    assert all(done[method].status_code < 300 for method in allowed)
    assert all(done[method].status_code == 403 for method in refused)
    assert all("lacks the right" in done[method].json()["detail"] for method in refused)


def test_the_log_has_no_secret_and_no_content(hosted: Any) -> None:
    token = hosted.token("acme", "log-reader", "read,write,act-as")
    with hosted.http(token) as http:
        session = http.post("/api/v1/sessions", json={"title": "SECRET-TITLE"}).json()["session_id"]
        http.post(
            f"/api/v1/sessions/{session}/messages", json={"messages": [{"role": "user", "content": "SECRET-WORD"}]}
        )
        http.get("/api/v1/search", params={"query": "SECRET-WORD"})
        http.get("/api/v1/sessions", params={"user": "+491707654321"})
        http.get("/api/v1/sessions/SECRET-ID")
        http.get("/SECRET-PATH", headers={"X-Anything": "SECRET-HEADER"})
        http.post("/mcp", content=b'{"SECRET-BODY": "SECRET')
        http.post("/messages/?session_id=00000000000000000000000000000000", content=b"SECRET-TOO")
    text = hosted.log_path.read_text()
    assert "SECRET" not in text
    assert "7654321" not in text
    assert token not in text
    assert token.split("_", 2)[2] not in text
    lines = [line for line in hosted.log() if line.get("token") == token.split("_")[1]]
    routes = {(line["method"], line["route"], line["status"]) for line in lines}
    assert ("POST", "/api/v1/sessions/{session_id}/messages", 201) in routes
    assert ("GET", "/api/v1/sessions/{session_id}", 404) in routes
    assert ("GET", "unmatched", 404) in routes
    assert all(len(line["request_id"]) == 16 for line in lines)


def test_the_answer_names_its_line_in_the_log(hosted: Any) -> None:
    with hosted.http(hosted.token("acme", "ann")) as http:
        request_id = http.get("/api/v1/sessions").headers["x-request-id"]
    assert any(line.get("request_id") == request_id for line in hosted.log())


def test_last_use_is_recorded_without_a_write_for_each_request(hosted_factory: Any) -> None:
    server = hosted_factory()
    token = server.token("acme", "ann")
    server.start()
    with server.http(token) as http:
        for _ in range(5):
            assert http.get("/api/v1/sessions").status_code == 200
    with server.directory() as directory:
        assert directory.token(token.split("_")[1]).last_used_at is None
    assert server.stop() == 0
    with server.directory() as directory:
        assert directory.token(token.split("_")[1]).last_used_at is not None


def test_too_many_bad_tokens_from_one_address_are_slowed_down(hosted_factory: Any) -> None:
    server = hosted_factory().start()
    with server.http("bst_0_0") as http:
        answers = [http.get("/api/v1/sessions") for _ in range(80)]
    codes = [answer.status_code for answer in answers]
    assert codes[0] == 401
    assert codes[-1] == 429
    assert int(answers[-1].headers["retry-after"]) >= 1


def test_every_log_line_is_json_even_when_a_body_is_broken(hosted: Any) -> None:
    with hosted.http(hosted.token("acme", "ann")) as http:
        for body in (b"", b"\xff\xfe", b"[" * 2000, b'{"jsonrpc":"2.0"}', b"null"):
            for path in ("/mcp", "/api/v1/sessions"):
                answer = http.post(path, content=body, headers={"Content-Type": "application/json"})
                assert 400 <= answer.status_code < 500
    for line in hosted.log_path.read_text().splitlines():
        json.loads(line)


def test_a_good_token_is_heard_whatever_came_from_its_address(hosted_factory: Any) -> None:
    server = hosted_factory()
    token = server.token("acme", "ann")
    server.start()
    with server.http() as http:
        codes = [http.get("/mcp", headers={"Authorization": f"Bearer bst_{n:016x}_no"}).status_code for n in range(75)]
    assert codes[0] == 401
    assert codes[-1] == 429
    with server.http(token) as http:
        assert http.get("/api/v1/sessions").status_code == 200


@pytest.mark.anyio
async def test_a_flood_of_made_up_tokens_keeps_no_known_one_waiting() -> None:
    release = threading.Event()
    principal = Principal(Owner("acme", "ann"), frozenset(), "key")
    looked_at: list[str] = []

    def verify(token: str) -> Principal | None:
        looked_at.append(token)
        if token == "good":
            return principal
        release.wait(20)
        return None

    lanes = Lanes(verify)
    assert await lanes("good") == principal
    async with anyio.create_task_group() as tasks:
        for n in range(500):
            tasks.start_soon(lanes, f"bad {n}")
        await anyio.sleep(0.1)
        with anyio.fail_after(5):
            assert await lanes("good") == principal
        assert len(looked_at) < 10
        release.set()
    count = len(looked_at)
    assert await lanes("bad 7") is None
    assert await lanes("x" * 100_000) is None
    assert len(looked_at) == count
