"""The preamble for a call's start: how long it takes from a warm memory, and from a warm server over stdio.

    python benchmarks/preamble.py [--sessions 100] [--turns 20] [--runs 300] [--json]

One user with that many archived sessions, each with a summary, and forty entries of user context. Measured are
`get_session_context(purpose="voice")` with nothing changed since the last one, after a turn was recorded (which makes
the preamble anew), and, for comparison, `get_session_context` of the open session in a chat without a query.
"""

import argparse
import asyncio
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import perf_counter

from mcp.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client

from inference.summarizers.extractive import ExtractiveSummarizer
from memory.context.session_context import ContextRequest, SessionContexts
from memory.model import NewMessage, Owner
from memory.record import user_context
from memory.record.recording import record
from memory.record.sessions import Target, archive, start
from memory.summaries.summarizing import Summarizing
from memory.text.tokens import EstimatedTokens
from storage.sql import SqlRecordStore, open_store, sqlite_url

OWNER = Owner("default", "local")
WARM_SECONDS = 3.0
THINGS = ("kitchen", "garage", "balcony", "notary", "loan", "garden", "visit", "deposit", "roof", "contract")
SAID = (
    "I would like to talk about the {thing} again, my number is {n}.",
    "My sister Rita says the {thing} costs about {n} euros.",
    "Let's go with the {thing} on Tuesday at {hour} am.",
    "Is the {thing} still part of offer {n}?",
)
ANSWERED = (
    "I'll send you the papers for the {thing} by Friday.",
    "The {thing} is included, as far as I can see.",
    "I'm not sure, I'll check with the owner of the {thing}.",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sessions", type=int, default=100)
    parser.add_argument("--turns", type=int, default=20)
    parser.add_argument("--runs", type=int, default=300)
    parser.add_argument("--json", action="store_true", help="figures for machines")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        store = open_store(sqlite_url(Path(scratch) / "backstory.db"))
        fill(store, arguments.sessions, arguments.turns)
        figures = in_process(store, arguments.runs)
        store.close()
        figures |= asyncio.run(over_stdio(Path(scratch), arguments.runs))
    if arguments.json:
        print(json.dumps(figures, indent=1))
        return
    print(f"{arguments.sessions} sessions of {arguments.turns} turns; milliseconds, {arguments.runs} runs")
    print("| | p50 | p95 | p99 |\n|---|---|---|---|")
    for name, row in figures.items():
        print(f"| {name} | {row['p50']:.2f} | {row['p95']:.2f} | {row['p99']:.2f} |")


def fill(store: SqlRecordStore, sessions: int, turns: int) -> None:
    chance = random.Random(7)
    now = datetime(2025, 1, 1, tzinfo=UTC)

    def clock() -> datetime:
        nonlocal now
        now += timedelta(seconds=20)
        return now

    counter = EstimatedTokens()
    summarizing = Summarizing(store, [ExtractiveSummarizer(None, counter)], counter, clock)
    for _ in range(sessions):
        session = start(store, OWNER, Target(channel="voice"), clock)
        messages = []
        for _ in range(turns):
            words = {"thing": chance.choice(THINGS), "n": chance.randrange(1000), "hour": chance.randrange(8, 12)}
            messages.append(NewMessage("user", chance.choice(SAID).format(**words)))
            messages.append(NewMessage("assistant", chance.choice(ANSWERED).format(**words)))
        record(store, OWNER, messages, Target(session.session_id), clock)
        summarizing.summarize(OWNER, session.session_id)
        archive(store, OWNER, session.session_id, clock)
        now += timedelta(days=1)
    user_context.upsert(store, OWNER, {"name": "Ana Sousa", "preferred_name": "Ana"}, clock=clock)
    for category in ("preference", "fact", "state"):
        values = {f"{category} {n}": f"about the {chance.choice(THINGS)} {n}" for n in range(13)}
        user_context.upsert(store, OWNER, values, category=category, clock=clock)


def in_process(store: SqlRecordStore, runs: int) -> dict[str, dict[str, float]]:
    def clock() -> datetime:
        return datetime.now(UTC)

    counter = EstimatedTokens()
    contexts = SessionContexts(store, None, counter, clock)
    voice = ContextRequest(purpose="voice")
    assert 0 < contexts.get(OWNER, voice).tokens <= 400
    same = timed(runs, lambda: contexts.get(OWNER, voice))
    fresh = []
    target = Target(start(store, OWNER, Target(), clock).session_id)
    for number in range(runs):
        record(store, OWNER, [NewMessage("user", f"Line {number} of the call.")], target, clock)
        fresh += timed(1, lambda: contexts.get(OWNER, voice))
    chat = timed(runs, lambda: contexts.get(OWNER, ContextRequest(session_id=target.session_id)))
    archive(store, OWNER, target.session_id, clock)
    return {
        "in process, nothing changed": percentiles(same),
        "in process, after a recorded turn": percentiles(fresh),
        "in process, chat with 300 open turns": percentiles(chat),
    }


async def over_stdio(directory: Path, runs: int) -> dict[str, dict[str, float]]:
    environment = {**os.environ, "BACKSTORY_DATA_DIR": str(directory), "BACKSTORY_EMBEDDER": "none"}
    # A warm server has its index and has loaded what it needs; before, it shares its core with that work.
    subprocess.run([sys.executable, "-P", "-m", "server", "reindex", "--wait"], env=environment, check=True)
    server = StdioServerParameters(command=sys.executable, args=["-P", "-m", "server", "serve"], env=environment)
    async with Client(stdio_client(server)) as client:

        async def preamble() -> object:
            return await client.call_tool("get_session_context", {"purpose": "voice"})

        warm = perf_counter() + WARM_SECONDS
        while perf_counter() < warm:
            await preamble()
        same = await timed_async(runs, preamble)
        fresh = []
        for number in range(runs):
            message = {"role": "user", "content": f"Line {number} of the second call."}
            await client.call_tool("record_messages", {"messages": [message]})
            fresh += await timed_async(1, preamble)
    return {
        "over stdio, nothing changed": percentiles(same),
        "over stdio, after a recorded turn": percentiles(fresh),
    }


def timed(runs: int, call: Callable[[], object]) -> list[float]:
    times = []
    for _ in range(runs):
        begun = perf_counter()
        call()
        times.append((perf_counter() - begun) * 1000)
    return times


async def timed_async(runs: int, call: Callable[[], Awaitable[object]]) -> list[float]:
    times = []
    for _ in range(runs):
        begun = perf_counter()
        await call()
        times.append((perf_counter() - begun) * 1000)
    return times


def percentiles(times: list[float]) -> dict[str, float]:
    cut = statistics.quantiles(times, n=100)
    return {"p50": cut[49], "p95": cut[94], "p99": cut[98]}


if __name__ == "__main__":
    main()
