"""Subscribers hear of exactly what changed, in both protocol eras, and never of another user's changes."""

import json
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, cast

import anyio
import pytest
from mcp import Client
from mcp.client.subscriptions import ResourceUpdated
from mcp.server.session import ServerSession
from mcp.shared.exceptions import MCPError
from mcp.types import ResourceUpdatedNotification, TextResourceContents

from inference.summarizers.extractive import ExtractiveSummarizer
from inference.summarizers.sampling import AskedSummarizer
from memory.model import Owner
from memory.text.tokens import EstimatedTokens
from server import parts
from server.app import build_memory, build_server
from server.identity import LocalUser
from server.protocol import updates
from server.protocol.server import MemoryServer
from server.settings import Settings

if TYPE_CHECKING:
    from tests.server.conftest import Connect

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.filterwarnings("ignore::mcp.shared.exceptions.MCPDeprecationWarning"),
]

STATIC = (
    "memory://sessions",
    "memory://archive/latest",
    "memory://user/context",
    "memory://user/preamble",
    "memory://user/profile",
)


def addresses(session_id: str) -> list[str]:
    return [f"memory://sessions/{session_id}{end}" for end in ("", "/messages", "/summary", "/context")]


class Heard:
    """What a subscriber was told, as the ends of the addresses."""

    def __init__(self, session_ids: Mapping[str, str]) -> None:
        self.names = session_ids
        self.uris: set[str] = set()
        self.news = anyio.Event()

    def note(self, uri: str) -> None:
        self.uris.add(uri)
        self.news.set()

    async def told(self) -> set[str]:
        """Waits for news and whatever comes right behind it; returns it and forgets it."""
        with anyio.move_on_after(5):
            await self.news.wait()
        await anyio.sleep(0.05)
        return self.taken()

    def taken(self) -> set[str]:
        found, self.uris, self.news = self.uris, set(), anyio.Event()
        for session_id, name in self.names.items():
            found = {uri.replace(session_id, name) for uri in found}
        return {uri.removeprefix("memory://") for uri in found}


@asynccontextmanager
async def subscribed(
    server: MemoryServer, era: str, uris: Iterable[str], names: Mapping[str, str]
) -> AsyncGenerator[tuple[Heard, Client]]:
    """A second client of the server that listens to these addresses."""
    heard = Heard(names)
    if era == "legacy":

        async def on_message(message: object) -> None:
            if isinstance(message, ResourceUpdatedNotification):
                heard.note(str(message.params.uri))

        async with Client(server, mode=era, message_handler=on_message) as client:
            for uri in uris:
                await client.subscribe_resource(uri)
            yield heard, client
        return
    async with (
        Client(server, mode=era) as client,
        client.listen(resource_subscriptions=list(uris)) as events,
        anyio.create_task_group() as tasks,
    ):

        async def listen() -> None:
            async for event in events:
                assert isinstance(event, ResourceUpdated)
                heard.note(event.uri)

        tasks.start_soon(listen)
        yield heard, client
        tasks.cancel_scope.cancel()


async def test_each_write_announces_exactly_what_it_changed(connect: "Connect", server: MemoryServer, era: str) -> None:
    async with connect() as call:
        one = (await call("start_session", title="one"))["session_id"]
        two = (await call("start_session", title="two", project_id="p"))["session_id"]
        uris = [*STATIC, *addresses(one), *addresses(two)]
        async with subscribed(server, era, uris, {one: "1", two: "2"}) as (heard, _):
            message = {"role": "user", "content": "hi", "id": "m"}
            await call("record_messages", messages=[message], session_id=one)
            assert await heard.told() == {
                "sessions",
                "user/preamble",
                "user/profile",
                "sessions/1",
                "sessions/1/messages",
                "sessions/1/context",
            }
            await call("record_messages", messages=[message], session_id=one)
            await call("summarize_session", session_id=one, summary="short")
            assert await heard.told() == {
                "sessions/1/summary",
                "sessions/1/context",
                "user/preamble",
                "user/profile",
            }
            await call("upsert_user_context", values={"a": 1})
            assert await heard.told() == {
                "user/context",
                "user/preamble",
                "user/profile",
                "sessions/1/context",
                "sessions/2/context",
            }
            await call("upsert_user_context", values={"a": 1}, project_id="p")
            assert await heard.told() == {"sessions/1/context", "sessions/2/context"}
            await call("set_memory_strategy", level="session", session_id=two, strategy="trim")
            assert await heard.told() == {"sessions/2/context"}
            await call("archive_session", session_id=one)
            assert await heard.told() >= {"sessions", "sessions/1", "archive/latest"}
            await call("summarize_session", session_id=one, summary="shorter")
            assert "archive/latest" in await heard.told()
            await call("archive_session", session_id=one)
            await call("search_conversation_history", query="hi")
            await call("start_session", title="three")
            assert await heard.told() == {"sessions"}


async def test_a_summary_made_in_the_background_is_announced(
    connect: "Connect", era: str, owner: Owner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def told(question: object) -> str:
        return json.dumps({"text": "They spoke of boats."})

    local = ExtractiveSummarizer(None, EstimatedTokens())
    monkeypatch.setattr(parts, "_summarizers", lambda *_: [AskedSummarizer(told), local])
    with build_memory(Settings(data_dir=tmp_path, embedder="none", summarize_turns=2)) as memory:
        server = build_server(memory, identify=LocalUser(owner))
        async with connect(server) as call:
            one = (await call("start_session", title="one"))["session_id"]
            summary = f"memory://sessions/{one}/summary"
            async with subscribed(server, era, [summary], {}) as (heard, client):
                for text in ("a boat", "two boats"):
                    await call("record_messages", messages=[{"role": "user", "content": text}], session_id=one)
                assert await heard.told() == {summary.removeprefix("memory://")}
                (content,) = (await client.read_resource(summary)).contents[:1]
                assert isinstance(content, TextResourceContents)
                assert "They spoke of boats." in content.text
        memory.wait().triggers.recorded(owner, one)
        assert memory.wait().triggers.wait_until_idle(5), "nobody listens any more, and nothing waits for them"


async def test_nobody_hears_of_another_users_changes(
    connect: "Connect", server: MemoryServer, server_of: Callable[[str], MemoryServer], era: str
) -> None:
    theirs = server_of("announcing")
    async with connect(theirs) as other, connect() as call:
        await call("start_session")
        async with subscribed(server, era, STATIC, {}) as (heard, _):
            await other("record_messages", messages=[{"role": "user", "content": "hi"}])
            await other("upsert_user_context", values={"a": 1})
            await anyio.sleep(0.1)
            assert heard.taken() == set()


async def test_another_users_session_cannot_be_subscribed_to(
    connect: "Connect", server: MemoryServer, server_of: Callable[[str], MemoryServer], era: str
) -> None:
    async with connect(server_of("announcing-too")) as other:
        theirs = (await other("start_session"))["session_id"]
    for session_id in (theirs, "ses_unknown"):
        with pytest.raises((MCPError, ExceptionGroup)) as refused:
            async with subscribed(server, era, addresses(session_id)[:1], {}):
                pass
        error = refused.value
        while isinstance(error, ExceptionGroup):
            error = error.exceptions[0]
        assert f"No session '{session_id}' was found" in str(error)


@pytest.mark.parametrize("era", ["legacy"], indirect=True)
async def test_unsubscribing_ends_the_notices(connect: "Connect", server: MemoryServer, era: str) -> None:
    """The other era has no such request: a listening stream ends by being closed."""
    async with connect() as call, subscribed(server, era, STATIC, {}) as (heard, client):
        await client.unsubscribe_resource("memory://sessions")
        await client.unsubscribe_resource("memory://sessions")
        await call("start_session")
        await call("upsert_user_context", values={"a": 1})
        assert "sessions" not in await heard.told()


async def test_a_connection_that_ended_is_forgotten(connect: "Connect", server: MemoryServer, era: str) -> None:
    registry = server.calls.updates
    async with connect() as call:
        async with subscribed(server, era, STATIC, {}):
            assert len(registry._subscribers) + len(registry._streams) == 1
        await call("start_session")
    assert len(registry._subscribers) + len(registry._streams) == 0


async def test_a_subscriber_that_does_not_read_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    class Connection:
        exit_stack = AsyncExitStack()

    class Stuck:
        """A session whose client has stopped reading."""

        def __init__(self) -> None:
            self._connection = Connection()
            self.told = 0

        async def send_resource_updated(self, uri: str) -> None:
            self.told += 1
            await anyio.sleep_forever()

    monkeypatch.setattr(updates, "PATIENCE_SECONDS", 0.05)
    stuck, owner, registry = Stuck(), Owner("t", "u"), updates.Updates()
    registry.add(owner, cast(ServerSession, stuck), "memory://sessions")
    with anyio.fail_after(5):
        await registry.announce(owner, ["memory://sessions"])
        await registry.announce(owner, ["memory://sessions"])
    assert stuck.told == 1
