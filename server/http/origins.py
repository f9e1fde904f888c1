"""Which names this server answers to, and which web pages may talk to it."""

import ipaddress
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from server.http.problems import problem_response

LOOPBACK_NAMES = frozenset({"localhost", "ip6-localhost"})
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
ANSWER_HEADERS = (
    *("ETag", "Location", "Retry-After", "WWW-Authenticate", "X-Request-Id"),
    *("Mcp-Session-Id", "MCP-Protocol-Version"),
)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() in LOOPBACK_NAMES


def address_parts(text: str) -> SplitResult | None:
    """An address taken apart; None for what cannot be one, such as an unfinished bracket."""
    try:
        parts = urlsplit(text)
        parts.hostname  # noqa: B018  # splits further, and may fail alike
        return parts
    except ValueError:
        return None


@dataclass(frozen=True, slots=True)
class Names:
    """The hosts and origins that are this server's own.

    A literal address is always right as a host: only a name can be made to point here behind a browser's back.
    """

    hosts: frozenset[str]
    origins: frozenset[str]
    local: bool

    @classmethod
    def of(cls, listening: str, public_url: str | None, hosts: Iterable[str], origins: Iterable[str]) -> "Names":
        """`listening` is the address bound to; `hosts` and `origins` are what is configured besides."""
        local = is_loopback(listening)
        own = {listening.lower(), *(h.lower() for h in hosts)}
        if not local:
            own.add(socket.gethostname().lower())
        public = urlsplit(public_url or "")
        if public.hostname:
            own.add(public.hostname)
        allowed = {o.rstrip("/").lower() for o in origins}
        if public.hostname:
            allowed.add(f"{public.scheme}://{public.netloc}".lower())
        return cls(frozenset(own), frozenset(allowed), local)

    def admits_host(self, header: str | None) -> bool:
        """Whether the Host header names this server."""
        if not header or any(c in header for c in "/\\@ "):
            return False
        parts = address_parts(f"//{header}")
        name = ((parts and parts.hostname) or "").lower()
        if name in self.hosts or header.lower() in self.hosts:
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return name in LOOPBACK_NAMES
        return True

    def admits_origin(self, origin: str | None, host: str) -> bool:
        """Whether a page of this origin may call: none (no browser), our own pages, the configured ones."""
        if origin is None:
            return True
        parts = address_parts(origin.lower())
        if parts is None:
            return False
        if parts.scheme not in ("http", "https") or not parts.hostname:
            return origin.lower() in self.origins
        own_page = parts.netloc == host.lower()
        return own_page or origin.lower() in self.origins or (self.local and is_loopback(parts.hostname))


class GuardNames:
    """ASGI middleware: 421 for a foreign Host, 403 for a foreign Origin. Health is answered to any Host."""

    def __init__(self, app: ASGIApp, names: Names, health: frozenset[str]) -> None:
        self._app = app
        self._names = names
        self._health = health

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in self._health:
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if not self._names.admits_host(host):
            detail = "This server does not go by that Host; add the name to BACKSTORY_ALLOWED_HOSTS."
            await problem_response(421, detail)(scope, receive, send)
        elif not self._names.admits_origin(headers.get("origin"), host):
            detail = "Pages of that Origin may not call this server; add it to BACKSTORY_ALLOWED_ORIGINS."
            await problem_response(403, detail)(scope, receive, send)
        else:
            await self._app(scope, receive, send)


class Cors:
    """ASGI middleware: pages of other origins that may call are told so, before they call as well."""

    def __init__(self, app: ASGIApp, names: Names) -> None:
        self._app = app
        self._names = names

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope) if scope["type"] == "http" else Headers()
        origin = headers.get("origin")
        app = self._app
        if origin is not None and self._names.admits_origin(origin, headers.get("host", "")):
            app = CORSMiddleware(
                app,
                allow_origins=[origin],
                allow_methods=METHODS,
                allow_headers=["*"],
                allow_private_network=True,
                expose_headers=ANSWER_HEADERS,
                max_age=600,
            )
        await app(scope, receive, send)
