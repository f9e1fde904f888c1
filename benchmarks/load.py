"""Hosted under load: hundreds of clients at once over SSE and Streamable HTTP, beside the bare server in the same run.

    python benchmarks/load.py [--sse 200] [--http 200] [--seconds 60] [--every 10] [--connections 10000] [--json]

Four parts, on a scratch store:
1. bare: as many clients call a do-nothing tool of a bare MCPServer; the floor.
2. steady: every client records a turn, then searches, again and again for a minute.
3. rough: the same while clients vanish without closing and the server is restarted twice; calls are repeated.
4. connections: thousands opened and dropped, and the server's memory beside it.

Afterwards every client's record is read back and compared with what was acknowledged: nothing lost, nothing twice.
"""

import argparse
import asyncio
import json
import os
import random
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import psutil
from load_clients import Dropped, HttpClient, Refused, SseClient, Wire

HERE = Path(__file__).parent
TOPICS = ["boiler", "lease", "garden", "invoice", "holiday", "bicycle", "doctor", "recipe", "school", "train"]
Client: TypeAlias = HttpClient | SseClient


@dataclass
class Figures:
    """Milliseconds by what was done, and what went wrong."""

    taken: dict[str, list[float]] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    repeated: int = 0

    def note(self, what: str, began: float) -> None:
        self.taken.setdefault(what, []).append((time.perf_counter() - began) * 1000)

    def shown(self) -> dict[str, Any]:
        quantiles = {
            what: {
                "calls": len(values),
                "p50_ms": round(statistics.median(values), 1),
                "p95_ms": round(statistics.quantiles(values, n=20)[-1], 1),
                "max_ms": round(max(values), 1),
            }
            for what, values in sorted(self.taken.items())
            if len(values) > 1
        }
        return {**quantiles, "errors": len(self.errors), "examples": self.errors[:3], "repeated_calls": self.repeated}


@dataclass
class Served:
    """A server process on a port of its own."""

    command: list[str]
    env: dict[str, str]
    log: Path
    port: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(self.command, env=self.env, stdout=log, stderr=log)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise SystemExit(f"the server ended:\n{self.log.read_text()[-2000:]}")
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=0.2):
                    return
            except OSError:
                time.sleep(0.05)
        raise SystemExit("the server did not start")

    def stop(self) -> float:
        """Seconds until it has gone."""
        assert self.process is not None
        began = time.perf_counter()
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(30)
        return time.perf_counter() - began

    def megabytes(self) -> float:
        assert self.process is not None
        return float(psutil.Process(self.process.pid).memory_info().rss / 2**20)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def scratch_server(directory: Path) -> Served:
    port = free_port()
    env = {name: value for name, value in os.environ.items() if not name.startswith("BACKSTORY_")}
    env |= {"BACKSTORY_DATA_DIR": str(directory), "BACKSTORY_RATE_PER_MINUTE": "0"}
    command = [sys.executable, "-m", "server", "serve", "--transport", "http", "--port", str(port)]
    return Served(command, env, directory / "server.log", port)


def tokens(directory: Path, names: list[str]) -> dict[str, str]:
    """A token for each name, written into the scratch store directly: hundreds of commands would take minutes."""
    from memory.model import Owner
    from memory.people.api_tokens import issue
    from memory.people.identities import register
    from server.opening import utc_now
    from storage.sql import open_store, sqlite_url
    from storage.sql.directory import SqlDirectory

    store = open_store(sqlite_url(directory / "backstory.db"))
    people = SqlDirectory(store.database)
    made = {}
    for name in names:
        register(people, "load", name, clock=utc_now)
        made[name], _ = issue(people, Owner("load", name), ["read", "write"], lifetime=None, clock=utc_now)
    store.close()
    return made


async def insist(client: Client, tool: str, arguments: dict[str, Any], figures: Figures, rough: bool) -> Any:
    """Calls until an answer comes; only in the rough part may a call have to be repeated."""
    pause = 0.05
    while True:
        try:
            return await client.call(tool, arguments)
        except Dropped as dropped:
            client.vanish()
            if not rough:
                figures.errors.append(f"dropped: {dropped}")
                return None
            figures.repeated += 1
            await asyncio.sleep(pause * random.uniform(0.5, 1.5))
            pause = min(pause * 2, 2.0)
        except Refused as refused:
            figures.errors.append(f"{tool}: {refused}")
            return None


async def talk(client: Client, name: str, until: float, every: float, figures: Figures, rough: bool) -> list[str]:
    """One client's minute; returns the ids of the turns that were acknowledged."""
    acknowledged: list[str] = []
    await asyncio.sleep(random.uniform(0, every))
    turn = 0
    while time.monotonic() < until:
        turn += 1
        topic = TOPICS[turn % len(TOPICS)]
        line = f"turn {turn} of {name}: we talked about the {topic} and what to do about it"
        message = {"id": f"{'r' if rough else 's'}-{turn}", "role": "user", "content": line}
        began = time.perf_counter()
        done = await insist(client, "record_messages", {"messages": [message]}, figures, rough)
        figures.note("append", began)
        if done is not None:
            acknowledged.append(message["id"])
        began = time.perf_counter()
        arguments = {"query": f"what did we say about the {topic}?", "limit": 5}
        found = await insist(client, "search_conversation_history", arguments, figures, rough)
        figures.note("search", began)
        if found is not None and not found["structuredContent"]["hits"]:
            figures.errors.append("a search found nothing")
        if rough and random.random() < 0.1:
            client.vanish()
        await asyncio.sleep(every * random.uniform(0.8, 1.2))
    return acknowledged


async def idle_talk(client: Client, until: float, every: float, figures: Figures) -> None:
    await asyncio.sleep(random.uniform(0, every))
    while time.monotonic() < until:
        for _ in range(2):
            began = time.perf_counter()
            await insist(client, "nothing", {"text": "x" * 80}, figures, rough=False)
            figures.note("nothing", began)
        await asyncio.sleep(every * random.uniform(0.8, 1.2))


def crowd(url: str, sse: int, http: int, known: dict[str, str]) -> dict[str, Client]:
    names = [f"sse-{n}" for n in range(sse)] + [f"http-{n}" for n in range(http)]
    kinds: dict[str, Callable[[str, str], Client]] = {"sse": SseClient, "http": HttpClient}
    return {name: kinds[name.split("-")[0]](url, known.get(name, "none")) for name in names}


async def everybody(clients: dict[str, Client], work: Callable[[str, Client], Awaitable[Any]]) -> dict[str, Any]:
    done = await asyncio.gather(*(work(name, client) for name, client in clients.items()))
    for client in clients.values():
        client.vanish()
    return dict(zip(clients, done, strict=True))


async def compared(server: Served, known: dict[str, str], acknowledged: dict[str, list[str]]) -> dict[str, int]:
    """What every client was told is recorded, against what is."""
    lost = doubled = 0
    for name, ids in acknowledged.items():
        wire = Wire(server.url, known[name])
        stored: list[str] = []
        _, headers = await wire.send("GET", "/api/v1/sessions?limit=100")
        sessions = json.loads(await wire.body(headers))["sessions"]
        for session in sessions:
            cursor = ""
            while True:
                path = f"/api/v1/sessions/{session['session_id']}/messages?limit=1000{cursor}"
                _, headers = await wire.send("GET", path)
                page = json.loads(await wire.body(headers))
                stored += [message["message_id"] for message in page["messages"]]
                if page["next_cursor"] is None:
                    break
                cursor = f"&cursor={page['next_cursor']}"
        wire.close()
        lost += len(set(ids) - set(stored))
        doubled += len(stored) - len(set(stored))
    return {"turns": sum(map(len, acknowledged.values())), "lost": lost, "doubled": doubled}


async def restarted(server: Served, times: int, within: float) -> list[float]:
    """Restarts the server, evenly spread; returns how long each stop took."""
    stops = []
    for _ in range(times):
        await asyncio.sleep(within / (times + 1))
        stops.append(round(await asyncio.to_thread(server.stop), 2))
        await asyncio.to_thread(server.start)
    return stops


async def connections(server: Served, token: str, count: int) -> list[dict[str, float | str]]:
    """Opens and drops connections of every kind; memory as it goes."""
    samples: list[dict[str, float | str]] = []

    async def one(n: int) -> None:
        kind = n % 3
        try:
            if kind == 0:
                wire = Wire(server.url, token)
                await wire.send("GET", "/sse")
                wire.close(abruptly=n % 2 == 0)
            elif kind == 1:
                client = SseClient(server.url, token)
                await client.connect()
                client.vanish()
            else:
                http = HttpClient(server.url, token)
                await http.call("list_sessions", {})
                http.vanish()
        except (Dropped, Refused, OSError) as error:
            samples.append({"error": 1.0, "what": str(error)})

    step = max(count // 10, 1)
    for first in range(0, count, 50):
        await asyncio.gather(*(one(n) for n in range(first, min(first + 50, count))))
        if (first + 50) % step < 50:
            await asyncio.sleep(0.5)
            samples.append({"connections": float(first + 50), "rss_mb": round(server.megabytes(), 1)})
    return samples


async def run(options: argparse.Namespace, directory: Path) -> dict[str, Any]:
    report: dict[str, Any] = {"clients": {"sse": options.sse, "http": options.http}, "seconds": options.seconds}
    port = free_port()
    bare = Served(
        [sys.executable, str(HERE / "bare_http_server.py"), str(port)], dict(os.environ), directory / "bare.log", port
    )
    bare.start()
    figures = Figures()
    clients = crowd(bare.url, options.sse, options.http, {})
    until = time.monotonic() + options.seconds
    await everybody(clients, lambda _, client: idle_talk(client, until, options.every, figures))
    bare.stop()
    report["bare"] = figures.shown()

    known = tokens(directory, [*clients, "connections"])
    server = scratch_server(directory)
    server.start()
    for part in ("steady", "rough"):
        rough, figures = part == "rough", Figures()
        until = time.monotonic() + options.seconds
        restarts = asyncio.create_task(restarted(server, 2 if rough else 0, options.seconds))

        async def work(
            name: str, client: Client, rough: bool = rough, figures: Figures = figures, until: float = until
        ) -> list[str]:
            return await talk(client, name, until, options.every, figures, rough)

        acknowledged = await everybody(crowd(server.url, options.sse, options.http, known), work)
        stops = await restarts
        report[part] = {**figures.shown(), "record": await compared(server, known, acknowledged), "stops_s": stops}
    if options.connections:
        report["connections"] = await connections(server, known["connections"], options.connections)
    server.stop()
    return report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sse", type=int, default=200)
    parser.add_argument("--http", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--every", type=float, default=10, help="seconds between a client's turns")
    parser.add_argument("--connections", type=int, default=10_000)
    parser.add_argument("--json", action="store_true", help="figures for machines")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        report = asyncio.run(run(options, Path(scratch)))
    if options.json:
        print(json.dumps(report, indent=2))
        return
    for part in ("bare", "steady", "rough"):
        print(f"{part}:")
        for name, value in report[part].items():
            print(f"  {name:15} {json.dumps(value)}")
    for sample in report.get("connections", []):
        print(f"connections: {json.dumps(sample)}")


if __name__ == "__main__":
    main()
