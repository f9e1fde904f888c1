"""The client's own model writes the summary, in both protocol eras, where the settings choose it and it is offered."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from mcp.client import ClientRequestContext
from mcp.types import CreateMessageRequestParams, CreateMessageResult, ErrorData, TextContent

from memory.model import NewMessage
from memory.record.recording import record
from memory.record.sessions import Target
from server.app import build_memory, build_server
from server.protocol.server import MemoryServer
from server.settings import Settings

if TYPE_CHECKING:
    from tests.server.conftest import Connect

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.filterwarnings("ignore::mcp.shared.exceptions.MCPDeprecationWarning"),
]


@pytest.fixture
def sampling_server(tmp_path: Path) -> Iterator[MemoryServer]:
    settings = Settings(data_dir=tmp_path, embedder="none", summarizer="client")
    with build_memory(settings) as memory:
        yield build_server(memory)


class Model:
    """The client's model: says what it is told to, and remembers what it was asked."""

    def __init__(self, words: str | None) -> None:
        self.words = words
        self.asked: list[CreateMessageRequestParams] = []

    async def __call__(
        self, context: ClientRequestContext, params: CreateMessageRequestParams
    ) -> CreateMessageResult | ErrorData:
        self.asked.append(params)
        if self.words is None:
            return ErrorData(code=-1, message="the user declined")
        return CreateMessageResult(role="assistant", content=TextContent(type="text", text=self.words), model="m")


async def test_the_clients_model_is_asked_and_its_words_are_stored(
    connect: "Connect", sampling_server: MemoryServer
) -> None:
    words = {"text": "They met at the pier.", "decisions": [{"text": "Meet again", "source": None}], "commitments": []}
    model = Model(json.dumps(words))
    async with connect(sampling_server, sampling_callback=model) as call:
        await call("record_messages", messages=[{"role": "user", "content": "Let us meet at the pier."}])
        made = await call("summarize_session")
        assert (made["text"], made["decisions"]) == ("They met at the pier.", ["Meet again"])
        assert (made["producer"], made["version"], made["covers_to_seq"]) == ("client", 1, 1)
        assert len(model.asked) == 1
        asked = model.asked[0].messages[0].content
        assert isinstance(asked, TextContent)
        assert "Let us meet at the pier." in asked.text
        assert (await call("summarize_session"))["version"] == 1
        own = await call("summarize_session", summary="My own words.")
        assert own["producer"] == "agent"
        assert len(model.asked) == 1


@pytest.mark.parametrize(
    ("era", "words"),
    [("auto", "I would rather not."), ("legacy", "I would rather not."), ("legacy", None)],
    indirect=["era"],
)
async def test_without_a_usable_answer_the_summary_is_made_here_and_says_so(
    connect: "Connect", sampling_server: MemoryServer, words: str | None
) -> None:
    """A declined question (None) ends the call on the client's side in the newer era."""
    model = Model(words)
    async with connect(sampling_server, sampling_callback=model) as call:
        await call("record_messages", messages=[{"role": "user", "content": "Let us meet at the pier."}])
        made = await call("summarize_session")
        assert made["producer"] == "extractive"
        assert "pier" in made["text"]
        assert "client" in made["note"]


async def test_what_is_said_while_the_model_thinks_is_left_for_the_next_summary(
    connect: "Connect", sampling_server: MemoryServer
) -> None:
    words = json.dumps({"text": "They met at the pier."})
    memory = sampling_server.calls.memory.wait()

    class Slow(Model):
        async def __call__(
            self, context: ClientRequestContext, params: CreateMessageRequestParams
        ) -> CreateMessageResult | ErrorData:
            said = [NewMessage("user", "And bring the boat.")]
            record(memory.store, memory.settings.owner, said, Target(), memory.clock)
            return await super().__call__(context, params)

    async with connect(sampling_server, sampling_callback=Slow(words)) as call:
        await call("record_messages", messages=[{"role": "user", "content": "Let us meet at the pier."}])
        made = await call("summarize_session")
        assert (made["producer"], made["covers_to_seq"]) == ("client", 1)
        assert (await call("list_sessions"))["sessions"][0]["message_count"] == 2


async def test_what_is_summarized_while_the_model_thinks_stands(
    connect: "Connect", sampling_server: MemoryServer
) -> None:
    memory = sampling_server.calls.memory.wait()

    class Late(Model):
        async def __call__(
            self, context: ClientRequestContext, params: CreateMessageRequestParams
        ) -> CreateMessageResult | ErrorData:
            memory.summarizing.summarize(memory.settings.owner, local=True)
            said = [NewMessage("user", "And bring the boat.")]
            record(memory.store, memory.settings.owner, said, Target(), memory.clock)
            return await super().__call__(context, params)

    async with connect(sampling_server, sampling_callback=Late(json.dumps({"text": "Late words."}))) as call:
        await call("record_messages", messages=[{"role": "user", "content": "Let us meet at the pier."}])
        made = await call("summarize_session")
        # Where the call comes a second time, it finds nothing left of what it asked, and makes the summary of the rest.
        assert (made["producer"], made["text"] != "Late words.") == ("extractive", True)
        assert made["version"] == made["covers_to_seq"] <= 2


async def test_a_client_without_a_model_is_not_asked(connect: "Connect", sampling_server: MemoryServer) -> None:
    async with connect(sampling_server) as call:
        await call("record_messages", messages=[{"role": "user", "content": "Let us meet at the pier."}])
        assert (await call("summarize_session"))["producer"] == "extractive"


async def test_with_other_settings_nobody_is_asked(connect: "Connect", server: MemoryServer) -> None:
    model = Model("{}")
    async with connect(server, sampling_callback=model) as call:
        await call("record_messages", messages=[{"role": "user", "content": "Let us meet at the pier."}])
        assert (await call("summarize_session"))["producer"] == "extractive"
        assert model.asked == []
