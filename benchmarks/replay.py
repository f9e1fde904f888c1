"""What a model is given in the course of a long conversation, replayed message by message through a stdio server.

    python benchmarks/replay.py [--at 20 100 400] [--budget 2000] [--strategy summarize] [--show]
    python benchmarks/replay.py --data locomo_conversations_0-4.json --conversation 3

Without `--data`, a conversation of our own about a house that is being renovated; with it, one of a LoCoMo file, all of
its sessions in one. `get_session_context` is asked after every user message, as an agent would, without a query of its
own; what it answers at the messages numbered `--at` is described, or shown in full.
"""

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import perf_counter
from typing import Any

from mcp.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client

ROOMS = ("kitchen", "bathroom", "attic", "cellar", "hall", "study", "terrace", "garage")
TRADES = ("plumber", "electrician", "roofer", "tiler", "painter", "carpenter", "architect", "gardener")
NAMES = ("Rui", "Eva", "Tomás", "Ilse", "Bruno", "Carla", "Nuno", "Petra")
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday")
EXCHANGES = (
    (
        "The {trade} {name} came to see the {room} on {day} and wants {price} euros for it.",
        "That is {diff} euros more than the first estimate. I'll compare it with the other offers by {day2}.",
    ),
    (
        "Let's go with the offer of {name} for the {room}, I liked how the {trade} explained it.",
        "Agreed: {name} does the {room} for {price} euros. I'll send {name} the confirmation tonight.",
    ),
    (
        "Is the permit for the {room} here yet?",
        "I'm not sure, I'll check with the town hall and get back to you on {day}.",
    ),
    (
        "My mother will sleep in the {room} from {month} on, so it has to be ready by then.",
        "Then the {trade} has to start by the {n}th at the latest. I have noted it.",
    ),
    ("How are you today?", "Fine, thank you! What shall we look at?"),
    (
        "I am allergic to the varnish that {name} used in the {room}, I had a headache for {n} days.",
        "Sorry to hear that. I'll ask the {trade} for a water-based one.",
    ),
    ("Thanks, that helps a lot!", "You're welcome!"),
    (
        "The delivery for the {room} is delayed by {n} days because of the strike in {city}.",
        "Then I'll move the {trade} from {day} to {day2} and tell {name}.",
    ),
    (
        "I found a door for the {room} in {city}, {n} centimetres too wide though.",
        "{name} can cut it, the {trade} did the same for the {room2} last year.",
    ),
    ("The {city} bank lends us {price} euros at 3.{n} percent.", "That covers the {room} and the {room2} together."),
)
CITIES = ("Porto", "Braga", "Faro", "Évora", "Coimbra", "Aveiro")
MONTHS = ("March", "April", "May", "June", "July", "September")


def own_conversation(length: int) -> Iterator[dict[str, Any]]:
    """User and assistant in turn; always the same."""
    at = datetime(2025, 1, 6, 18, tzinfo=UTC)
    for number in range((length + 1) // 2):
        words = {
            "room": ROOMS[number * 5 % 8],
            "room2": ROOMS[(number * 3 + 1) % 8],
            "trade": TRADES[number * 7 % 8],
            "name": NAMES[number * 3 % 8],
            "day": DAYS[number % 5],
            "day2": DAYS[(number + 2) % 5],
            "city": CITIES[number % 6],
            "month": MONTHS[number * 5 % 6],
            "price": f"{1200 + number * 37 % 4000:,}",
            "diff": 90 + number * 13 % 700,
            "n": 3 + number * 11 % 25,
        }
        said, answer = EXCHANGES[number * 3 % len(EXCHANGES)]
        at += timedelta(minutes=2) if number % 8 else timedelta(days=3)
        for minute, (role, text) in enumerate((("user", said), ("assistant", answer))):
            moment = (at + timedelta(minutes=minute)).isoformat()
            yield {"role": role, "content": text.format(**words), "id": f"{role[0]}{number}", "occurred_at": moment}


def locomo_conversation(path: Path, index: int) -> Iterator[dict[str, Any]]:
    talk = json.loads(path.read_text("utf-8"))[index]["conversation"]
    number = 1
    while f"session_{number}" in talk:
        at = datetime.strptime(talk[f"session_{number}_date_time"], "%I:%M %p on %d %B, %Y").replace(tzinfo=UTC)
        for minute, turn in enumerate(talk[f"session_{number}"]):
            yield {
                "role": "user" if turn["speaker"] == talk["speaker_a"] else "assistant",
                "speaker": turn["speaker"],
                "content": turn["text"],
                "id": turn["dia_id"],
                "occurred_at": (at + timedelta(minutes=minute)).isoformat(),
            }
        number += 1


async def replay(arguments: argparse.Namespace) -> None:
    if arguments.data:
        messages = list(locomo_conversation(arguments.data, arguments.conversation))
    else:
        messages = list(own_conversation(max(arguments.at)))
    with tempfile.TemporaryDirectory() as scratch:
        environment = {**os.environ, "BACKSTORY_DATA_DIR": scratch}
        server = StdioServerParameters(command=sys.executable, args=["-P", "-m", "server", "serve"], env=environment)
        async with Client(stdio_client(server)) as client:
            values = {"name": "Ana Sousa", "tone": "brief"}
            await client.call_tool("upsert_user_context", {"values": values})
            await go_through(client, messages, arguments)


async def go_through(client: Client, messages: list[dict[str, Any]], arguments: argparse.Namespace) -> None:
    wanted = {"max_tokens": arguments.budget, "strategy": {"mode": arguments.strategy}}
    times: list[float] = []
    for number, message in enumerate(messages, 1):
        await client.call_tool("record_messages", {"messages": [message]})
        if message["role"] == "user" or number in arguments.at:
            begun = perf_counter()
            given = await client.call_tool("get_session_context", wanted)
            times.append((perf_counter() - begun) * 1000)
            if given.is_error:
                sys.exit(str(given.content))
        if number in arguments.at:
            describe(number, given, times, arguments.show)


def describe(number: int, given: Any, times: list[float], show: bool) -> None:
    answer = given.structured_content
    turns, summary = answer["messages"], answer["summary"]
    print(f"== message {number}: {answer['tokens']} tokens")
    if turns:
        print(f"turns: messages {turns[0]['seq']} to {turns[-1]['seq']} in full ({len(turns)})")
    if summary:
        kept = f"{len(summary['text'].splitlines())} lines, {len(summary['commitments'])} commitments"
        print(f"summary: version {summary['version']}, covers 1 to {summary['covers_to_seq']}; {kept} shown")
    print(f"recalled: {', '.join(str(hit['seq']) for hit in answer['recalled']) or 'nothing'}")
    print(f"user context: {len(answer['user_context'])} entries")
    print(f"so far: p50 {statistics.median(times):.0f} ms, slowest {max(times):.0f} ms\n")
    if show:
        print(given.content[0].text, "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--at", type=int, nargs="+", default=[20, 100, 400])
    parser.add_argument("--budget", type=int, default=2000)
    parser.add_argument("--strategy", default="summarize", choices=["none", "trim", "summarize", "compact"])
    parser.add_argument("--data", type=Path, help="a LoCoMo file")
    parser.add_argument("--conversation", type=int, default=0)
    parser.add_argument("--show", action="store_true", help="the whole text as well")
    asyncio.run(replay(parser.parse_args()))


if __name__ == "__main__":
    main()
