"""The MCP SDK's own client: record, search, and fetch the context for a model, over stdio or HTTP.

python plain_client.py                                    # starts its own server over stdio
python plain_client.py --url http://127.0.0.1:8765/mcp    # with BACKSTORY_TOKEN set
"""

import argparse
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio
import httpx2
from mcp import Client, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client
from mcp.types import TextContent, TextResourceContents


@asynccontextmanager
async def connected(url: str | None) -> AsyncGenerator[Client, None]:
    """A client of the server at `url`, or of one of its own."""
    if url is None:
        settings = {name: value for name, value in os.environ.items() if name.startswith("BACKSTORY_")}
        server = StdioServerParameters(
            command="backstory", args=["serve"], env={"PATH": os.environ["PATH"], **settings}
        )
        async with Client(server) as client:
            yield client
        return
    headers = {"Authorization": f"Bearer {os.environ['BACKSTORY_TOKEN']}"}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=30) as http,
        Client(streamable_http_client(url, http_client=http)) as client,
    ):
        yield client


async def converse(client: Client) -> None:
    """One turn of an agent with a memory."""
    said = [
        {"id": "turn-1-user", "role": "user", "content": "My sister Ines moved to Porto; her birthday is on 4 June."},
        {
            "id": "turn-1-agent",
            "role": "assistant",
            "content": "I will remind you of Ines' birthday at the end of May.",
        },
    ]
    recorded = await client.call_tool("record_messages", {"messages": said, "external_id": "plain-client-demo"})
    print("recorded:", recorded.structured_content)

    found = await client.call_tool("search_conversation_history", {"query": "Where does my sister live?", "limit": 1})
    print("found:", *(part.text for part in found.content if isinstance(part, TextContent)))

    await client.call_tool("upsert_user_context", {"values": {"sister": "Ines, Porto"}})
    context = await client.call_tool("get_session_context", {"query": "birthday present for Ines", "max_tokens": 1200})
    print("for the model:\n" + (context.structured_content or {})["instructions"])

    latest = await client.read_resource("memory://sessions")
    texts = (part.text[:200] for part in latest.contents if isinstance(part, TextResourceContents))
    print("resource memory://sessions:", *texts)


async def main() -> None:
    parser = argparse.ArgumentParser(description="Talk to Backstory with the MCP SDK.")
    parser.add_argument("--url", help="of a server's /mcp; without it a server is started over stdio")
    options = parser.parse_args()
    async with connected(options.url) as client:
        await converse(client)


if __name__ == "__main__":
    anyio.run(main)
