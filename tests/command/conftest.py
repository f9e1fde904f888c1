"""The real command, in processes of its own, on a data directory of the test's own."""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
LOCOMO = "locomo_conversations_0-4.json"


@dataclass
class Command:
    """Runs `backstory` in a process of its own."""

    home: Path
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def data_dir(self) -> Path:
        return self.home / "data"

    @property
    def prefix(self) -> list[str]:
        return [sys.executable, "-P", "-m", "server"]

    @property
    def env(self) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "BACKSTORY_DATA_DIR": str(self.data_dir),
            **self.environment,
        }

    def __call__(self, *arguments: str, code: int = 0, **environment: str) -> subprocess.CompletedProcess[str]:
        """Runs it to its end and checks the exit code."""
        done = subprocess.run(
            [*self.prefix, *arguments],
            env={**self.env, **environment},
            capture_output=True,
            text=True,
            encoding="utf-8",
            errors="replace",
            timeout=170,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        assert done.returncode == code, (done.returncode, done.stdout[-2000:], done.stderr[-2000:])
        assert "Traceback" not in done.stderr, done.stderr
        return done

    def json(self, *arguments: str, **environment: str) -> Any:
        return json.loads(self(*arguments, "--json", code=0, **environment).stdout)

    def start(self, *arguments: str, **options: Any) -> subprocess.Popen[bytes]:
        return subprocess.Popen([*self.prefix, *arguments], env=self.env, **options)


class Gone(Exception):
    """The server ended before it answered."""


class Wire:
    """A server over stdio, and a client that speaks the protocol line by line, in the caller's thread."""

    def __init__(self, command: Command, *arguments: str) -> None:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        self.process = command.start("serve", *arguments, **pipes)
        self._number = 0

    def initialize(self) -> None:
        client = {"name": "test", "version": "1"}
        self.request("initialize", protocolVersion="2025-06-18", capabilities={}, clientInfo=client)
        self._send({"jsonrpc": "2.0", "method": "notifications/initialized"})

    def call(self, tool: str, **arguments: Any) -> Any:
        """The structured result. Errors: Gone; AssertionError for an error result."""
        result = self.request("tools/call", name=tool, arguments=arguments)
        assert not result.get("isError"), result
        return result["structuredContent"]

    def request(self, method: str, **params: Any) -> Any:
        self._number += 1
        self._send({"jsonrpc": "2.0", "id": self._number, "method": method, "params": params})
        assert self.process.stdout is not None
        while line := self.process.stdout.readline():
            if not line.endswith(b"\n"):
                break
            answer = json.loads(line)
            if answer.get("id") == self._number:
                assert "result" in answer, answer
                return answer["result"]
        raise Gone

    def _send(self, message: Any) -> None:
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps(message).encode() + b"\n")
            self.process.stdin.flush()
        except OSError as error:
            raise Gone from error

    def close(self) -> None:
        """Ends it as a host does: by closing its stdin."""
        assert self.process.stdin is not None and self.process.stdout is not None
        with contextlib.suppress(OSError):
            self.process.stdin.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise
        finally:
            self.process.stdout.close()


@pytest.fixture
def wire_of() -> Iterator[Callable[..., Wire]]:
    """Starts servers of a command; those still running at the test's end are closed."""
    wires: list[Wire] = []

    def start(command: Command, *arguments: str) -> Wire:
        wires.append(Wire(command, *arguments))
        return wires[-1]

    yield start
    for one in wires:
        one.close()


@pytest.fixture
def wire(backstory: Command, wire_of: Callable[..., Wire]) -> Callable[..., Wire]:
    """Starts servers on the test's data directory."""
    return partial(wire_of, backstory)


@pytest.fixture
def backstory(tmp_path: Path) -> Command:
    return Command(tmp_path)


@pytest.fixture(scope="session")
def locomo() -> Path:
    """The benchmark's file, where there is one on this machine."""
    path = Path(os.environ.get("BACKSTORY_LOCOMO") or ROOT.parent / "shared" / "data" / "locomo" / LOCOMO)
    if not path.is_file():
        pytest.skip("the LoCoMo data is not here; BACKSTORY_LOCOMO can name it")
    return path


def written(path: Path, *objects: Any) -> Path:
    """Writes objects as lines."""
    path.write_text("".join(json.dumps(one, ensure_ascii=False) + "\n" for one in objects), encoding="utf-8")
    return path


@pytest.fixture
def write_jsonl(tmp_path: Path) -> Callable[..., Path]:
    """Writes objects as lines of a file of that name."""
    return lambda name, *objects: written(tmp_path / name, *objects)


SAID = (
    {
        "external_id": "s1",
        "title": "Naïve café ☕",
        "role": "user",
        "content": "Ich suche eine Wohnung in Köln – 東京?",
    },
    {"external_id": "s1", "role": "assistant", "content": "Evil \x1b[31mred\x1b[0m \x07 and\nsecond line"},
)


@pytest.fixture(scope="session")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Command:
    """A store that tests only read: two messages of the local user, a megabyte of the user `much`'s; no embedder."""
    command = Command(tmp_path_factory.mktemp("stored"), {"BACKSTORY_EMBEDDER": "none"})
    command("import", str(written(command.home / "a.jsonl", *SAID)))
    many = [
        {"external_id": "s", "id": str(n), "role": "user", "content": f"{n} boat " + "x" * 2000} for n in range(500)
    ]
    command("import", "--user", "much", str(written(command.home / "b.jsonl", *many)))
    return command
