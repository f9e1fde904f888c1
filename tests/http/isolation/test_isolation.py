"""Nobody reaches another's memory: every way in is tried with other people's ids, names, cursors and words.

Each attempt is made twice, with something of another user and with something that nobody has; apart from what was sent,
both answers must be the same, and neither may hold a word, id or title of anybody else.
"""

import json
import threading
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest
from mcp.types import PromptReference, ResourceTemplateReference

pytestmark = pytest.mark.anyio
ATTEMPTS = 2000


Attempt = tuple[str, Callable[[str], Any]]


def attempts(i: Any, victim: Any) -> list[tuple[str, list[str], Callable[[str], Any]]]:
    """(name, what of the victim's to try, how)."""
    template = ResourceTemplateReference(uri="memory://sessions/{session_id}")
    prompt = PromptReference(name="recall_topic")
    sessions, words = victim.sessions[:2], [victim.word, f"Title {victim.word}"]
    names = [name for name in (victim.user, victim.phone, f"{victim.word}@example.com") if name != i.me.user]
    found = [
        ("search words", words, lambda x: i.tool("search_conversation_history", query=x)),
        ("search session", sessions, lambda x: i.tool("search_conversation_history", query="secret", session_id=x)),
        (
            "search project",
            [f"project-{victim.word}"],
            lambda x: i.tool("search_conversation_history", query="secret", project_id=x),
        ),
        ("search as", names, lambda x: i.over_sse("search_conversation_history", query="secret", user=x)),
        ("topic words", words[:1], lambda x: i.tool("get_context_around_topic", topic=x)),
        ("topic session", sessions, lambda x: i.over_sse("get_context_around_topic", topic="secret", session_id=x)),
        ("user context key", [victim.key], lambda x: i.tool("get_user_context", keys=[x])),
        ("user context as", names, lambda x: i.tool("get_user_context", user=x)),
        ("session context", sessions, lambda x: i.tool("get_session_context", session_id=x)),
        ("session context query", words[:1], lambda x: i.over_sse("get_session_context", query=x)),
        ("summarize", sessions, lambda x: i.tool("summarize_session", session_id=x)),
        ("own summary", sessions, lambda x: i.tool("summarize_session", session_id=x, summary={"text": "mine"})),
        (
            "record into",
            sessions,
            lambda x: i.tool("record_messages", session_id=x, messages=[{"role": "user", "content": "hi"}]),
        ),
        ("record as", names, lambda x: i.tool("record_messages", user=x, messages=[{"role": "user", "content": "hi"}])),
        (
            "upsert source",
            victim.messages[:2],
            lambda x: i.tool("upsert_user_context", values={"k": 1}, source_message_id=x),
        ),
        ("list title", words, lambda x: i.tool("list_sessions", title=x)),
        ("list external", [victim.external], lambda x: i.tool("list_sessions", external_id=x)),
        ("list as", names, lambda x: i.over_sse("list_sessions", user=x)),
        ("archive", sessions, lambda x: i.tool("archive_session", session_id=x)),
        (
            "strategy",
            sessions,
            lambda x: i.tool("set_memory_strategy", level="session", session_id=x, strategy={"mode": "trim"}),
        ),
        ("identify phone", [victim.phone], lambda x: i.tool("identify_user", phone=x)),
        ("identify email", [f"{victim.word}@example.com"], lambda x: i.tool("identify_user", email=x)),
        ("identify as", names[:1], lambda x: i.tool("identify_user", phone="+49301209999", user=x)),
        *(
            (f"read {tail}", sessions, lambda x, tail=tail: i.read(f"memory://sessions/{x}{tail}"))
            for tail in ("", "/messages", "/summary", "/context")
        ),
        ("read quoted", sessions[:1], lambda x: i.read(f"memory://sessions/{quote(x + '/../' + x, safe='')}")),
        ("subscribe", sessions, lambda x: i.subscribe(f"memory://sessions/{x}")),
        ("listen", sessions[:1], lambda x: i.listen(f"memory://sessions/{x}/messages")),
        ("complete id", [s[:12] for s in sessions], lambda x: i.complete(template, "session_id", x)),
        ("complete title", words[:1], lambda x: i.complete(prompt, "topic", x)),
        ("prompt", words[:1], lambda x: i.prompt("recall_topic", topic=x)),
        ("REST session", sessions, lambda x: i.rest("GET", f"sessions/{x}")),
        ("REST patch", sessions, lambda x: i.rest("PATCH", f"sessions/{x}", {"title": "mine now"})),
        ("REST delete", sessions[:1], lambda x: i.rest("DELETE", f"sessions/{x}")),
        ("REST messages", sessions, lambda x: i.rest("GET", f"sessions/{x}/messages")),
        ("REST page", sessions[:1], lambda x: i.rest("GET", f"sessions/{x}/messages?cursor={victim.page}")),
        (
            "REST record",
            sessions[:1],
            lambda x: i.rest("POST", f"sessions/{x}/messages", {"messages": [{"role": "user", "content": "hi"}]}),
        ),
        ("REST summary", sessions, lambda x: i.rest("GET", f"sessions/{x}/summary")),
        (
            "REST new summary",
            sessions[:1],
            lambda x: i.rest("POST", f"sessions/{x}/summary", {"summary": {"text": "mine"}}),
        ),
        ("REST context", sessions, lambda x: i.rest("GET", f"sessions/{x}/context")),
        (
            "REST strategy",
            sessions[:1],
            lambda x: i.rest("PATCH", f"sessions/{x}/memory", {"strategy": {"mode": "trim"}}),
        ),
        ("REST search", words, lambda x: i.rest("GET", f"search?query={quote(x)}")),
        ("REST search session", sessions, lambda x: i.rest("GET", f"search?query=secret&session_id={x}")),
        ("REST topic", words[:1], lambda x: i.rest("GET", f"topic?topic={quote(x)}")),
        ("REST user context", [victim.key], lambda x: i.rest("GET", f"user/context?keys={quote(x)}")),
        ("REST as", names, lambda x: i.rest("GET", f"sessions?user={quote(x)}")),
        ("REST preamble as", names[:2], lambda x: i.rest("GET", f"user/preamble?user={quote(x)}")),
        ("REST export as", names[:1], lambda x: i.rest("POST", f"user/export?user={quote(x)}")),
    ]
    return [(name, list(values), how) for name, values, how in found]


@pytest.mark.slow
@pytest.mark.reliability
@pytest.mark.timeout(600)
@pytest.mark.filterwarnings("ignore:resources/subscribe is removed")
async def test_nothing_of_anybody_else_is_reached(
    hosted: Any, people: list[Any], entered: Any, tried: Callable[[str, int], None]
) -> None:
    made = 0
    for n, me in enumerate(people):
        others = [person for person in people if person is not me]
        forbidden = [secret for person in others for secret in person.secrets]
        async with entered(me) as intruder:
            for victim in (others * 2)[n : n + 3]:
                for name, values, how in attempts(intruder, victim):
                    for value in values:
                        twin = intruder.nobodys(value)
                        theirs, nothing = intruder.told(await how(value), value), intruder.told(await how(twin), twin)
                        leaked = [secret for secret in forbidden if secret in theirs]
                        assert not leaked, f"{me.user} {name} {value}: {theirs[:400]}"
                        assert theirs == nothing, f"{me.user} of {me.tenant}, {name}, {value}"
                        made += 2
    assert made >= ATTEMPTS
    tried("chosen attempts on another user's memory over both transports and REST", made)


async def test_the_same_names_are_different_things_for_each(hosted: Any, people: list[Any], entered: Any) -> None:
    for me in people:
        async with entered(me) as intruder:
            for victim in people:
                if victim is me:
                    continue
                started = json.loads(await intruder.tool("start_session", external_id=victim.external))[2]
                assert started["session_id"] not in victim.sessions
                body = [{"role": "user", "content": "mine", "id": victim.messages[0]}]
                done = json.loads(await intruder.tool("record_messages", external_id=victim.external, messages=body))[2]
                assert done["session_id"] == started["session_id"]
    for me in people:
        with hosted.http(me.token) as http:
            page = http.get(f"/api/v1/sessions/{me.sessions[0]}/messages").json()["messages"]
            assert [m["content"].split()[0] for m in page] == [me.word] * 4
            assert http.get(f"/api/v1/sessions/{me.sessions[0]}").json()["title"] == f"Title {me.word}"
            assert (
                http.get(f"/api/v1/sessions/{me.sessions[0]}/summary").json()["text"]
                == f"All about {me.word}, {me.sealed}."
            )


async def test_a_cursor_of_another_user_leads_nowhere_of_theirs(hosted: Any, people: list[Any], entered: Any) -> None:
    for me in people:
        for victim in people:
            if victim is me:
                continue
            with hosted.http(me.token) as http:
                answer = http.get("/api/v1/sessions", params={"cursor": victim.cursor})
            assert answer.status_code == 200
            assert not any(secret in answer.text.replace(victim.cursor, "") for secret in victim.secrets)


async def test_what_others_record_changes_no_result_and_no_score(hosted: Any, people: list[Any], entered: Any) -> None:
    me, others = people[0], people[1:]
    query = {"query": "where is the common secret number kept"}
    with hosted.http(me.token) as http:
        before = http.get("/api/v1/search", params=query).json()["hits"]

        def flood(person: Any) -> None:
            with hosted.http(person.token) as theirs:
                rows = [{"role": "user", "content": f"common secret number kept {n}"} for n in range(200)]
                session = theirs.post("/api/v1/sessions", json={}).json()["session_id"]
                assert theirs.post(f"/api/v1/sessions/{session}/messages", json={"messages": rows}).is_success

        threads = [threading.Thread(target=flood, args=(person,)) for person in others]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        after = http.get("/api/v1/search", params=query).json()["hits"]
    assert before
    assert [(hit["message_id"], hit["score"]) for hit in after] == [(hit["message_id"], hit["score"]) for hit in before]


async def test_a_bridge_reaches_its_own_tenant_alone(hosted: Any, people: list[Any], entered: Any) -> None:
    bridge = hosted.token("acme", "the-bridge", "read,write,act-as")
    with hosted.http(bridge) as http:
        for person in people:
            answer = http.get("/api/v1/search", params={"query": person.word, "user": person.phone})
            if person.tenant == "acme":
                assert person.word in answer.json()["hits"][0]["content"]
            else:
                assert answer.status_code == 404
