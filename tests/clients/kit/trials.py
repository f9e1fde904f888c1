"""Tries clients against a real server over stdio. As a script: makes every environment, tries every client, and writes
the table in docs/clients.md.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from environments import Client, known, make

PAGE = Path(__file__).parents[3] / "docs" / "clients.md"
TABLE = re.compile(r"(?<=<!-- results -->\n).*?(?=<!-- end of results -->)", re.DOTALL)
BACKSTORY = str(Path(sys.executable).with_name("backstory"))
NEEDLE = "the lighthouse at Kermorvan"
EMAIL = "ada@example.org"
SECONDS = 600

SAID: dict[str, Any] = {
    "role": "user",
    "content": f"I love {NEEDLE}.",
    "id": "first",
    "occurred_at": "2026-05-31T12:00:00Z",
    "speaker": "Ada",
    "intent": "tell",
    "intent_confidence": 0.9,
    "entities": {"place": "Kermorvan"},
    "metadata": {"screen": 1},
    "status": "final",
}
LOOKED_UP: dict[str, Any] = {
    "role": "tool",
    "content": "Built in 1849.",
    "tool_name": "look_up",
    "tool_call_id": "call-1",
    "tool_arguments": {"name": "Kermorvan"},
}
SUMMARY: dict[str, Any] = {
    "text": "Ada loves a lighthouse.",
    "decisions": ["Go there in June."],
    "commitments": [{"what": "Book a boat.", "who": "Ada", "by_when": "Friday"}],
    "open_questions": ["Which boat?"],
    "facts": ["It was built in 1849."],
}
KNOBS: dict[str, Any] = {"mode": "trim", "keep_turns": 5}

# Only a user who is on the books can be recognised.
BOOKS = (
    ["token", "create", "--tenant", "default", "--user", "local"],
    ["user", "link", "local", "email", EMAIL],
)
# Every tool, what it is asked, and what its answer must hold.
CALLS: list[tuple[str, dict[str, Any], str]] = [
    ("record_messages", {"messages": [SAID, LOOKED_UP], "channel": "chat", "agent": "guide"}, "ses_"),
    ("search_conversation_history", {"query": "lighthouse", "queries": ["Kermorvan"], "scope": "all"}, NEEDLE),
    ("get_context_around_topic", {"topic": "lighthouse", "days_back": 9000.5, "window": 2}, NEEDLE),
    ("upsert_user_context", {"values": {"place": {"name": NEEDLE}}, "category": "preference"}, NEEDLE),
    ("get_user_context", {"keys": ["place"], "include_history": True}, NEEDLE),
    ("get_session_context", {"query": "lighthouse", "strategy": KNOBS, "purpose": "voice"}, NEEDLE),
    ("summarize_session", {"summary": SUMMARY}, "lighthouse"),
    ("list_sessions", {"limit": 5, "archived": False}, "ses_"),
    ("start_session", {"title": "A new one", "external_id": "call-7"}, "ses_"),
    ("archive_session", {}, "ses_"),
    ("set_memory_strategy", {"level": "agent", "agent": "guide", "strategy": KNOBS}, "trim"),
    ("identify_user", {"email": EMAIL, "new_person": False}, "local"),
]


@dataclass(frozen=True)
class Findings:
    """What came of a trial: names of the tools listed, what each converter refused by tool, and what calls gave."""

    versions: dict[str, str]
    listed: list[str]
    refused: dict[str, dict[str, str]]
    answers: dict[str, str]
    failed: dict[str, str]

    @property
    def faults(self) -> list[str]:
        """What went wrong, a line each."""
        names = sorted(name for name, _, _ in CALLS)
        faults = [] if sorted(self.listed) == names else [f"listed {self.listed}"]
        faults += [f"{converter} {name}: {why}" for converter, bad in self.refused.items() for name, why in bad.items()]
        faults += [f"call {name}: {why}" for name, why in self.failed.items()]
        lost = self.answers.keys() - set(self.answered)
        return faults + [f"call {name} answers {self.answers[name][:400]!r}" for name in sorted(lost)]

    @property
    def answered(self) -> list[str]:
        """The tools whose answers hold what they must."""
        return [name for name, _, wanted in CALLS if wanted in self.answers.get(name, "\0")]


def try_client(client: Client, data: Path) -> Findings:
    """A client's driver, run against a server on a store in `data`. Errors: RuntimeError with what the driver said."""
    found = data / "findings.json"
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("BACKSTORY_", "OPENAI_"))}
    env = {**kept, "BACKSTORY_DATA_DIR": str(data / "store"), "BACKSTORY_EMBEDDER": "none"}
    for told in BOOKS:
        subprocess.run([BACKSTORY, *told], env=env, capture_output=True, check=True)
    task = {
        "command": BACKSTORY,
        "args": ["serve", "--tools", "full"],
        "env": env,
        "calls": [(name, arguments) for name, arguments, _ in CALLS],
    }
    done = subprocess.run(
        [*client.driver, str(found)],
        input=json.dumps(task),
        cwd=client.environment if client.is_apart else data,
        env=kept,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    if done.returncode or not found.exists():
        raise RuntimeError(f"{client.key} failed:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
    return Findings(**json.loads(found.read_text()))


def row(client: Client, found: Findings) -> str:
    """A client's line in the table: of how many tools each step succeeded."""
    of = len(CALLS)
    packages = ", ".join(f"{name} {version}" for name, version in found.versions.items())
    converted = (
        ", ".join(f"{converter} {of - len(bad)}/{of}" for converter, bad in found.refused.items()) or "as listed"
    )
    return f"| {client.name} | {packages} | {len(found.listed)}/{of} | {converted} | {len(found.answered)}/{of} |"


def main() -> None:
    lines = ["| client | version | list | convert | call |", "|---|---|---|---|---|"]
    for client in known().values():
        make(client)
        with tempfile.TemporaryDirectory(prefix="backstory-clients-") as data:
            found = try_client(client, Path(data))
        lines.append(row(client, found))
        print(lines[-1], *found.faults, sep="\n  ", flush=True)
    PAGE.write_text(TABLE.sub("\n".join(lines) + "\n", PAGE.read_text()))


if __name__ == "__main__":
    main()
