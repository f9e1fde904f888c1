"""REST: the contract's routes, problems, pages, and no lost update."""

from collections.abc import Generator
from typing import Any

import pytest

USERS = iter(range(10_000))


@pytest.fixture
def http(hosted: Any) -> Generator[Any, None, None]:
    """A client for a user of its own."""
    with hosted.http(hosted.token("rest", f"user-{next(USERS)}")) as client:
        client.base_url = f"{hosted.url}/api/v1/"
        yield client


def start(http: Any, **values: Any) -> str:
    answer = http.post("sessions", json=values)
    assert answer.status_code == 201
    return str(answer.json()["session_id"])


def record(http: Any, session: str, *texts: str, **more: Any) -> Any:
    messages = [{"role": "user", "content": text, **more} for text in texts]
    return http.post(f"sessions/{session}/messages", json={"messages": messages})


def problem(answer: Any, status: int) -> str:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert set(body) == {"type", "title", "status", "detail"}
    assert body["status"] == status
    assert "Traceback" not in body["detail"]
    return str(body["detail"])


def test_a_session_from_start_to_archive(http: Any) -> None:
    session = start(http, title="Flat hunt", project_id="flat", channel="chat", external_id="T1")
    assert start(http, external_id="T1", project_id="flat") == session
    answer = record(http, session, "We look for three rooms.")
    assert answer.status_code == 201
    assert answer.json()["recorded"][0]["seq"] == 1
    shown = http.get(f"sessions/{session}").json()
    assert (shown["title"], shown["project_id"], shown["message_count"]) == ("Flat hunt", "flat", 1)
    renamed = http.patch(f"sessions/{session}", json={"title": "Three rooms", "archived": True}).json()
    assert renamed["title"] == "Three rooms"
    assert renamed["archived_at"]
    assert [s["session_id"] for s in http.get("sessions", params={"archived": True}).json()["sessions"]] == [session]
    assert http.patch(f"sessions/{session}", json={"archived": False}).json()["archived_at"] is None
    assert http.get("sessions", params={"project_id": "other"}).json()["sessions"] == []


def test_messages_come_in_pages_and_repeats_are_told(http: Any) -> None:
    session = start(http)
    record(http, session, *(f"line {n}" for n in range(25)))
    seen, cursor = [], None
    while True:
        page = http.get(f"sessions/{session}/messages", params={"limit": 10, **({"cursor": cursor} if cursor else {})})
        seen += [m["content"] for m in page.json()["messages"]]
        if (cursor := page.json()["next_cursor"]) is None:
            break
    assert seen == [f"line {n}" for n in range(25)]
    message = {"messages": [{"role": "user", "content": "once", "id": "m1"}]}
    assert http.post(f"sessions/{session}/messages", json=message).json()["duplicates"] == []
    assert http.post(f"sessions/{session}/messages", json=message).json()["duplicates"] == ["m1"]
    other = {"messages": [{"role": "user", "content": "another", "id": "m1"}]}
    assert "other content" in problem(http.post(f"sessions/{session}/messages", json=other), 409)


def test_sessions_come_in_pages(http: Any) -> None:
    made = [start(http, title=f"S{n}") for n in range(7)]
    seen, cursor = [], None
    while True:
        page = http.get("sessions", params={"limit": 3, **({"cursor": cursor} if cursor else {})}).json()
        seen += [s["session_id"] for s in page["sessions"]]
        if (cursor := page["next_cursor"]) is None:
            break
    assert sorted(seen) == sorted(made)


def test_what_was_recorded_is_found(http: Any) -> None:
    session = start(http)
    record(http, session, "The spare key is under the third flowerpot.")
    hits = http.get("search", params={"query": "where is the spare key"}).json()["hits"]
    assert [hit["content"] for hit in hits] == ["The spare key is under the third flowerpot."]
    topic = http.get("topic", params={"topic": "spare key", "max_tokens": 500}).json()
    assert topic["stretches"][0]["session_id"] == session
    context = http.get(f"sessions/{session}/context", params={"max_tokens": 500, "query": "key"}).json()
    assert context["tokens"] <= 500
    assert context["strategy"]["mode"] == "none"


def test_summaries_have_versions(http: Any) -> None:
    session = start(http)
    record(http, session, "I will send the papers by Friday.")
    assert http.get(f"sessions/{session}/summary").json()["version"] == 0
    own = {"summary": {"text": "Papers.", "commitments": [{"what": "send the papers", "by_when": "Friday"}]}}
    made = http.post(f"sessions/{session}/summary", json=own)
    assert made.status_code == 201
    assert made.json()["covers_to_seq"] == 1
    record(http, session, "I have sent them.")
    assert http.post(f"sessions/{session}/summary", json={}).json()["version"] == 2
    assert http.get(f"sessions/{session}/summary").json()["version"] == 2


def test_a_strategy_is_set_and_inherited_again(http: Any) -> None:
    session = start(http)
    record(http, session, *(f"line {n}" for n in range(6)))
    path = f"sessions/{session}/memory"
    assert http.patch(path, json={"strategy": {"mode": "trim", "keep_turns": 2}}).json()["mode"] == "trim"
    context = http.get(f"sessions/{session}/context").json()
    assert [m["content"] for m in context["messages"]] == ["line 4", "line 5"]
    assert context["strategy"]["decided_by"] == "session"
    assert http.patch(path, json={"strategy": None}).json()["mode"] == "none"
    assert len(http.get(f"sessions/{session}/context").json()["messages"]) == 6


def test_user_context_loses_no_update(http: Any) -> None:
    first = http.get("user/context")
    assert first.json() == {"entries": []}
    set_blue = http.put(
        "user/context", json={"values": {"colour": "blue"}}, headers={"If-Match": first.headers["etag"]}
    )
    assert set_blue.status_code == 200
    stale = http.put("user/context", json={"values": {"colour": "red"}}, headers={"If-Match": first.headers["etag"]})
    assert "has changed" in problem(stale, 412)
    now = http.get("user/context")
    assert now.headers["etag"] == set_blue.headers["etag"] != first.headers["etag"]
    assert http.get("user/context", headers={"If-None-Match": now.headers["etag"]}).status_code == 304
    assert http.get("user/context", headers={"If-None-Match": first.headers["etag"]}).status_code == 200
    assert http.put("user/context", json={"values": {"colour": None}}, headers={"If-Match": "*"}).status_code == 200
    assert http.get("user/context").json() == {"entries": []}
    history = http.get("user/context", params={"include_history": True}).json()["entries"]
    assert [entry["version"] for entry in history] == [1, 2]


def test_the_preamble_is_short(http: Any) -> None:
    http.put("user/context", json={"values": {"preferred_name": "Ann"}})
    preamble = http.get("user/preamble").json()
    assert "Ann" in preamble["text"]
    assert preamble["tokens"] <= 400


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "sessions/{}", None),
        ("PATCH", "sessions/{}", {"title": "x"}),
        ("GET", "sessions/{}/messages", None),
        ("POST", "sessions/{}/messages", {"messages": [{"role": "user", "content": "x"}]}),
        ("GET", "sessions/{}/summary", None),
        ("POST", "sessions/{}/summary", {"summary": {"text": "x"}}),
        ("GET", "sessions/{}/context", None),
        ("PATCH", "sessions/{}/memory", {"strategy": {"mode": "trim"}}),
        ("GET", "search?query=x&session_id={}", None),
        ("GET", "topic?topic=x&session_id={}", None),
    ],
)
def test_anothers_session_is_not_there(http: Any, hosted: Any, method: str, path: str, body: Any) -> None:
    with hosted.http(hosted.token("rest", "somebody-else")) as other:
        other.base_url = f"{hosted.url}/api/v1/"
        theirs = start(other)
        record(other, theirs, "x marks the spot")
    answers = [http.request(method, path.format(name), json=body) for name in (theirs, "ses_nobodys")]
    assert answers[0].status_code == answers[1].status_code
    assert answers[0].text.replace(theirs, "X") == answers[1].text.replace("ses_nobodys", "X")
    problem(answers[0], 404)


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "sessions?limit=0", None, 422),
        ("GET", "sessions?limit=many", None, 422),
        ("GET", "sessions?cursor=nonsense", None, 422),
        ("GET", "sessions?unknown=1", None, 422),
        ("GET", "sessions?channel=smoke", None, 422),
        ("GET", "search", None, 422),
        ("GET", "search?query=x&since=yesterday-ish", None, 422),
        ("GET", "search?query=x&days_back=nan", None, 422),
        ("POST", "sessions", {"surprise": 1}, 422),
        ("POST", "sessions", [], 422),
        ("PUT", "user/context", {}, 422),
        ("PUT", "user/context", {"values": {"k" * 300: 1}}, 422),
        ("GET", "nope", None, 404),
        ("DELETE", "search", None, 405),
        ("GET", "sessions?user=somebody", None, 404),
    ],
)
def test_a_refusal_is_a_problem(http: Any, method: str, path: str, body: Any, status: int) -> None:
    answer = http.request(method, path, json=body)
    problem(answer, status)
    if status == 405:
        assert answer.headers["allow"]


def test_what_is_not_json_is_refused(http: Any) -> None:
    for body in (b"", b"{", b"\xff", b"NaN"):
        answer = http.post("sessions", content=body, headers={"Content-Type": "application/json"})
        assert answer.status_code in (400, 422)
        problem(answer, answer.status_code)


def test_odd_characters_come_back_as_they_went(http: Any) -> None:
    session = start(http, title="a/b ?#%")
    text = "NUL \x00, tab \t, emoji 🪴, arabic مرحبا"
    assert record(http, session, text).status_code == 201
    assert http.get(f"sessions/{session}/messages").json()["messages"][0]["content"] == text
    half = b'{"messages": [{"role": "user", "content": "\\ud800"}]}'
    answer = http.post(f"sessions/{session}/messages", content=half, headers={"Content-Type": "application/json"})
    assert "surrogate" in problem(answer, 422)


def test_the_document_names_every_route_of_the_contract(http: Any) -> None:
    paths = http.get("openapi.json").json()["paths"]
    wanted = {
        "/sessions": {"get"},
        "/sessions/{session_id}": {"get", "patch"},
        "/sessions/{session_id}/messages": {"get", "post"},
        "/sessions/{session_id}/summary": {"get", "post"},
        "/sessions/{session_id}/context": {"get"},
        "/sessions/{session_id}/memory": {"patch"},
        "/search": {"get"},
        "/topic": {"get"},
        "/user/context": {"get", "put"},
        "/user/preamble": {"get"},
        "/user/profile": {"get"},
    }
    for path, methods in wanted.items():
        assert methods <= set(paths[f"/api/v1{path}"])
    for operations in paths.values():
        for operation in operations.values():
            assert {"401", "404", "422", "429"} <= set(operation["responses"])
