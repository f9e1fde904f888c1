"""Nobody reaches another's memory: every way in is tried with other people's ids, names, cursors and words.

Each attempt is made twice, with something of another user and with something that nobody has; apart from what was sent,
both answers must be the same, and neither may hold a word, id or title of anybody else.
"""

import json
import secrets
import threading
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from string import digits
from typing import Any
from urllib.parse import quote

import pytest
from mcp.shared.exceptions import MCPError
from mcp.types import PromptReference, ResourceTemplateReference

pytestmark = pytest.mark.anyio
PEOPLE = [("acme", "ann"), ("acme", "ben"), ("acme", "cid"), ("globex", "ann"), ("globex", "dee"), ("initech", "eve")]
LETTERS = "abcdef"
ATTEMPTS = 2000


@dataclass
class Person:
    """One user, and all that only they may see."""

    tenant: str
    user: str
    token: str
    phone: str
    # Of letters alone: four digits could be read as a year, and the answer tells what was understood.
    word: str = field(default_factory=lambda: "zq" + "".join(secrets.choice(LETTERS) for _ in range(8)))
    sessions: list[str] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)
    cursor: str = ""
    page: str = ""
    key: str = ""
    external: str = ""

    @property
    def secrets(self) -> list[str]:
        return [self.word, self.key, *self.sessions, *self.messages, self.external]


@pytest.fixture(scope="module")
def people(hosted: Any) -> list[Person]:
    return [settle(hosted, tenant, user, n) for n, (tenant, user) in enumerate(PEOPLE)]


def settle(hosted: Any, tenant: str, user: str, n: int) -> Person:
    person = Person(tenant, user, hosted.token(tenant, user), f"+4930120{n:04d}")
    bridge = hosted.token(tenant, f"bridge-{n}", "read,write,act-as")
    person.external, person.key = f"call-{person.word}", f"key-{person.word}"
    with hosted.directory() as directory:
        from memory.people.identities import link
        from memory.people.identity_values import normalise
        from server.opening import utc_now

        link(directory, tenant, user, normalise("phone", person.phone), utc_now)
        link(directory, tenant, user, normalise("email", f"{person.word}@example.com"), utc_now)
    with hosted.http(person.token) as http:
        http.base_url = f"{hosted.url}/api/v1/"
        for project in (None, "shared-project", f"project-{person.word}"):
            body = {"title": f"Title {person.word}", "project_id": project, "channel": "chat"}
            session = http.post("sessions", json={k: v for k, v in body.items() if v}).json()["session_id"]
            lines = [f"{person.word} keeps the common secret number {i} in {project}" for i in range(4)]
            rows = [
                {"role": "user", "content": line, "id": f"{person.word}-{project}-{i}"} for i, line in enumerate(lines)
            ]
            done = http.post(f"sessions/{session}/messages", json={"messages": rows}).json()
            person.sessions.append(session)
            person.messages += [row["message_id"] for row in done["recorded"]]
            http.post(f"sessions/{session}/summary", json={"summary": {"text": f"All about {person.word}."}})
        http.post("sessions", json={"external_id": person.external})
        http.put("user/context", json={"values": {person.key: person.word, "colour": person.word}})
        person.cursor = http.get("sessions", params={"limit": 1}).json()["next_cursor"]
        person.page = http.get(f"sessions/{person.sessions[0]}/messages", params={"limit": 1}).json()["next_cursor"]
    assert bridge
    return person


class Intruder:
    """One user's way in: both transports' clients and REST."""

    def __init__(self, me: Person, clients: dict[str, Any], http: Any) -> None:
        self.me, self.clients, self.http = me, clients, http

    async def tool(self, name: str, **arguments: Any) -> str:
        answer = await self.clients["http"].call_tool(name, arguments)
        return json.dumps([answer.is_error, [c.text for c in answer.content], answer.structured_content])

    async def over_sse(self, name: str, **arguments: Any) -> str:
        answer = await self.clients["sse"].call_tool(name, arguments)
        return json.dumps([answer.is_error, [c.text for c in answer.content], answer.structured_content])

    async def read(self, uri: str) -> str:
        try:
            return str((await self.clients["http"].read_resource(uri)).model_dump_json())
        except MCPError as error:
            return f"{error.error.code} {error.error.message}"

    async def subscribe(self, uri: str) -> str:
        try:
            await self.clients["sse"].subscribe_resource(uri)
        except MCPError as error:
            return f"{error.error.code} {error.error.message}"
        return "subscribed"

    async def listen(self, uri: str) -> str:
        try:
            async with self.clients["http"].listen(resource_subscriptions=[uri]):
                return "listening"
        except MCPError as error:
            return f"{error.error.code} {error.error.message}"

    async def complete(self, reference: Any, name: str, value: str) -> str:
        done = await self.clients["http"].complete(reference, {"name": name, "value": value})
        return json.dumps(done.completion.values)

    async def prompt(self, name: str, **arguments: str) -> str:
        try:
            return str((await self.clients["http"].get_prompt(name, arguments)).model_dump_json())
        except MCPError as error:
            return f"{error.error.code} {error.error.message}"

    async def rest(self, method: str, path: str, body: Any = None, **headers: str) -> str:
        answer = self.http.request(method, path, json=body, headers=headers)
        return f"{answer.status_code} {answer.text}"


Attempt = tuple[str, Callable[[str], Any]]


def attempts(i: Intruder, victim: Person) -> list[tuple[str, list[str], Callable[[str], Any]]]:
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


def nobodys(value: str) -> str:
    """Something of the same shape that nobody has."""
    if value.startswith("+"):
        return f"{value[:-4]}8{secrets.randbelow(900) + 100}"
    kinds = {c: kind for kind in (LETTERS, digits) for c in kind}
    return "".join(secrets.choice(kinds.get(c, c)) for c in value)


@asynccontextmanager
async def entered(hosted: Any, me: Person) -> AsyncGenerator[Intruder, None]:
    async with AsyncExitStack() as stack:
        clients = {
            "http": await stack.enter_async_context(hosted.client(me.token, "http")),
            "sse": await stack.enter_async_context(hosted.client(me.token, "sse", "legacy")),
        }
        http = stack.enter_context(hosted.http(me.token))
        http.base_url = f"{hosted.url}/api/v1/"
        yield Intruder(me, clients, http)


def told(answer: str, sent: str) -> str:
    """An answer without what was sent, in any of the ways in which it may be repeated, and without times."""
    for form in {sent, quote(sent), quote(sent, safe=""), json.dumps(sent)[1:-1]}:
        answer = answer.replace(form, "X")
    return answer


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.filterwarnings("ignore:resources/subscribe is removed")
async def test_nothing_of_anybody_else_is_reached(hosted: Any, people: list[Person]) -> None:
    made = 0
    for n, me in enumerate(people):
        others = [person for person in people if person is not me]
        forbidden = [secret for person in others for secret in person.secrets]
        async with entered(hosted, me) as intruder:
            for victim in (others * 2)[n : n + 3]:
                for name, values, how in attempts(intruder, victim):
                    for value in values:
                        twin = nobodys(value)
                        theirs, nothing = told(await how(value), value), told(await how(twin), twin)
                        leaked = [secret for secret in forbidden if secret in theirs]
                        assert not leaked, f"{me.user} {name} {value}: {theirs[:400]}"
                        assert theirs == nothing, f"{me.user} of {me.tenant}, {name}, {value}"
                        made += 2
    assert made >= ATTEMPTS


async def test_the_same_names_are_different_things_for_each(hosted: Any, people: list[Person]) -> None:
    for me in people:
        async with entered(hosted, me) as intruder:
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
            assert http.get(f"/api/v1/sessions/{me.sessions[0]}/summary").json()["text"] == f"All about {me.word}."


async def test_a_cursor_of_another_user_leads_nowhere_of_theirs(hosted: Any, people: list[Person]) -> None:
    for me in people:
        for victim in people:
            if victim is me:
                continue
            with hosted.http(me.token) as http:
                answer = http.get("/api/v1/sessions", params={"cursor": victim.cursor})
            assert answer.status_code == 200
            assert not any(secret in answer.text.replace(victim.cursor, "") for secret in victim.secrets)


async def test_what_others_record_changes_no_result_and_no_score(hosted: Any, people: list[Person]) -> None:
    me, others = people[0], people[1:]
    query = {"query": "where is the common secret number kept"}
    with hosted.http(me.token) as http:
        before = http.get("/api/v1/search", params=query).json()["hits"]

        def flood(person: Person) -> None:
            with hosted.http(person.token) as theirs:
                rows = [{"role": "user", "content": f"common secret number kept {n}"} for n in range(200)]
                theirs.post(f"/api/v1/sessions/{person.sessions[0]}/messages", json={"messages": rows})

        threads = [threading.Thread(target=flood, args=(person,)) for person in others]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        after = http.get("/api/v1/search", params=query).json()["hits"]
    assert before
    assert [(hit["message_id"], hit["score"]) for hit in after] == [(hit["message_id"], hit["score"]) for hit in before]


async def test_a_bridge_reaches_its_own_tenant_alone(hosted: Any, people: list[Person]) -> None:
    bridge = hosted.token("acme", "the-bridge", "read,write,act-as")
    with hosted.http(bridge) as http:
        for person in people:
            answer = http.get("/api/v1/search", params={"query": person.word, "user": person.phone})
            if person.tenant == "acme":
                assert person.word in answer.json()["hits"][0]["content"]
            else:
                assert answer.status_code == 404
