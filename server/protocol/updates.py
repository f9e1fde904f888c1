"""Telling subscribers what changed: each hears of the changes of its own owner alone, in both protocol eras."""

import logging
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

import anyio
import anyio.from_thread
import anyio.lowlevel
from anyio.lowlevel import EventLoopToken, current_token
from mcp.server.session import ServerSession
from mcp.shared.subscriptions import ResourceUpdated, ServerEvent

from memory.model import Owner
from server.protocol.sdk_privates import connection_of

log = logging.getLogger("backstory.updates")
PATIENCE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Listening:
    """Whose changes a `subscriptions/listen` stream may hear of, and which addresses it asked for."""

    owner: Owner
    uris: frozenset[str]


listening: ContextVar[Listening | None] = ContextVar("backstory-listening", default=None)


@dataclass(slots=True)
class _Subscriber:
    """A connection of the handshake era. A session proxy stays valid as long as its connection."""

    owner: Owner
    session: ServerSession
    uris: set[str] = field(default_factory=set)


class Updates:
    """The subscribers of one server. It is also the SDK's bus, whose streams it divides by owner."""

    def __init__(self) -> None:
        self._streams: dict[object, tuple[Listening | None, Callable[[ServerEvent], None]]] = {}
        self._subscribers: dict[Any, _Subscriber] = {}
        self._loop: EventLoopToken | None = None

    # The SDK's SubscriptionBus: streams of the 2026 era.

    def subscribe(self, listener: Callable[[ServerEvent], None]) -> Callable[[], None]:
        """Adds a stream for the owner whose request is being served; returns what removes it."""
        token = object()
        self._loop = current_token()
        self._streams[token] = (listening.get(), listener)

        def unsubscribe() -> None:
            self._streams.pop(token, None)

        return unsubscribe

    async def publish(self, event: ServerEvent) -> None:
        """Sends an event that concerns everybody (a changed tool list). What belongs to an owner goes by `announce`."""
        if not isinstance(event, ResourceUpdated):
            for _, listener in list(self._streams.values()):
                listener(event)
        await anyio.lowlevel.checkpoint()

    # Connections of the handshake era.

    def add(self, owner: Owner, session: ServerSession, uri: str) -> None:
        """Notes that this connection wants to hear of `uri`, for as long as it lasts."""
        self._loop = current_token()
        connection = connection_of(session)
        subscriber = self._subscribers.get(connection)
        if subscriber is None:
            connection.exit_stack.callback(self._subscribers.pop, connection, None)
        if subscriber is None or subscriber.owner != owner:
            subscriber = self._subscribers[connection] = _Subscriber(owner, session)
        subscriber.uris.add(uri)

    def remove(self, session: ServerSession, uri: str) -> None:
        """Takes it back; nothing happens when it was never wanted."""
        subscriber = self._subscribers.get(connection_of(session))
        if subscriber is not None:
            subscriber.uris.discard(uri)

    async def announce(self, owner: Owner, patterns: Iterable[str]) -> None:
        """Tells this owner's subscribers of every address they asked for that one of `patterns` names."""
        wanted = set(patterns)
        if not wanted:
            return
        for heard, listener in list(self._streams.values()):
            if heard is not None and heard.owner == owner:
                for uri in _named(heard.uris, wanted):
                    listener(ResourceUpdated(uri=uri))
        for connection, subscriber in list(self._subscribers.items()):
            if subscriber.owner == owner and (uris := _named(subscriber.uris, wanted)):
                with anyio.move_on_after(PATIENCE_SECONDS) as waiting:
                    for uri in uris:
                        await subscriber.session.send_resource_updated(uri)
                if waiting.cancelled_caught:
                    log.warning("A subscriber does not read what it is told; it is told nothing any more")
                    self._subscribers.pop(connection, None)
        await anyio.lowlevel.checkpoint()

    def announce_from_thread(self, owner: Owner, patterns: Iterable[str]) -> None:
        """`announce`, from a thread that no request is waiting for; does nothing where nobody ever subscribed."""
        if self._loop is None:
            return
        try:
            anyio.from_thread.run(self.announce, owner, patterns, token=self._loop)
        except Exception as error:
            log.debug("The subscribers are gone: %r", error)


def _named(uris: Iterable[str], patterns: set[str]) -> list[str]:
    return sorted(uri for uri in uris if uri in patterns or any("*" in p and fnmatchcase(uri, p) for p in patterns))
