"""One open memory for all tests of the server; every test is a user of its own. And every door into a memory."""

import io
import json
import logging
import re
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import (
    AbstractAsyncContextManager,
    asynccontextmanager,
    contextmanager,
    redirect_stderr,
    redirect_stdout,
)
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import httpx2
import pytest
from mcp import Client
from mcp.server.mcpserver import MCPServer
from mcp.shared.exceptions import MCPError
from mcp.types import TextResourceContents

from memory.model import Owner
from server import cli
from server.app import build_memory, build_server
from server.identity import LocalUser
from server.opening import LazyMemory
from server.parts import Parts
from server.protocol.server import MemoryServer
from server.settings import Settings

Connect = Callable[..., AbstractAsyncContextManager["Calls"]]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def memory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LazyMemory]:
    with build_memory(Settings(data_dir=tmp_path_factory.mktemp("memory"), embedder="none")) as opened:
        opened.wait()
        yield opened


@pytest.fixture
def owner() -> Owner:
    return Owner("tests", f"user-{uuid4().hex}")


@pytest.fixture
def server(memory: LazyMemory, owner: Owner) -> MemoryServer:
    return build_server(memory, tools="full", identify=LocalUser(owner))


@pytest.fixture(params=["auto", "legacy"])
def era(request: pytest.FixtureRequest) -> str:
    return str(request.param)


class Calls:
    """Calls tools of a client and hands back what a test looks at."""

    def __init__(self, client: Client) -> None:
        self.client = client

    async def __call__(self, tool: str, **arguments: Any) -> Any:
        """The structured result of a call that must succeed."""
        result = await self.client.call_tool(tool, arguments)
        assert not result.is_error, result.content
        return result.structured_content

    async def text(self, tool: str, **arguments: Any) -> str:
        """What the model reads."""
        result = await self.client.call_tool(tool, arguments)
        assert not result.is_error, result.content
        return str(result.content[0].text)  # type: ignore[union-attr]  # our tools answer in text

    async def read(self, uri: str) -> list[str]:
        """The texts at an address: JSON, and behind it what a model reads, if a model has use for it."""
        contents = (await self.client.read_resource(uri)).contents
        return [part.text for part in contents if isinstance(part, TextResourceContents)]

    async def refusal(self, tool: str, **arguments: Any) -> str:
        """The sentence of a call that must fail."""
        result = await self.client.call_tool(tool, arguments)
        assert result.is_error, result.structured_content
        assert result.structured_content is None
        sentence = str(result.content[0].text)  # type: ignore[union-attr]  # our errors are text
        assert "\n" not in sentence
        assert sentence.endswith(".")
        assert "pydantic" not in sentence.lower()
        assert "Traceback" not in sentence
        return sentence


@pytest.fixture
def connect(server: MCPServer[LazyMemory], era: str) -> Connect:
    """Opens a client of this test's server (or of another one) in the era under test."""

    @asynccontextmanager
    async def connected(other: MCPServer[Any] | None = None, **options: Any) -> AsyncIterator[Calls]:
        async with Client(other or server, mode=era, **options) as client:
            yield Calls(client)

    return connected


@pytest.fixture
def server_of(memory: LazyMemory) -> Callable[[str], MemoryServer]:
    """A server over the same memory for another user."""
    return lambda user: build_server(memory, tools="full", identify=LocalUser(Owner("tests", user)))


# Fourteen hours before UTC: there, no day in words is the one of UTC.
ZONE = "Pacific/Kiritimati"
NOW = datetime(2026, 6, 10, 5, 30, tzinfo=UTC)


def refused(sentence: str) -> dict[str, str]:
    return {"refused": sentence}


@contextmanager
def logging_as_it_was() -> Iterator[None]:
    """A command sets up logging for its process, which here is the tests'."""
    loggers = [logging.getLogger(name) for name in (None, "backstory", "backstory.app", "backstory.index")]
    before = [(one.level, one.handlers[:], one.filters[:], one.propagate) for one in loggers]
    try:
        yield
    finally:
        for one, (level, handlers, filters, propagate) in zip(loggers, before, strict=True):
            one.setLevel(level)
            one.handlers[:], one.filters[:], one.propagate = handlers, filters, propagate


class House:
    """A server and a REST application over one memory, made once; whoever comes in is the one user they know."""

    def __init__(self, lazy: LazyMemory) -> None:
        from server.http.rest import build_api

        self.memory = lazy.wait()
        self._visitor = LocalUser(lazy.settings.owner)
        self._server = build_server(lazy, tools="full", identify=lambda *asked: self._visitor(*asked))
        self._api = build_api(self._server.calls)

    def of(self, owner: Owner) -> MCPServer[Any]:
        self._visitor = LocalUser(owner)
        return self._server

    def api_of(self, owner: Owner) -> Any:
        self._visitor = LocalUser(owner)
        return self._api


@dataclass(frozen=True)
class Doors:
    """Every way into the memory of one user; each answers with plain data, or with {"refused": its sentence}.

    `sessions` are the ids of sessions by name: a `{name}` in a value stands for that id.
    """

    house: House
    owner: Owner
    sessions: Mapping[str, str]

    @property
    def memory(self) -> Parts:
        return self.house.memory

    def filled(self, value: Any) -> Any:
        """`value` with the ids of sessions in the place of their names."""
        if isinstance(value, str):
            return re.sub(r"\{([\w ]+)\}", lambda name: self.sessions[name[1]], value)
        if isinstance(value, dict):
            return {name: self.filled(inner) for name, inner in value.items()}
        return [self.filled(inner) for inner in value] if isinstance(value, list) else value

    async def tool(self, name: str, values: Mapping[str, Any], *, as_text: bool = False) -> Any:
        async with Client(self.house.of(self.owner)) as client:
            result = await client.call_tool(name, self.filled(values))
        text = str(result.content[0].text)  # type: ignore[union-attr]  # our tools answer in text
        if result.is_error:
            return refused(text)
        return text if as_text else result.structured_content

    async def prompt(self, name: str, values: Mapping[str, str]) -> Any:
        """What the memory holds, of the prompt's text."""
        async with Client(self.house.of(self.owner)) as client:
            try:
                found = await client.get_prompt(name, self.filled(values))
            except MCPError as error:
                return refused(str(error))
        return found.messages[0].content.text.split("\n\n", 1)[1].rsplit("\n\n", 1)[0]  # type: ignore[union-attr]  # it is text

    async def resource(self, uri: str) -> Any:
        async with Client(self.house.of(self.owner)) as client:
            try:
                found = await client.read_resource(self.filled(uri))
            except MCPError as error:
                return refused(str(error))
        return json.loads(found.contents[0].text)  # type: ignore[union-attr]  # JSON comes first

    async def rest(self, method: str, path: str, query: Any = None, body: Any = None) -> Any:
        api = httpx2.ASGITransport(app=self.house.api_of(self.owner))
        content = None if body is None else json.dumps(self.filled(body))
        headers = {"Content-Type": "application/json"}
        async with httpx2.AsyncClient(transport=api, base_url="http://here/api/v1/", headers=headers) as http:
            answer = await http.request(method, self.filled(path), params=self.filled(query), content=content)
        return answer.json() if answer.status_code < 300 else refused(answer.json()["detail"])

    async def command(self, name: str, *arguments: str, lines: bool = False) -> Any:
        out, err = io.StringIO(), io.StringIO()
        user = ["--user", self.owner.user_id, "--tenant", self.owner.tenant_id, "--embedder", "none"]
        where = ["--data-dir", str(self.memory.settings.data_dir)]
        with redirect_stdout(out), redirect_stderr(err), logging_as_it_was():
            code = cli.run([name, *where, *user, *self.filled(list(arguments))])
        if code:
            return refused(err.getvalue().rpartition("Error: ")[2].strip())
        return [json.loads(line) for line in out.getvalue().splitlines()] if lines else json.loads(out.getvalue())


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A memory in a zone of its own, whose time stands still."""
    settings = Settings(data_dir=tmp_path_factory.mktemp("doors"), embedder="none", time_zone=ZONE)
    with build_memory(settings, clock=lambda: NOW) as lazy:
        yield House(lazy)


@pytest.fixture(scope="module")
def still_memory(house: House) -> Parts:
    return house.memory


@pytest.fixture
def commands_stand_still(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands run in this process in the same zone and at the same time, and leave logging alone."""
    import server.commands.opening
    import server.parts

    real = server.parts.open_parts
    monkeypatch.setattr(server.parts, "open_parts", lambda settings, _, **how: real(settings, lambda: NOW, **how))
    monkeypatch.setattr(server.commands.opening, "configure_logging", lambda _: None)
    monkeypatch.setenv("BACKSTORY_TIME_ZONE", ZONE)


@pytest.fixture
def doors_of(house: House, commands_stand_still: None) -> Callable[[Owner, Mapping[str, str]], Doors]:
    """The doors of a user, with the ids of sessions by name."""
    return lambda owner, sessions: Doors(house, owner, sessions)


@pytest.fixture
def agree() -> Callable[[Mapping[str, Any]], Any]:
    """What all doors say, given what each says. Errors: AssertionError naming the doors that say something else."""

    def agreed(said: Mapping[str, Any]) -> Any:
        (first, expected), *others = said.items()
        for door, answer in others:
            assert answer == expected, f"{door} disagrees with {first}"
        return expected

    return agreed
