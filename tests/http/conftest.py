"""Real servers over HTTP: processes of their own, on ports of their own, with tokens in their own databases."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp import Client
from mcp.client.sse import sse_client
from mcp.client.streamable_http import streamable_http_client

from memory.model import Owner
from memory.people.api_tokens import issue
from memory.people.identities import register
from server.opening import utc_now
from storage.sql import open_store, sqlite_url
from storage.sql.directory import SqlDirectory

START_SECONDS = 60.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Hosted:
    """One `backstory serve --transport http`, which can be stopped and started again on the same port and data."""

    data_dir: Path
    environ: dict[str, str] = field(default_factory=dict)
    arguments: tuple[str, ...] = ()
    port: int = field(default_factory=free_port)
    scheme: str = "http"
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    @property
    def log_path(self) -> Path:
        return self.data_dir / "stderr.log"

    def token(self, tenant: str, user: str, rights: str = "read,write,erase", lifetime: timedelta | None = None) -> str:
        with self.directory() as directory:
            register(directory, tenant, user, clock=utc_now)
            text, _ = issue(directory, Owner(tenant, user), rights.split(","), lifetime=lifetime, clock=utc_now)
        return text

    @contextlib.contextmanager
    def directory(self) -> Generator[SqlDirectory, None, None]:
        self.data_dir.mkdir(parents=True, exist_ok=True)
        store = open_store(sqlite_url(self.data_dir / "backstory.db"))
        try:
            yield SqlDirectory(store.database)
        finally:
            store.close()

    def spawn(self) -> subprocess.Popen[bytes]:
        self.data_dir.mkdir(parents=True, exist_ok=True)
        env = {k: v for k, v in os.environ.items() if not k.startswith(("BACKSTORY_", "OPENAI_"))}
        env |= {"BACKSTORY_DATA_DIR": str(self.data_dir), "BACKSTORY_EMBEDDER": "none", **self.environ}
        command = [sys.executable, "-m", "server", "serve", "--transport", "http", "--port", str(self.port)]
        with self.log_path.open("ab") as log:
            return subprocess.Popen(
                [*command, *self.arguments], env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def start(self) -> "Hosted":
        self.process = self.spawn()
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise AssertionError(f"the server ended with {self.process.returncode}:\n{self.log_path.read_text()}")
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=0.2):
                return self
            time.sleep(0.05)
        raise AssertionError(f"the server did not start:\n{self.log_path.read_text()}")

    def stop(self) -> int:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(15)

    def kill(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait(15)

    def log(self) -> list[dict[str, Any]]:
        """The lines on standard error; every one is JSON."""
        return [json.loads(line) for line in self.log_path.read_text().splitlines()]

    def http(self, token: str | None = None, **options: Any) -> httpx2.Client:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return httpx2.Client(base_url=self.url, headers=headers, timeout=20, trust_env=False, **options)

    @asynccontextmanager
    async def client(
        self, token: str, transport: str = "http", mode: Any = "auto", **options: Any
    ) -> AsyncGenerator[Client, None]:
        headers = {"Authorization": f"Bearer {token}"}
        if transport == "sse":
            async with Client(sse_client(f"{self.url}/sse", headers=headers), mode=mode, **options) as client:
                yield client
            return
        async with httpx2.AsyncClient(headers=headers, timeout=20, trust_env=False) as http:
            over = streamable_http_client(f"{self.url}/mcp", http_client=http)
            async with Client(over, mode=mode, **options) as client:
                yield client


Start = Callable[..., Hosted]


@pytest.fixture
def hosted_factory(tmp_path: Path) -> Generator[Start, None, None]:
    """Makes servers for one test; `start` is the test's own affair."""
    made: list[Hosted] = []

    def make(**options: Any) -> Hosted:
        server = Hosted(tmp_path / f"data-{len(made)}", **options)
        made.append(server)
        return server

    yield make
    for server in made:
        server.kill()


@pytest.fixture(scope="module")
def hosted(tmp_path_factory: pytest.TempPathFactory) -> Generator[Hosted, None, None]:
    """One running server for all tests of a file that do not stop it; it takes as many requests as come."""
    environ = {"BACKSTORY_RATE_PER_MINUTE": "0", "BACKSTORY_TOOLS": "full"}
    server = Hosted(tmp_path_factory.mktemp("hosted") / "data", environ).start()
    yield server
    server.kill()


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"
