"""What every driver has in common: its task comes as JSON on standard input, its findings go as JSON to a named file.

Drivers run in the environment of the client they try, where nothing of ours is installed; frameworks print what they
like.
"""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any


class Trial:
    """One client against one server: `calls` are [tool, arguments] in order."""

    def __init__(self, task: dict[str, Any]) -> None:
        self.command: str = task["command"]
        self.args: list[str] = task["args"]
        self.env: dict[str, str] = task["env"]
        self.calls: list[tuple[str, dict[str, Any]]] = [(tool, arguments) for tool, arguments in task["calls"]]
        self.versions: dict[str, str] = {}
        self.listed: list[str] = []
        self.refused: dict[str, dict[str, str]] = {}
        self.answers: dict[str, str] = {}
        self.failed: dict[str, str] = {}

    @contextmanager
    def converting(self, converter: str, tool: str) -> Iterator[None]:
        """Notes whether a tool's schema survives a provider's converter."""
        refused = self.refused.setdefault(converter, {})
        try:
            yield
        except Exception as error:
            refused[tool] = f"{type(error).__name__}: {error}"[:400]

    async def call_all(self, call: Callable[[str, dict[str, Any]], Awaitable[object]]) -> None:
        """Calls every tool; an answer is what the client hands to its model."""
        for tool, arguments in self.calls:
            try:
                self.answers[tool] = str(await call(tool, arguments))
            except Exception as error:
                self.failed[tool] = f"{type(error).__name__}: {error}"[:400]

    def findings(self) -> dict[str, Any]:
        names = ("versions", "listed", "refused", "answers", "failed")
        return {name: getattr(self, name) for name in names}


def main(run: Callable[[Trial], Awaitable[None]], *distributions: str) -> None:
    """Runs a driver. `distributions` are the packages whose versions are to be told."""
    trial = Trial(json.load(sys.stdin))
    trial.versions = {name: version(name) for name in distributions}
    asyncio.run(run(trial))
    Path(sys.argv[1]).write_text(json.dumps(trial.findings()))
