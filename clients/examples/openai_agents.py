"""OpenAI Agents SDK: Backstory's tools for the model, and a drop-in `Session` whose history outlives the process.

The session is a view over the lossless record: what the SDK pops or clears is marked as gone and no longer shown to the
model, but the record keeps it.

    python openai_agents.py                                        # starts its own server over stdio
    python openai_agents.py --url http://127.0.0.1:8765/sse        # or …/mcp, with BACKSTORY_TOKEN set
"""

import argparse
import asyncio
import json
import os
import uuid
from typing import Any

from agents import Agent, Runner
from agents.items import TResponseInputItem
from agents.mcp import MCPServer, MCPServerSse, MCPServerStdio, MCPServerStreamableHttp
from agents.memory import SessionSettings
from mcp.types import TextContent, TextResourceContents

ITEM, GONE, CLEARED = "agents_item", "agents_gone", "agents_cleared"


def memory_server(
    url: str | None = None, token: str | None = None
) -> MCPServerStdio | MCPServerSse | MCPServerStreamableHttp:
    """The server over stdio without a `url`, else over SSE or Streamable HTTP, as the address ends."""
    patient: dict[str, Any] = {"client_session_timeout_seconds": 30, "cache_tools_list": True, "name": "backstory"}
    if url is None:
        settings = {name: value for name, value in os.environ.items() if name.startswith("BACKSTORY_")}
        params: Any = {"command": "backstory", "args": ["serve"], "env": {"PATH": os.environ["PATH"], **settings}}
        return MCPServerStdio(params=params, **patient)
    params = {"url": url, "headers": {"Authorization": f"Bearer {token}"}}
    kind = MCPServerSse if url.rstrip("/").endswith("/sse") else MCPServerStreamableHttp
    return kind(params=params, **patient)


class BackstorySession:
    """Implements `agents.memory.Session`: one conversation thread, kept by the server under its own name."""

    session_settings: SessionSettings | None = None

    def __init__(self, session_id: str, server: MCPServer, *, agent: str | None = None) -> None:
        self.session_id = session_id
        self._server = server
        self._agent = agent

    async def get_items(self, limit: int | None = None) -> list[TResponseInputItem]:
        """The thread's items in order; with a limit, the latest."""
        items = [item for _, item in await self._standing()]
        return items if limit is None else items[-limit:] if limit > 0 else []

    async def add_items(self, items: list[TResponseInputItem]) -> None:
        """Records the items. Each has an id of its own, so a repeated call records nothing twice."""
        if items:
            await self._record([as_message(dict(item)) for item in items])

    async def pop_item(self) -> TResponseInputItem | None:
        """Takes the latest item out of the thread, and returns it."""
        standing = await self._standing()
        if not standing:
            return None
        message_id, item = standing[-1]
        await self._record([note({GONE: message_id})])
        return item

    async def clear_session(self) -> None:
        """Begins the thread anew."""
        await self._record([note({CLEARED: True})])

    async def _standing(self) -> list[tuple[str, TResponseInputItem]]:
        standing: dict[str, TResponseInputItem] = {}
        for message in await self._messages():
            mark = message.get("metadata") or {}
            if ITEM in mark:
                standing[message["message_id"]] = mark[ITEM]
            elif GONE in mark:
                standing.pop(mark[GONE], None)
            elif CLEARED in mark:
                standing.clear()
        return list(standing.items())

    async def _messages(self) -> list[dict[str, Any]]:
        about = {"external_id": self.session_id, "channel": "chat", "agent": self._agent}
        session = await self._call("start_session", about)
        read = await self._server.read_resource(f"memory://sessions/{session['session_id']}/messages")
        (text,) = (part.text for part in read.contents if isinstance(part, TextResourceContents))
        return list(json.loads(text)["messages"])

    async def _record(self, messages: list[dict[str, Any]]) -> None:
        about = {"external_id": self.session_id, "channel": "chat", "agent": self._agent}
        await self._call("record_messages", {"messages": messages, **about})

    async def _call(self, tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
        answer = await self._server.call_tool(tool, arguments)
        if answer.is_error:
            raise RuntimeError(" ".join(part.text for part in answer.content if isinstance(part, TextContent)))
        return dict(answer.structured_content or {})


def as_message(item: dict[str, Any]) -> dict[str, Any]:
    """An SDK item as a message that can be searched, with the item itself beside it."""
    message: dict[str, Any] = {"id": uuid.uuid4().hex, "metadata": {ITEM: item}}
    kind = item.get("type", "message")
    if kind == "function_call":
        arguments = item.get("arguments") or "{}"
        call = {"tool_name": item["name"], "tool_call_id": item["call_id"], "tool_arguments": parsed(arguments)}
        return {**message, "role": "tool", "content": f"{item['name']} {arguments}", **call}
    if kind == "function_call_output":
        return {**message, "role": "tool", "content": text_of(item["output"]), "tool_call_id": item["call_id"]}
    role = item.get("role", "system")
    known = role if role in ("user", "assistant") else "system"
    return {**message, "role": known, "content": text_of(item.get("content") or item.get("summary") or "")}


def note(mark: dict[str, Any]) -> dict[str, Any]:
    """A line of the record that is about the thread rather than in it."""
    return {"id": uuid.uuid4().hex, "role": "system", "content": "", "metadata": mark}


def parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def text_of(content: Any) -> str:
    """The words in an item's content, which is text or a list of parts."""
    if isinstance(content, str):
        return content
    parts = [content] if isinstance(content, dict) else list(content)
    return "\n".join(part["text"] for part in parts if isinstance(part, dict) and isinstance(part.get("text"), str))


async def main() -> None:
    parser = argparse.ArgumentParser(description="An agent with a memory.")
    parser.add_argument("--url")
    parser.add_argument("--thread", default="agents-demo")
    parser.add_argument("question", nargs="?", default="What did we talk about last time?")
    options = parser.parse_args()
    async with memory_server(options.url, os.environ.get("BACKSTORY_TOKEN")) as server:
        agent = Agent(
            name="Assistant",
            instructions="You remember earlier conversations: search them before you answer from memory.",
            mcp_servers=[server],
        )
        session = BackstorySession(options.thread, server, agent="assistant")
        result = await Runner.run(agent, options.question, session=session)
        print(result.final_output)


if __name__ == "__main__":
    asyncio.run(main())
