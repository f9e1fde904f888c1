"""One open memory for all tests of the server; every test is a user of its own."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any
from uuid import uuid4

import pytest
from mcp import Client
from mcp.server.mcpserver import MCPServer

from memory.model import Owner
from server.app import build_memory, build_server
from server.identity import LocalUser
from server.opening import LazyMemory
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
def server(memory: LazyMemory, owner: Owner) -> MCPServer[LazyMemory]:
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
def server_of(memory: LazyMemory) -> Callable[[str], MCPServer[LazyMemory]]:
    """A server over the same memory for another user."""
    return lambda user: build_server(memory, tools="full", identify=LocalUser(Owner("tests", user)))
