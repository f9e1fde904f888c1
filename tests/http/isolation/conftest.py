"""Several users of several tenants, all that only each may see, and a way in for each of them."""

import json
import secrets
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from string import digits
from typing import Any
from urllib.parse import quote

import pytest
from mcp.shared.exceptions import MCPError

from memory.people.identities import link
from memory.people.identity_values import normalise
from server.opening import utc_now

PEOPLE = [("acme", "ann"), ("acme", "ben"), ("acme", "cid"), ("globex", "ann"), ("globex", "dee"), ("initech", "eve")]
LETTERS = "abcdef"


def a_word(beginning: str) -> str:
    return beginning + "".join(secrets.choice(LETTERS) for _ in range(8))


@dataclass
class Person:
    """One user, and all that only they may see."""

    tenant: str
    user: str
    token: str
    phone: str
    # Of letters alone: four digits could be read as a year, and the answer tells what was understood.
    word: str = field(default_factory=lambda: a_word("zq"))
    # Stands in what they said, in summaries and in values, and is never sent by anybody else.
    sealed: str = field(default_factory=lambda: a_word("zk"))
    sessions: list[str] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)
    cursor: str = ""
    page: str = ""
    key: str = ""
    external: str = ""

    @property
    def unsaid(self) -> list[str]:
        """What nobody else ever sends."""
        return [self.sealed, *self.sessions[3:], *self.messages[1:]]

    @property
    def secrets(self) -> list[str]:
        return [self.word, self.sealed, self.key, *self.sessions, *self.messages, self.external]


@pytest.fixture(scope="module")
def people(hosted: Any) -> list[Person]:
    return [settle(hosted, tenant, user, n) for n, (tenant, user) in enumerate(PEOPLE)]


def settle(hosted: Any, tenant: str, user: str, n: int) -> Person:
    person = Person(tenant, user, hosted.token(tenant, user), f"+4930120{n:04d}")
    bridge = hosted.token(tenant, f"bridge-{n}", "read,write,act-as")
    person.external, person.key = f"call-{person.word}", f"key-{person.word}"
    with hosted.directory() as directory:
        link(directory, tenant, user, normalise("phone", person.phone), utc_now)
        link(directory, tenant, user, normalise("email", f"{person.word}@example.com"), utc_now)
    with hosted.http(person.token) as http:
        http.base_url = f"{hosted.url}/api/v1/"
        for project in (None, "shared-project", f"project-{person.word}"):
            body = {"title": f"Title {person.word}", "project_id": project, "channel": "chat"}
            session = http.post("sessions", json={k: v for k, v in body.items() if v}).json()["session_id"]
            lines = [
                f"{person.word} keeps the common secret number {i} in {project}, {person.sealed}" for i in range(4)
            ]
            rows = [
                {"role": "user", "content": line, "id": f"{person.word}-{project}-{i}"} for i, line in enumerate(lines)
            ]
            done = http.post(f"sessions/{session}/messages", json={"messages": rows}).json()
            person.sessions.append(session)
            person.messages += [row["message_id"] for row in done["recorded"]]
            http.post(
                f"sessions/{session}/summary", json={"summary": {"text": f"All about {person.word}, {person.sealed}."}}
            )
        http.post("sessions", json={"external_id": person.external})
        http.put("user/context", json={"values": {person.key: person.word, "colour": person.sealed}})
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

    @staticmethod
    def nobodys(value: str) -> str:
        """Something of the same shape that nobody has."""
        if value.startswith("+"):
            return f"{value[:-4]}8{secrets.randbelow(900) + 100}"
        kinds = {c: kind for kind in (LETTERS, digits) for c in kind}
        while (twin := "".join(secrets.choice(kinds.get(c, c)) for c in value)) == value:
            pass
        return twin

    @staticmethod
    def told(answer: str, sent: str) -> str:
        """An answer without what was sent, in any of the ways in which it may be repeated."""
        for form in {sent, quote(sent), quote(sent, safe=""), json.dumps(sent)[1:-1]}:
            answer = answer.replace(form, "X")
        return answer


Enter = Callable[[Person], AbstractAsyncContextManager[Intruder]]


@pytest.fixture
def entered(hosted: Any) -> Enter:
    """Opens one user's way in."""

    @asynccontextmanager
    async def enter(me: Person) -> AsyncGenerator[Intruder, None]:
        async with AsyncExitStack() as stack:
            clients = {
                "http": await stack.enter_async_context(hosted.client(me.token, "http")),
                "sse": await stack.enter_async_context(hosted.client(me.token, "sse", "legacy")),
            }
            http = stack.enter_context(hosted.http(me.token))
            http.base_url = f"{hosted.url}/api/v1/"
            yield Intruder(me, clients, http)

    return enter
