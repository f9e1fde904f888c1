"""Start-up: from spawning the process to its answer to `initialize`, beside a bare MCPServer in the same run.

    python benchmarks/startup.py [--runs 21] [--json]

The two servers take turns, so that a busy moment of the machine hits both. Files are compiled beforehand by one run
of each that does not count. The first `record_messages` after the start is measured as well: it waits for what is
loaded in the background.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter
from typing import Any

HERE = Path(__file__).parent
SERVERS = {
    "bare MCPServer": [sys.executable, str(HERE / "bare_server.py")],
    "backstory": [sys.executable, "-P", "-m", "server", "serve"],
}
FIRST_CALLS = {
    "bare MCPServer": ("nothing", {"text": "hello"}),
    "backstory": ("record_messages", {"messages": [{"role": "user", "content": "hello"}]}),
}
INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-06-18",
        "capabilities": {},
        "clientInfo": {"name": "benchmark", "version": "1"},
    },
}
INITIALIZED = {"jsonrpc": "2.0", "method": "notifications/initialized"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=21)
    parser.add_argument("--json", action="store_true", help="figures for machines")
    arguments = parser.parse_args()
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in SERVERS}
    with tempfile.TemporaryDirectory() as scratch:
        for run in range(arguments.runs + 1):
            for name in SERVERS:
                figures = one_start(name, scratch)
                if run > 0:
                    taken[name].append(figures)
    report(taken, arguments.json)


def one_start(name: str, scratch: str) -> tuple[float, float]:
    """Seconds to the answer to `initialize`, and from there to the answer to a first tool call."""
    tool, tool_arguments = FIRST_CALLS[name]
    call = {
        "jsonrpc": "2.0",
        "id": 2,
        "method": "tools/call",
        "params": {"name": tool, "arguments": tool_arguments},
    }
    environment = {**os.environ, "BACKSTORY_DATA_DIR": scratch}
    started = perf_counter()
    with subprocess.Popen(
        SERVERS[name],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
    ) as process:
        ask(process, INITIALIZE)
        ready = perf_counter()
        tell(process, INITIALIZED)
        ask(process, call)
        called = perf_counter()
        assert process.stdin is not None
        process.stdin.close()
        process.wait(10)
    return ready - started, called - ready


def tell(process: subprocess.Popen[bytes], message: dict[str, Any]) -> None:
    assert process.stdin is not None
    process.stdin.write(json.dumps(message).encode() + b"\n")
    process.stdin.flush()


def ask(process: subprocess.Popen[bytes], message: dict[str, Any]) -> None:
    tell(process, message)
    assert process.stdout is not None
    while line := process.stdout.readline():
        answer = json.loads(line)
        if answer.get("id") == message["id"]:
            if "error" in answer or answer["result"].get("isError"):
                sys.exit(f"The server answered with an error: {answer}")
            return
    sys.exit("The server ended before it answered.")


def report(taken: dict[str, list[tuple[float, float]]], as_json: bool) -> None:
    figures = {
        name: {
            "initialize_ms": quantiles([one[0] for one in rows]),
            "first_call_ms": quantiles([one[1] for one in rows]),
        }
        for name, rows in taken.items()
    }
    floor, ours = (figures[name]["initialize_ms"] for name in SERVERS)
    ratio = {key: round(ours[key] / floor[key], 2) for key in ours}
    if as_json:
        print(json.dumps({**figures, "ratio": ratio}, indent=2))
        return
    print("| start-up | p50 ms | p95 ms | fastest ms |\n|---|---|---|---|")
    for name, rows in figures.items():
        for what, label in (("initialize_ms", "to `initialize`"), ("first_call_ms", "then to a first tool call")):
            q = rows[what]
            print(f"| {name}, {label} | {q['p50']:.0f} | {q['p95']:.0f} | {q['min']:.0f} |")
    print(f"| **ratio to `initialize`** | **{ratio['p50']}** | {ratio['p95']} | {ratio['min']} |")


def quantiles(seconds: list[float]) -> dict[str, float]:
    ordered = sorted(one * 1000 for one in seconds)
    return {
        "p50": statistics.median(ordered),
        "p95": ordered[min(len(ordered) - 1, round(0.95 * (len(ordered) - 1)))],
        "min": ordered[0],
    }


if __name__ == "__main__":
    main()
