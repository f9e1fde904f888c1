"""A stdio server as a process that one can kill, and an MCP client's way to talk to it."""

import subprocess
import sys
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import IO

import anyio
from anyio.abc import Process
from anyio.streams.buffered import BufferedByteReceiveStream
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp import Client
from mcp.client.stdio import get_default_environment
from mcp.shared.message import SessionMessage
from mcp_types import jsonrpc_message_adapter

_LONGEST_LINE = 64 * 1024 * 1024
_GRACE_SECONDS = 5.0
FromServer = MemoryObjectReceiveStream[SessionMessage | Exception]
ToServer = MemoryObjectSendStream[SessionMessage]
# -P: a package called `server` in the current directory is not ours.
_SERVE = (sys.executable, "-P", "-m", "server", "serve")


@asynccontextmanager
async def served(
    environment: Mapping[str, str],
    command: Sequence[str] = _SERVE,
    mode: str = "auto",
    errors: IO[bytes] | int = subprocess.DEVNULL,
) -> AsyncGenerator[tuple[Client, Process], None]:
    """Starts a server, connects a client, and yields both. Calls fail once the process is killed.

    `errors` takes what the server writes to standard error. `mode` is the client's: 'auto' or 'legacy'.
    The process is waited for at the end: its stdin is closed, and it has a few seconds before it is killed.
    """
    async with await anyio.open_process(
        command, stderr=errors, env={**get_default_environment(), **environment}
    ) as process:
        try:
            async with Client(transport(process), mode=mode) as client:
                yield client, process
        finally:
            with anyio.CancelScope(shield=True):
                await ended(process)


async def ended(process: Process) -> None:
    assert process.stdin is not None
    with suppress(OSError, anyio.BrokenResourceError, anyio.ClosedResourceError):
        await process.stdin.aclose()
    with anyio.move_on_after(_GRACE_SECONDS):
        await process.wait()
    if process.returncode is None:
        process.kill()
        await process.wait()


@asynccontextmanager
async def transport(process: Process) -> AsyncGenerator[tuple[FromServer, ToServer], None]:
    """The process's pipes as the streams of an MCP client; the reading one ends when the process does."""
    to_client, from_server = anyio.create_memory_object_stream[SessionMessage | Exception](0)
    to_server, from_client = anyio.create_memory_object_stream[SessionMessage](0)

    async def read() -> None:
        assert process.stdout is not None
        lines = BufferedByteReceiveStream(process.stdout)
        with suppress(anyio.IncompleteRead, anyio.EndOfStream, anyio.ClosedResourceError, anyio.BrokenResourceError):
            async with to_client:
                while True:
                    line = await lines.receive_until(b"\n", _LONGEST_LINE)
                    await to_client.send(SessionMessage(jsonrpc_message_adapter.validate_json(line, by_name=False)))

    async def write() -> None:
        assert process.stdin is not None
        with suppress(OSError, anyio.ClosedResourceError, anyio.BrokenResourceError):
            async with from_client:
                async for message in from_client:
                    await process.stdin.send(
                        message.message.model_dump_json(by_alias=True, exclude_unset=True).encode() + b"\n"
                    )

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(read)
        tasks.start_soon(write)
        yield from_server, to_server
        tasks.cancel_scope.cancel()
    for stream in (to_client, from_server, to_server, from_client):
        stream.close()
