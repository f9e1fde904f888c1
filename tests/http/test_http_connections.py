"""Who sends or reads too slowly loses the connection, and strangers make room for callers."""

import asyncio
import json
import resource
import socket
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import psutil
import pytest
from uvicorn.config import Config
from uvicorn.server import ServerState

from server.http import connections as limits
from server.http.connections import Connection, Connections, address_key, most_connections

HEAD = b"POST /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\n"


class Wire(asyncio.Transport):
    """A transport that keeps what is written, of which nothing is read unless `size` is made smaller."""

    def __init__(self, address: str) -> None:
        super().__init__({"peername": (address, 1), "sockname": ("127.0.0.1", 80)})
        self.written = b""
        self.size = 0
        self.closed = self.aborted = False

    def write(self, data: Any) -> None:
        self.written += data

    def get_write_buffer_size(self) -> int:
        return self.size

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = self.aborted = True

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


async def quiet(scope: Any, receive: Any, send: Any) -> None:
    await asyncio.Event().wait()


def connected(crowd: Connections, address: str = "192.0.2.1") -> tuple[Connection, Wire]:
    config = Config(quiet, log_config=None)
    made = Connection(crowd, config=config, server_state=ServerState(), app_state={})
    wire = Wire(address)
    made.connection_made(wire)
    return made, wire


def end(*made: tuple[Connection, Wire]) -> None:
    for connection, _ in made:
        connection.connection_lost(None)


def go_on(crowd: Connections, seconds: int) -> None:
    for _ in range(seconds):
        crowd.sweep(1.0)


pytestmark = pytest.mark.anyio


async def test_a_head_has_ten_seconds_whatever_is_trickled() -> None:
    crowd = Connections()
    silent, trickling = connected(crowd), connected(crowd)
    for byte in HEAD[:9]:
        trickling[0].data_received(bytes([byte]))
        go_on(crowd, 1)
    assert not trickling[1].closed
    trickling[0].data_received(HEAD[9:20])
    go_on(crowd, 3)
    assert silent[1].closed
    assert trickling[1].closed
    assert trickling[1].written.startswith(b"HTTP/1.1 408 ")


async def test_a_body_comes_at_a_least_rate() -> None:
    crowd = Connections()
    slow, steady = connected(crowd), connected(crowd)
    for connection, _ in (slow, steady):
        connection.data_received(HEAD + b"Content-Length: 9000000\r\n\r\n")
        connection.flow.resume_reading()
    for _ in range(30):
        slow[0].data_received(b"x" * 100)
        steady[0].data_received(b"x" * 1100)
        for connection, _ in (slow, steady):
            connection.flow.resume_reading()
        go_on(crowd, 1)
    assert slow[1].closed
    assert not steady[1].closed
    go_on(crowd, 20)
    assert steady[1].closed


async def test_time_in_which_the_server_was_busy_is_charged_to_nobody() -> None:
    crowd = Connections()
    _, wire = connected(crowd)
    crowd.sweep(1.0)
    crowd.sweep(500.0)
    assert not wire.closed


async def test_who_does_not_read_for_a_minute_is_dropped() -> None:
    crowd = Connections()
    reading, stuck = connected(crowd), connected(crowd)
    for connection, wire in (reading, stuck):
        connection.data_received(b"GET /sse HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        wire.size = 500_000
        connection.pause_writing()
    for _ in range(65):
        reading[1].size -= 2000
        go_on(crowd, 1)
    assert stuck[1].aborted
    assert not reading[1].closed
    end(reading, stuck)


async def test_what_is_unread_is_bounded_in_all() -> None:
    crowd = Connections()
    many = [connected(crowd) for _ in range(10)]
    for connection, wire in many:
        wire.size = limits.MOST_UNSENT_BYTES // 5
        connection.data_received(b"GET /sse HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        connection.pause_writing()
    many[0][1].size = 100_000
    go_on(crowd, 5)
    assert sum(wire.size for _, wire in many if not wire.closed) <= limits.MOST_UNSENT_BYTES
    assert not many[0][1].closed
    end(*many)


async def test_the_longest_waiting_stranger_makes_room() -> None:
    crowd = Connections(limit=40)
    known, known_wire = connected(crowd)
    crowd.prove(known)
    half_sent = [connected(crowd)[1] for _ in range(60)]
    _, honest = connected(crowd, "192.0.2.99")
    assert not known_wire.closed
    assert not honest.closed
    assert half_sent[0].closed
    assert not half_sent[-1].closed
    assert len(crowd) <= 40


async def test_an_address_has_only_so_many_strangers() -> None:
    crowd = Connections()
    burst = [connected(crowd)[1] for _ in range(limits.STRANGERS_AN_ADDRESS + 50)]
    assert not any(wire.closed for wire in burst), "many may come in the same moment"
    go_on(crowd, 3)
    _, newest = connected(crowd)
    assert burst[0].closed
    assert not newest.closed
    assert not connected(crowd, "192.0.2.2")[1].closed


async def test_callers_are_never_dropped_for_newcomers_while_they_work() -> None:
    crowd = Connections(limit=4)
    callers = [connected(crowd, f"192.0.2.{n}") for n in range(4)]
    for connection, _ in callers:
        crowd.prove(connection)
        connection.data_received(b"GET /sse HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    _, newcomer = connected(crowd, "192.0.2.50")
    assert newcomer.closed
    assert not any(wire.closed for _, wire in callers)


async def test_a_proxy_counts_as_whom_it_speaks_for() -> None:
    crowd = Connections(proxies=["10.0.0.0/8"])
    for _ in range(limits.STRANGERS_AN_ADDRESS + 10):
        connection, _ = connected(crowd, "10.1.2.3")
        crowd.place(connection, "2001:db8::1:2")
    go_on(crowd, 3)
    other, other_wire = connected(crowd, "10.1.2.3")
    crowd.place(other, "203.0.113.9")
    assert crowd.dropped["crowded"] == 0
    last, _ = connected(crowd, "10.1.2.3")
    crowd.place(last, "2001:db8::ffff:1")
    assert crowd.dropped["crowded"] == 1
    assert not other_wire.closed


def test_addresses_of_one_subscriber_are_one() -> None:
    assert address_key("2001:db8::1") == address_key("2001:db8::ffff") != address_key("2001:db8:0:1::1")
    assert address_key("::ffff:192.0.2.1") == "192.0.2.1" == address_key("192.0.2.1")
    assert len(address_key("x" * 9999)) == 64


def test_a_descriptor_is_always_left() -> None:
    for descriptors in (64, 256, 1024, 20_000, 10_000_000):
        assert 0 < most_connections(descriptors) < descriptors


@pytest.mark.slow
@pytest.mark.reliability
def test_half_sent_requests_leave_honest_calls_served(hosted_factory: Any, tried: Callable[[str, int], None]) -> None:
    tried("connection that sends half a request, or a body byte by byte", 600)
    server = hosted_factory()
    token = server.token("acme", "ann")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    try:
        server.start()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    proof = f"Authorization: Bearer {token}\r\n".encode()
    with ExitStack() as held, server.http(token) as http:

        def opened(data: bytes) -> socket.socket:
            one = held.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=30))
            one.sendall(data)
            return one

        half_sent = [opened(HEAD) for _ in range(300)]
        slow = [opened(HEAD + proof + b"Content-Length: 5000000\r\n\r\n{") for _ in range(300)]
        began = time.monotonic()
        for _ in range(5):
            with server.http(token) as fresh:
                assert fresh.get("/api/v1/sessions").status_code == 200
            assert http.get("/api/v1/sessions").status_code == 200
        assert time.monotonic() - began < 20
        for one in (half_sent[-1], slow[-1], half_sent[0]):
            assert one.recv(20) in (b"HTTP/1.1 408 Request", b"")
        assert time.monotonic() - began < 30
    assert psutil.Process(server.process.pid).is_running()
    assert not [line for line in server.log() if line["level"] in ("ERROR", "CRITICAL")]


@pytest.mark.slow
@pytest.mark.reliability
def test_readers_that_never_read_cost_little(hosted_factory: Any, tried: Callable[[str, int], None]) -> None:
    tried("request whose answer is never read", 600)
    server = hosted_factory(environ={"BACKSTORY_RATE_PER_MINUTE": "0"})
    token = server.token("acme", "ann")
    server.start()
    with server.http(token) as http:
        session = http.post("/api/v1/sessions", json={}).json()["session_id"]
        for part in range(4):
            lines = [{"role": "user", "content": f"line {part} {n} " + "word " * 60} for n in range(250)]
            assert http.post(f"/api/v1/sessions/{session}/messages", json={"messages": lines}).status_code == 201
        arguments = {"uri": f"memory://sessions/{session}/messages"}
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "resources/read", "params": arguments})
        head = (
            f"POST /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n"
            "Content-Type: application/json\r\nAccept: application/json, text/event-stream\r\n"
            "MCP-Protocol-Version: 2025-06-18\r\nMcp-Session-Id: gone\r\n"
            f"Content-Length: {len(body)}\r\n\r\n{body}"
        ).encode()
        process = psutil.Process(server.process.pid)

        def read_all() -> None:
            with socket.create_connection(("127.0.0.1", server.port), timeout=30) as one:
                one.sendall(head.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1))
                while one.recv(1 << 16):
                    pass

        for _ in range(2):  # what as many readers cost who read is not the others' cost
            threads = [threading.Thread(target=read_all) for _ in range(30)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        deadline = time.monotonic() + 30
        while 'replica="keywords"} 0.0' not in http.get("/metrics").text and time.monotonic() < deadline:
            time.sleep(0.5)
        before = process.memory_info().rss
        with ExitStack() as held:
            for _ in range(30):
                one = held.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=30))
                one.sendall(head * 20)
            worst = 0
            for _ in range(16):
                time.sleep(0.5)
                worst = max(worst, process.memory_info().rss)
                assert http.get("/api/v1/sessions").status_code == 200
        assert worst - before < 100 * 1024 * 1024, (worst - before) // 1024**2
