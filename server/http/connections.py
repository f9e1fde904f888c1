"""Connections: how many there may be, how long a client may take to send or to read, and whom it costs the connection.

A connection is a stranger's until a good token has come through it. Strangers make room first, the longest waiting
first, so that nobody without a token keeps out anybody who has one.
"""

import asyncio
import ipaddress
import time
from collections.abc import Iterable
from typing import Any

import h11
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from server.http.metrics import Gauge

TICK_SECONDS = 1.0
HEAD_SECONDS = 10.0
"""From the connection, or a request's first byte, to the end of its head: one packet for all but the slowest."""
BODY_GRACE_SECONDS = 10.0
BODY_BYTES_A_SECOND = 1024
"""Slower than any modem; asked for after the grace, on average."""
BODY_SECONDS = 600.0
"""For the whole body: the largest that is allowed by default, at 28 KB a second."""
UNREAD_SECONDS = 60.0
UNREAD_BYTES_A_SECOND = 1024
LEAVING_SECONDS = 30.0
"""How long the last bytes of a closed connection may take to be read."""
STALLED_SECONDS = 2.0
MOST_UNSENT_BYTES = 32 * 1024 * 1024
"""For all connections together. Above it, those that have read nothing for STALLED_SECONDS are dropped, the largest
first."""
MOST_CONNECTIONS = 16_384
STRANGERS_AN_ADDRESS = 256
SETTLE_SECONDS = 2.0
"""A stranger younger than this does not make room for another one of its address: hundreds of honest clients behind one
address may connect in the same moment."""
RESERVED_DESCRIPTORS = 512
"""For the database, the index, models and helpers; half of all where there are fewer than twice as many."""
PROTOCOL = "backstory.connection"
TIMED_OUT = (
    b"HTTP/1.1 408 Request Timeout\r\nContent-Type: text/plain; charset=utf-8\r\n"
    b"Content-Length: 45\r\nConnection: close\r\n\r\nThe request came too slowly; send it at once."
)


def raise_descriptors() -> int:
    """Raises the number of files that this process may open to the most that it is allowed, and returns it."""
    try:
        import resource
    except ImportError:  # Windows, where the C library's limit does not hold for sockets
        return MOST_CONNECTIONS * 2
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for wanted in (hard, 1_048_576, 10_240):  # macOS calls its limit infinite, and takes 10,240
        if hard != resource.RLIM_INFINITY and wanted > hard:
            continue
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        except (ValueError, OSError):
            continue
        break
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return MOST_CONNECTIONS * 2 if soft == resource.RLIM_INFINITY else soft


def most_connections(descriptors: int) -> int:
    """How many connections there may be with so many descriptors, so that there is always one left to accept with."""
    return max(1, min(MOST_CONNECTIONS, descriptors - min(RESERVED_DESCRIPTORS, descriptors // 2)))


def address_key(host: str) -> str:
    """What counts as one address: an IPv4 address, or an IPv6 network of 64 bits, which is what one subscriber has."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host[:64]
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((int(address) >> 64 << 64, 64)))


class Connections:
    """All connections of one server. Used on the event loop alone. `limit` is how many there may be."""

    def __init__(self, limit: int = MOST_CONNECTIONS, proxies: Iterable[str] = ()) -> None:
        self.limit = limit
        self.clock = 0.0
        self.dropped: dict[str, int] = {"crowded": 0, "sent too slowly": 0, "read too slowly": 0}
        self._proxies = [ipaddress.ip_network(proxy) for proxy in proxies]
        self._all: dict[Connection, None] = {}
        self._strangers: dict[Connection, None] = {}
        self._strangers_of: dict[str, dict[Connection, None]] = {}
        self._count: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._all)

    def admit(self, connection: "Connection") -> None:
        """Takes a new connection in; another one, or it, is dropped where there are too many."""
        self._all[connection] = None
        host = connection.client[0] if connection.client else None
        connection.proxied = host is not None and self._is_proxy(host)
        self._enter(connection, None if host is None or connection.proxied else address_key(host))
        if len(self._all) > self.limit:
            self._make_room(self._strangers, self._all, connection)

    def leave(self, connection: "Connection") -> None:
        """Forgets a connection that has ended. Safe to call twice."""
        if connection in self._all:
            del self._all[connection]
            self._exit(connection)

    def place(self, connection: "Connection", host: str | None) -> None:
        """Counts a proxy's connection as the address whose request it carries now; None is nobody's."""
        if connection in self._all and connection.proxied:
            self._exit(connection)
            self._enter(connection, None if host is None else address_key(host))

    def prove(self, connection: "Connection") -> None:
        """Notes that a good token came through the connection."""
        if not connection.proven:
            connection.proven = True
            self._remove_stranger(connection)

    async def watch(self) -> None:
        """Looks after the connections until it is cancelled."""
        at = time.monotonic()
        while True:
            await asyncio.sleep(TICK_SECONDS)
            now = time.monotonic()
            self.sweep(now - at)
            at = now

    def sweep(self, seconds: float) -> None:
        """Drops whoever takes too long, `seconds` after the last time. Time in which the server itself was busy is
        charged to nobody."""
        self.clock += min(seconds, 2 * TICK_SECONDS)
        for connection in list(self._all):
            why = connection.overdue(self.clock)
            if why is not None:
                self._drop(connection, why)
        self._relieve()

    def gauges(self) -> list[Gauge]:
        """What is read when Prometheus asks."""
        return [
            Gauge("backstory_connections", "Open connections.", (), lambda: [((), float(len(self._all)))]),
            Gauge(
                "backstory_connections_dropped",
                "Connections dropped since the start.",
                ("reason",),
                lambda: [((why,), float(count)) for why, count in self.dropped.items()],
            ),
        ]

    def _enter(self, connection: "Connection", address: str | None) -> None:
        connection.address = address
        if not connection.proven:
            self._strangers[connection] = None
        if address is None:
            return
        self._count[address] = self._count.get(address, 0) + 1
        strangers = self._strangers_of.setdefault(address, {})
        if not connection.proven:
            strangers[connection] = None
        oldest = next(iter(strangers), connection)
        if len(strangers) > STRANGERS_AN_ADDRESS and self.clock - oldest.since >= SETTLE_SECONDS:
            self._drop(oldest, "crowded")
        if self._count.get(address, 0) > max(1, self.limit // 2):
            self._make_room(strangers, (c for c in self._all if c.address == address), connection)

    def _exit(self, connection: "Connection") -> None:
        self._remove_stranger(connection)
        address = connection.address
        if address is not None and address in self._count:
            self._count[address] -= 1
            if not self._count[address]:
                del self._count[address]
                self._strangers_of.pop(address, None)

    def _remove_stranger(self, connection: "Connection") -> None:
        self._strangers.pop(connection, None)
        if connection.address is not None:
            self._strangers_of.get(connection.address, {}).pop(connection, None)

    def _make_room(
        self, strangers: Iterable["Connection"], others: Iterable["Connection"], newcomer: "Connection"
    ) -> None:
        """Drops the stranger who has waited longest, else a connection that idles, else the newcomer."""
        oldest = next((c for c in strangers if c is not newcomer), None)
        idle = oldest or next((c for c in others if c is not newcomer and c.idle), newcomer)
        self._drop(idle, "crowded")

    def _relieve(self) -> None:
        """Keeps what waits to be read, of all connections together, to MOST_UNSENT_BYTES."""
        unsent = [(c.unsent, c) for c in self._all if c.flow.write_paused]
        total = sum(size for size, _ in unsent)
        if total <= MOST_UNSENT_BYTES:
            return
        for size, connection in sorted(unsent, key=lambda one: -one[0]):
            if total > MOST_UNSENT_BYTES and connection.stalled(self.clock):
                self._drop(connection, "read too slowly")
                total -= size

    def _drop(self, connection: "Connection", why: str) -> None:
        self.dropped[why] += 1
        if not connection.drop(tell=why == "sent too slowly"):
            self.leave(connection)

    def _is_proxy(self, host: str) -> bool:
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            return False
        return any(address in network for network in self._proxies)


class Connection(H11Protocol):
    """One connection, watched. What it costs a request is a few attributes: `Connections.sweep` does the rest."""

    def __init__(self, connections: Connections, **options: Any) -> None:
        super().__init__(**options)
        self.crowd = connections
        self.app_state = {**self.app_state, PROTOCOL: self}
        self._inner = self.app
        self.app = self._serve
        self.address: str | None = None
        self.proxied = self.proven = False
        self.since = connections.clock
        self._full = self._resting = False
        self._received = 0
        self._answered = 0
        self._phase: object = None
        self._phase_since = 0.0
        self._phase_received = 0
        self._unread_since: float | None = None
        self._unread = self._left = 0
        self._progress_at = 0.0
        self._leaving_since: float | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own
        super().connection_made(transport)
        self.crowd.admit(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.crowd.leave(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._received += len(data)
        super().data_received(data)

    def pause_writing(self) -> None:
        self._unread_since = None
        self._full = True
        super().pause_writing()

    def resume_writing(self) -> None:
        self._full = False
        super().resume_writing()
        if self._resting:
            self._resting = False
            super().on_response_complete()

    def on_response_complete(self) -> None:
        """The next request waits until the answer to this one is on its way, so that one answer is kept at most."""
        self._answered += 1
        if self.proxied:
            self.crowd.place(self, None)
        self._resting = self._full
        if not self._resting:
            super().on_response_complete()

    @property
    def unsent(self) -> int:
        """Bytes of answers that wait to be read."""
        return self.transport.get_write_buffer_size()

    @property
    def idle(self) -> bool:
        """Whether no request is being worked on."""
        return self.cycle is None or self.cycle.response_complete

    def overdue(self, now: float) -> str | None:
        """Why the connection is to be dropped, if it is. Called at every tick."""
        if self.transport.is_closing():
            self._leaving_since = self._leaving_since if self._leaving_since is not None else now
            return "read too slowly" if now - self._leaving_since > LEAVING_SECONDS else None
        if self.flow.write_paused and self._reads_too_slowly(now):
            return "read too slowly"
        return "sent too slowly" if self._sends_too_slowly(now) else None

    def stalled(self, now: float) -> bool:
        """Whether nothing has been read for STALLED_SECONDS."""
        return self._unread_since is not None and now - self._progress_at >= STALLED_SECONDS

    def drop(self, tell: bool) -> bool:
        """Ends the connection at once; with `tell`, a client whose request has had no answer is told why first. Returns
        whether it is told, and the connection ends by itself."""
        waits = self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE) and not self.transport.is_closing()
        if not (tell and waits):
            self.transport.abort()
            return False
        self.transport.write(TIMED_OUT)
        self.transport.close()
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        return True

    async def _serve(self, scope: Any, receive: Any, send: Any) -> None:
        """Lets an answer end without waiting for it to be read: whoever made it can then forget it."""

        async def ending(message: Any) -> None:
            over = message["type"] == "http.response.body" and not message.get("more_body") and not message.get("body")
            if not over or not self._full:
                await send(message)
                return
            self.flow.write_paused = False  # nothing is added to what waits
            try:
                await send(message)
            finally:
                self.flow.write_paused = self._full

        await self._inner(scope, receive, ending)

    def _sends_too_slowly(self, now: float) -> bool:
        state, resting = self.conn.their_state, self.timeout_keep_alive_task is not None
        phase = (self._answered, state, resting)
        if phase != self._phase:
            self._phase, self._phase_since, self._phase_received = phase, now, self._received
        spent = now - self._phase_since
        if state is h11.IDLE:
            return not resting and spent > HEAD_SECONDS
        if state is not h11.SEND_BODY:
            return False
        if self.flow.read_paused:  # it is we who do not read
            self._phase_since, self._phase_received = now, self._received
            return False
        received = self._received - self._phase_received
        too_slow = spent > BODY_GRACE_SECONDS and received < spent * BODY_BYTES_A_SECOND
        return too_slow or spent > BODY_SECONDS

    def _reads_too_slowly(self, now: float) -> bool:
        left = self.unsent
        if self._unread_since is None:
            self._unread_since = self._progress_at = now
            self._unread = self._left = left
            return False
        if left < self._left:
            self._progress_at = now
        self._left = left
        if now - self._unread_since <= UNREAD_SECONDS:
            return False
        read = self._unread - left
        self._unread_since, self._unread = now, left
        return read < UNREAD_SECONDS * UNREAD_BYTES_A_SECOND


def connection_of(scope: Scope) -> Connection | None:
    """The connection that a request came by; None outside a real server."""
    found = scope.get("state", {}).get(PROTOCOL)
    return found if isinstance(found, Connection) else None


def prove(scope: Scope) -> None:
    """Notes that the request carried a good token."""
    connection = connection_of(scope)
    if connection is not None:
        connection.crowd.prove(connection)


class Placed:
    """ASGI middleware behind trusted proxies: a proxy's connection counts as the address that it forwards for."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        connection = connection_of(scope) if scope["type"] == "http" else None
        if connection is not None and connection.proxied and scope.get("client"):
            connection.crowd.place(connection, scope["client"][0])
        await self._app(scope, receive, send)
