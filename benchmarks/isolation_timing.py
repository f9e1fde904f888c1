"""Does the time of an answer tell somebody else's session from one that nobody has?

    python benchmarks/isolation_timing.py [--times 2000] [--json]

Through the protocol, in one process: a user asks in random turns for a session of another user's, for one that nobody
has, and for a second one that nobody has. The two unknown ones show how far medians lie apart by chance alone.
"""

import argparse
import asyncio
import json
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path

from mcp import Client

from memory.ids import new_id
from memory.model import NewMessage, Owner
from memory.record.recording import record
from memory.record.sessions import Target
from server.app import build_memory, build_server
from server.identity import LocalUser
from server.settings import Settings

TOOL = "get_session_context"


async def measured(times: int, directory: Path) -> dict[str, list[float]]:
    """Milliseconds of each answer, by whose session was asked for."""
    with build_memory(Settings(data_dir=directory, embedder="none")) as memory:
        said = [NewMessage("user", f"The boat, part {number}") for number in range(500)]
        theirs = record(memory.wait().store, Owner("acme", "bob"), said, Target(), memory.clock).session.session_id
        asked = {"another's": theirs, "nobody's": new_id("ses"), "nobody's, again": new_id("ses")}
        taken: dict[str, list[float]] = {whose: [] for whose in asked}
        async with Client(build_server(memory, identify=LocalUser(Owner("acme", "ana")))) as client:
            turns = [whose for whose in asked for _ in range(times)]
            random.Random(1).shuffle(turns)
            for whose in turns:
                began = time.perf_counter()
                answer = await client.call_tool(TOOL, {"session_id": asked[whose]})
                taken[whose].append((time.perf_counter() - began) * 1000)
                assert answer.is_error
    return taken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=2000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="backstory-bench-", ignore_cleanup_errors=True) as directory:
        taken = asyncio.run(measured(options.times, Path(directory)))
    medians = {whose: round(statistics.median(values), 4) for whose, values in taken.items()}
    if options.json:
        json.dump({"times": options.times, "median_ms": medians}, sys.stdout)
        return
    print(f"{options.times} questions each, median milliseconds to 'not found':")
    for whose, median in medians.items():
        print(f"  {whose:16} {median:.4f}")


if __name__ == "__main__":
    main()
