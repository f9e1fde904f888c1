"""Lean MCP clients over raw sockets, so that a load of hundreds measures the server and not the clients."""

import asyncio
import json
import socket
import struct
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

VERSION = "2026-07-28"
META = {
    "io.modelcontextprotocol/protocolVersion": VERSION,
    "io.modelcontextprotocol/clientCapabilities": {},
    "io.modelcontextprotocol/clientInfo": {"name": "load", "version": "1"},
}
OPENING = {
    "protocolVersion": "2025-06-18",
    "capabilities": {},
    "clientInfo": {"name": "load", "version": "1"},
}


class Dropped(Exception):
    """The connection ended; the call may be made again."""


class Refused(Exception):
    """The server answered with an error."""


@dataclass
class Wire:
    """One HTTP/1.1 connection that is kept open."""

    url: str
    token: str
    reader: asyncio.StreamReader | None = None
    writer: asyncio.StreamWriter | None = None

    async def open(self) -> None:
        parts = urlsplit(self.url)
        try:
            self.reader, self.writer = await asyncio.open_connection(parts.hostname, parts.port, limit=2**22)
        except OSError as error:
            raise Dropped(str(error)) from error

    def close(self, abruptly: bool = False) -> None:
        if self.writer is None:
            return
        if abruptly:  # vanish: a reset instead of a farewell
            raw = self.writer.get_extra_info("socket")
            if raw is not None:
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort() if abruptly else self.writer.close()
        self.reader = self.writer = None

    def head(self, method: str, path: str, length: int, more: dict[str, str]) -> bytes:
        fields = {
            "Host": urlsplit(self.url).netloc,
            "Authorization": f"Bearer {self.token}",
            "Accept": "application/json, text/event-stream",
            **({"Content-Type": "application/json", "Content-Length": str(length)} if method == "POST" else {}),
            **more,
        }
        lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items()), "", ""]
        return "\r\n".join(lines).encode()

    async def send(self, method: str, path: str, body: bytes = b"", **more: str) -> tuple[int, dict[str, str]]:
        """Status and headers of the answer, whose body is still to be read."""
        if self.writer is None:
            await self.open()
        assert self.reader is not None
        assert self.writer is not None
        named = {name.replace("_", "-"): value for name, value in more.items()}
        try:
            self.writer.write(self.head(method, path, len(body), named) + body)
            await self.writer.drain()
            status = int((await self.reader.readline()).split()[1])
            headers: dict[str, str] = {}
            while line := (await self.reader.readline()).strip():
                name, _, value = line.decode().partition(":")
                headers[name.lower()] = value.strip()
        except (OSError, IndexError, ValueError, asyncio.IncompleteReadError) as error:
            self.close()
            raise Dropped(str(error)) from error
        return status, headers

    async def body(self, headers: dict[str, str]) -> bytes:
        assert self.reader is not None
        try:
            if "content-length" in headers:
                return await self.reader.readexactly(int(headers["content-length"]))
            parts = []
            while part := await self.chunk():
                parts.append(part)
            return b"".join(parts)
        except (OSError, ValueError, asyncio.IncompleteReadError) as error:
            self.close()
            raise Dropped(str(error)) from error

    async def chunk(self) -> bytes:
        """The next piece of a chunked body; empty at its end."""
        assert self.reader is not None
        size = int(await self.reader.readline(), 16)
        data = await self.reader.readexactly(size)
        await self.reader.readexactly(2)
        return data


def answered(document: dict[str, Any]) -> dict[str, Any]:
    if "error" in document:
        raise Refused(json.dumps(document["error"]))
    result: dict[str, Any] = document["result"]
    if result.get("isError"):
        raise Refused(json.dumps(result["content"]))
    return result


def events(text: str) -> list[dict[str, Any]]:
    return [json.loads(line[5:]) for line in text.splitlines() if line.startswith("data:") and line[5:].strip()]


@dataclass
class HttpClient:
    """Streamable HTTP, protocol of 2026: one POST a call."""

    url: str
    token: str
    wire: Wire = field(init=False)
    number: int = 0

    def __post_init__(self) -> None:
        self.wire = Wire(self.url, self.token)

    async def call(self, tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
        self.number += 1
        params = {"name": tool, "arguments": arguments, "_meta": META}
        body = {"jsonrpc": "2.0", "id": self.number, "method": "tools/call", "params": params}
        names = {"MCP_Protocol_Version": VERSION, "Mcp_Method": "tools/call", "Mcp_Name": tool}
        status, headers = await self.wire.send("POST", "/mcp", json.dumps(body).encode(), **names)
        text = (await self.wire.body(headers)).decode()
        if status == 503:
            self.wire.close()
            raise Dropped("the server is stopping")
        if status != 200:
            raise Refused(f"{status} {text[:200]}")
        if headers["content-type"].startswith("text/event-stream"):
            return answered(events(text)[-1])
        return answered(json.loads(text))

    def vanish(self) -> None:
        self.wire.close(abruptly=True)


@dataclass
class SseClient:
    """SSE, protocol of 2025: answers come over the stream."""

    url: str
    token: str
    number: int = 0
    stream: Wire | None = None
    posts: Wire | None = None
    where: str = ""
    waiting: dict[int, asyncio.Future[dict[str, Any]]] = field(default_factory=dict)
    reading: asyncio.Task[None] | None = None

    async def call(self, tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
        if self.stream is None:
            await self.connect()
        return await self.ask("tools/call", {"name": tool, "arguments": arguments})

    async def connect(self) -> None:
        self.stream, self.posts = Wire(self.url, self.token), Wire(self.url, self.token)
        try:
            status, _ = await self.stream.send("GET", "/sse")
            if status == 503:
                raise Dropped("the server is stopping")
            if status != 200:
                raise Refused(f"/sse answered {status}")
            first = (await self.stream.chunk()).decode()
            self.where = next(line[5:].strip() for line in first.splitlines() if line.startswith("data:"))
            self.reading = asyncio.create_task(self.read(self.stream))
            await self.ask("initialize", OPENING)
            await self.post({"jsonrpc": "2.0", "method": "notifications/initialized"})
        except (OSError, ValueError, StopIteration, asyncio.IncompleteReadError) as error:
            self.vanish()
            raise Dropped(str(error)) from error
        except Dropped:
            self.vanish()
            raise

    async def read(self, stream: Wire) -> None:
        buffer = ""
        try:
            while part := await stream.chunk():
                *whole, buffer = (buffer + part.decode()).replace("\r\n", "\n").split("\n\n")
                for event in whole:
                    for document in events(event):
                        waiting = self.waiting.pop(document.get("id", -1), None)
                        if waiting is not None and not waiting.done():
                            waiting.set_result(document)
        except (OSError, ValueError, AttributeError, AssertionError, asyncio.IncompleteReadError):
            pass
        for waiting in self.waiting.values():
            if not waiting.done():
                waiting.set_exception(Dropped("the stream ended"))
        self.waiting.clear()
        self.stream = None if self.stream is stream else self.stream

    async def ask(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        self.number += 1
        number = self.number
        self.waiting[number] = asyncio.get_running_loop().create_future()
        waiting = self.waiting[number]
        try:
            await self.post({"jsonrpc": "2.0", "id": number, "method": method, "params": params})
            return answered(await asyncio.wait_for(waiting, 30))
        except TimeoutError as error:
            raise Dropped("no answer came") from error
        finally:
            self.waiting.pop(number, None)
            if waiting.done() and not waiting.cancelled():
                waiting.exception()

    async def post(self, document: dict[str, Any]) -> None:
        if self.posts is None:
            raise Dropped("closed")
        status, headers = await self.posts.send("POST", self.where, json.dumps(document).encode())
        await self.posts.body(headers)
        if status in (404, 503):
            self.vanish()
            raise Dropped(f"answered {status}")
        if status != 202:
            raise Refused(f"{self.where} answered {status}")

    def vanish(self) -> None:
        for wire in (self.stream, self.posts):
            if wire is not None:
                wire.close(abruptly=True)
        self.stream = self.posts = None
