"""What the demonstration does, step by step; each step checks what it claims."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter
from typing import IO, Any

import anyio
from mcp import Client
from mcp_types import CallToolResult

from server.demo.process import served

SAID: tuple[tuple[str, str], ...] = (
    ("user", "Hi! I'm looking for a two-bedroom flat in Porto, ideally near a tram stop. My budget is 1,400 a month."),
    ("assistant", "Welcome! Two bedrooms near the tram for up to 1,400 euros. Anything else that matters to you?"),
    ("user", "Yes, I have an old dog, a greyhound called Biscuit: it must allow pets and not be on a high floor."),
    ("assistant", "Noted: Biscuit comes along, so pets allowed and a low floor. Let me look."),
    ("assistant", "Rua das Flores 12 fits: ground floor, garden, 1,350 euros. Shall I book a viewing?"),
    ("user", "Please do, Thursday after five would be perfect. And never call me before noon, I work night shifts."),
    (
        "assistant",
        "Booked: Thursday at 17:30 with Marta from the agency. I'll send her number by tomorrow evening.",
    ),
)
_LOOKED_UP = {
    "role": "tool",
    "tool_name": "find_flats",
    "tool_call_id": "call-1",
    "tool_arguments": {"city": "Porto", "bedrooms": 2, "pets": True, "max_rent": 1400},
    "content": '[{"id": "prop-123", "address": "Rua das Flores 12", "floor": 0, "rent": 1350}]',
}
USER_CONTEXT = {"preferredName": "Ana", "currentPropertyId": "prop-123", "callTimes": "never before noon"}
MESSAGES = len(SAID) + 1
_QUESTION = "what is the name of my dog?"


@dataclass(frozen=True, slots=True)
class Step:
    """What was done, what came back, whether that is what should have come back, and how long it took."""

    title: str
    lines: tuple[str, ...]
    right: bool
    seconds: float


class _Wrong(Exception):
    """A tool call that failed."""


Tell = Callable[[Step], None]


async def demonstrate(data_dir: str, errors: IO[bytes], tell: Tell) -> None:
    """Records with one server process, kills it, and asks another one. Tells each step as it is done.

    The servers' standard error goes to `errors`. Raises exception groups, as task groups do.
    """
    scratch = {"BACKSTORY_DATA_DIR": data_dir}
    started = perf_counter()
    async with served(scratch, errors=errors) as (client, process):
        tell(Step("A server starts over stdio", (f"process {process.pid}, store {data_dir}",), True, since(started)))
        session_id = await remember(client, tell)
        started = perf_counter()
        process.kill()
        with anyio.fail_after(10):
            await process.wait()
        tell(Step("The server is killed: no goodbye, no flush", (), process.returncode != 0, since(started)))
    started = perf_counter()
    async with served(scratch, errors=errors) as (client, process):
        tell(Step("Another server starts on the same store", (f"process {process.pid}",), True, since(started)))
        await recall(client, session_id, tell)


async def remember(client: Client, tell: Tell) -> str:
    """Returns the session's id."""
    messages: list[dict[str, Any]] = [{"role": role, "content": content} for role, content in SAID]
    messages.insert(4, _LOOKED_UP)
    messages = [{"id": f"demo-{n}", **message} for n, message in enumerate(messages, 1)]
    started = perf_counter()
    recorded = await call(client, "record_messages", messages=messages, channel="chat", agent="demo")
    seqs = [one["seq"] for one in recorded["recorded"]]
    lines = tuple(f"{role}: {content}" for role, content in SAID[:3])
    lines += (f"… {len(seqs)} messages, a tool call with its result among them",)
    tell(Step("A conversation is recorded", lines, seqs == list(range(1, len(messages) + 1)), since(started)))
    started = perf_counter()
    again = await call(client, "record_messages", messages=messages, session_id=recorded["session_id"])
    repeated = f"{len(again['duplicates'])} of {len(messages)} recognised as recorded before"
    right = len(again["duplicates"]) == len(messages)
    tell(Step("The same call again doubles nothing", (repeated,), right, since(started)))
    started = perf_counter()
    entries = (await call(client, "upsert_user_context", values=USER_CONTEXT))["entries"]
    tell(Step("Facts about the user are kept", _shown_entries(entries), len(entries) == 3, since(started)))
    started = perf_counter()
    summary = await call(client, "summarize_session", session_id=recorded["session_id"])
    whole = summary["covers_to_seq"] == len(messages) and bool(summary["text"].strip())
    tell(Step("The session is summarised, without any model", (summary["text"],), whole, since(started)))
    return str(recorded["session_id"])


async def recall(client: Client, session_id: str, tell: Tell) -> None:
    started = perf_counter()
    entries = (await call(client, "get_user_context"))["entries"]
    kept = {entry["key"]: entry["value"] for entry in entries} == USER_CONTEXT
    tell(Step("User context", _shown_entries(entries), kept, since(started)))
    started = perf_counter()
    page = await client.read_resource(f"memory://sessions/{session_id}/summary")
    summary = json.loads(getattr(page.contents[0], "text", "{}"))
    whole = summary.get("covers_to_seq") == MESSAGES and bool(summary.get("text", "").strip())
    tell(Step("The session's summary", (str(summary.get("text")),), whole, since(started)))
    started = perf_counter()
    context = await call(client, "get_session_context", query="viewing appointment", max_tokens=2000)
    lines = (
        f"instructions of {len(context['instructions'])} characters, with {len(context['user_context'])} known facts",
        f"the last {len(context['messages'])} messages, {context['tokens']} tokens in all",
    )
    whole = "Ana" in context["instructions"] and len(context["messages"]) == MESSAGES
    tell(Step("What a model is given now", lines, whole, since(started)))
    started = perf_counter()
    hits = (await call(client, "search_conversation_history", query=_QUESTION, limit=3))["hits"]
    found = tuple(f"{hit['role']} (seq {hit['seq']}): {hit['content']}" for hit in hits)
    right = any("Biscuit" in hit["content"] for hit in hits)
    tell(Step(f'Search: "{_QUESTION}"', found, right, since(started)))


async def call(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    """The structured result. Errors: _Wrong with the server's sentence."""
    result = await client.call_tool(tool, arguments)
    assert isinstance(result, CallToolResult)
    if result.is_error or result.structured_content is None:
        raise _Wrong(f"{tool}: {getattr(result.content[0], 'text', 'no result') if result.content else 'no result'}")
    structured: dict[str, Any] = result.structured_content
    return structured


def _shown_entries(entries: list[dict[str, Any]]) -> tuple[str, ...]:
    return tuple(f"{entry['key']} = {json.dumps(entry['value'], ensure_ascii=False)}" for entry in entries)


def since(started: float) -> float:
    return perf_counter() - started
