"""A voice bridge over SSE: what a telephony media bridge does with Backstory, without a telephone.

It plays a recorded call (the text of both sides, with timings) the way a media stream delivers one:

1. the caller is recognised by the number, before anybody speaks;
2. the preamble goes into the session instructions of the speech model, before the first word;
3. transcript lines are recorded as they come, partial ones replaced by their final form; speech never waits for it;
4. a dropped connection is taken up again, and no line is lost or recorded twice;
5. after hanging up, a summary with commitments is made.

    backstory serve --transport http
    export BACKSTORY_TOKEN=$(backstory token create --tenant acme --user bridge --rights read,write,act-as)
    python voice_bridge.py calls/first_call.json --drop-after 5
    python voice_bridge.py calls/second_call.json
"""

import argparse
import json
import os
import sys
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
from mcp import Client
from mcp.client.sse import sse_client
from mcp.types import TextContent

ANSWER_SECONDS = 10.0
GIVE_UP_SECONDS = 60.0


@dataclass(frozen=True)
class Recording:
    """A call as it was: who rang, and what both sides said when."""

    call_id: str
    number: str
    caller_name: str
    started_at: datetime
    events: list[dict[str, Any]]
    facts: dict[str, Any]

    @classmethod
    def load(cls, path: Path) -> "Recording":
        data = json.loads(path.read_text(encoding="utf-8"))
        started_at = datetime.fromisoformat(data["started_at"])
        return cls(data["call_id"], data["from"], data["caller_name"], started_at, data["events"], data["facts"])


class MemoryLink:
    """A connection to the memory server that heals itself.

    Every write carries ids of its own, so a call whose answer was lost with the connection is simply made again.
    """

    def __init__(self, url: str, token: str) -> None:
        self._url, self._token = url, token
        self._client: Client | None = None
        self._connected = anyio.Event()
        self._lost = anyio.Event()
        self.connections = 0

    @asynccontextmanager
    async def open(self) -> AsyncGenerator["MemoryLink", None]:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._keep_connected)
            yield self
            tasks.cancel_scope.cancel()

    async def _keep_connected(self) -> None:
        pause = 0.1
        while True:
            try:
                headers = {"Authorization": f"Bearer {self._token}"}
                async with Client(sse_client(self._url, headers=headers)) as client:
                    self._client, pause = client, 0.1
                    self.connections += 1
                    self._connected.set()
                    await self._lost.wait()
            except Exception as error:  # whatever ended the connection, the answer is to connect again
                print(f"  memory: connection lost ({type(error).__name__})", file=sys.stderr)
            self._client, self._lost = None, anyio.Event()
            if self._connected.is_set():  # who waits for a connection waits on for the next attempt
                self._connected = anyio.Event()
            await anyio.sleep(pause)
            pause = min(pause * 2, 2.0)

    def drop(self) -> None:
        """Loses the connection, as networks do."""
        self._lost.set()

    async def call(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """A tool's structured answer, however often the connection has to be made for it."""
        with anyio.fail_after(GIVE_UP_SECONDS):
            while True:
                connected = self._connected
                await connected.wait()
                client = self._client
                if client is None:
                    await anyio.sleep(0.01)
                    continue
                try:
                    with anyio.fail_after(ANSWER_SECONDS):
                        answer = await client.call_tool(tool, arguments)
                except Exception:
                    if self._client is client:
                        self.drop()
                    await anyio.sleep(0.05)
                    continue
                if answer.is_error:
                    raise RuntimeError(" ".join(part.text for part in answer.content if isinstance(part, TextContent)))
                return dict(answer.structured_content or {})


@dataclass
class Outcome:
    """What a played call came to."""

    user: str
    created: bool
    instructions: str
    preamble_ms: float
    session_id: str = ""
    summary: dict[str, Any] = field(default_factory=dict)
    acknowledged_ms: list[float] = field(default_factory=list)


async def recognise(link: MemoryLink, call: Recording) -> dict[str, Any]:
    """The user behind the number; where several share it, the caller is asked, and the answer holds for the call."""
    about = {"phone": call.number, "call_id": call.call_id}
    found = await link.call("identify_user", **about)
    if found["user"] is None:
        print(f"  bridge: 'Who is calling, please?' - '{call.caller_name}'")
        named = [c for c in found["candidates"] if (c["display_name"] or "").lower() == call.caller_name.lower()]
        chosen = {"user": named[0]["user"]} if named else {"new_person": True, "display_name": call.caller_name}
        found = await link.call("identify_user", **about, **chosen)
    return found


def line_ids(events: list[dict[str, Any]]) -> list[str]:
    """One id for an utterance: its partial forms and its final one share it."""
    ids, open_lines, count = [], {}, 0
    for event in events:
        track = event["track"]
        if track not in open_lines:
            count += 1
            open_lines[track] = f"line-{count}"
        ids.append(open_lines[track])
        if event.get("status") != "partial":
            del open_lines[track]
    return ids


async def play(call: Recording, link: MemoryLink, *, pace: float = 0.0, drop_after: int | None = None) -> Outcome:
    """Plays a call; `pace` 1 takes as long as the call did, 0 no time at all."""
    began = time.perf_counter()
    caller = await recognise(link, call)
    user = caller["user"]
    context = await link.call("get_session_context", user=user, purpose="voice", max_tokens=400)
    outcome = Outcome(user, caller["created"], context["instructions"], (time.perf_counter() - began) * 1000)
    session_update = {"type": "session.update", "session": {"instructions": outcome.instructions}}
    print(f"  speech model: {session_update['type']} with a preamble of {context['tokens']} tokens")
    send, receive = anyio.create_memory_object_stream[dict[str, Any]](10_000)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(record_lines, link, call, user, receive, outcome)
        async with send:
            now = 0.0
            for number, (event, line_id) in enumerate(zip(call.events, line_ids(call.events), strict=True), 1):
                await anyio.sleep(max(0.0, event["at"] - now) * pace)
                now = max(now, event["at"])
                send.send_nowait({**event, "id": line_id})  # speech goes on; recording follows
                if number == drop_after:
                    print("  network: the connection drops")
                    link.drop()
    await hang_up(link, call, user, outcome)
    return outcome


async def record_lines(link: MemoryLink, call: Recording, user: str, lines: Any, outcome: Outcome) -> None:
    """Records what comes, in order, a few lines at once where they have piled up."""
    async with lines:
        async for first in lines:
            batch = [first]
            while len(batch) < 50 and lines.statistics().current_buffer_used:
                batch.append(lines.receive_nowait())
            messages = [
                {
                    "id": line["id"],
                    "role": "user" if line["track"] == "caller" else "assistant",
                    "content": line["text"],
                    "status": line.get("status", "final"),
                    "occurred_at": (call.started_at + timedelta(seconds=line["at"])).isoformat(),
                }
                for line in batch
            ]
            began = time.perf_counter()
            done = await link.call(
                "record_messages", user=user, messages=messages, external_id=call.call_id, channel="voice"
            )
            outcome.acknowledged_ms.append((time.perf_counter() - began) * 1000)
            outcome.session_id = done["session_id"]


async def hang_up(link: MemoryLink, call: Recording, user: str, outcome: Outcome) -> None:
    """Keeps what was stated, and makes the summary that the next call begins with."""
    if call.facts:
        await link.call("upsert_user_context", user=user, values=call.facts, category="preference")
    outcome.summary = await link.call("summarize_session", user=user, session_id=outcome.session_id)
    await link.call("archive_session", user=user, session_id=outcome.session_id)


async def main() -> None:
    parser = argparse.ArgumentParser(description="Play a recorded call through Backstory.")
    parser.add_argument("recording", type=Path)
    parser.add_argument("--url", default=os.environ.get("BACKSTORY_URL", "http://127.0.0.1:8765/sse"))
    parser.add_argument("--pace", type=float, default=0.0, help="1: as long as the call took; 0: at once")
    parser.add_argument("--drop-after", type=int, metavar="N", help="lose the connection after N lines")
    options = parser.parse_args()
    token = os.environ.get("BACKSTORY_TOKEN")
    if not token:
        parser.error("set BACKSTORY_TOKEN to a token with the rights read,write,act-as")
    call = Recording.load(options.recording)
    print(f"{call.started_at:%Y-%m-%d %H:%M} call {call.call_id} from {call.number}")
    async with MemoryLink(options.url, token).open() as link:
        outcome = await play(call, link, pace=options.pace, drop_after=options.drop_after)
    print(f"  caller: {outcome.user} ({'first contact' if outcome.created else 'known'})")
    print(f"  preamble, ready after {outcome.preamble_ms:.0f} ms:")
    print("\n".join(f"    {line}" for line in outcome.instructions.splitlines() or ["(nothing is known yet)"]))
    print(f"  connections: {link.connections}; slowest acknowledgement {max(outcome.acknowledged_ms):.0f} ms")
    print(f"  summary: {outcome.summary['text']}")
    for promise in outcome.summary["commitments"]:
        print(f"  commitment: {promise if isinstance(promise, str) else promise['what']}")


if __name__ == "__main__":
    anyio.run(main)
