"""Running the HTTP server: what it refuses to start with, how it listens, and how it stops."""

import asyncio
import logging
import os
import signal
import socket
import ssl
import sys
import threading
from collections.abc import Callable
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING, Any, Literal, NoReturn

import uvicorn

from memory.errors import Invalid, Unavailable
from memory.model import Owner
from memory.people.identities import register
from memory.text.plain import one_line
from server.app import build_memory, build_server
from server.http import oauth
from server.http.application import Application, Site
from server.http.auth import OwnTokens
from server.http.callers import TokenCallers
from server.http.connections import HEAD_SECONDS, Connection, most_connections, raise_descriptors
from server.http.health import Probes
from server.http.metrics import Metrics
from server.http.observing import log_as_json, requests_log
from server.http.origins import is_loopback
from server.http.principal import Principal
from server.http.rest import build_api
from server.http.tracing import start_tracing
from server.identity import LOCAL_RIGHTS
from server.opening import LazyMemory
from server.settings import HttpSettings, Settings
from server.tools import FOR_BRIDGES, needed_rights

if TYPE_CHECKING:
    from server.parts import Parts

log = logging.getLogger("backstory.http")
DRAIN_SECONDS = 2.5
CLOSE_SECONDS = 1.0
BACKLOG = 2048
SILENT_SECONDS = 60
IDLE_SECONDS = 30
"""How long a connection is kept for the next request."""
SWITCH_SECONDS = 0.0005
"""How long a thread may keep the interpreter from the event loop, a tenth of what Python allows: under 400 clients that
gave 40 % more calls a second."""


def serve(settings: Settings) -> NoReturn:
    """Serves over HTTP until told to stop, then ends the process. Errors: BackstoryError before anything listens."""
    sys.setswitchinterval(SWITCH_SECONDS)
    log_as_json(settings.log_level)
    send_spans = traced() if settings.http.traces == "otlp" else None
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end_now)  # until the server has its own handlers, and again after it has ended
    check_certificate(settings.http)
    with build_memory(settings) as memory:
        check_exposure(settings, memory)
        listening = listen(settings.host, settings.port)
        server = Server(build_application(settings, memory), settings, listening)
        server.run(sockets=[listening])
        ended = threading.Timer(CLOSE_SECONDS, os._exit, [0])
        ended.daemon = True
        ended.start()  # what still runs in a thread must not keep a stopped server alive
        if send_spans is not None:
            send_spans()
    os._exit(0)


def traced() -> Callable[[], None] | None:
    """Sends spans, where that can be; else says why not, since what is remembered does not depend on it."""
    try:
        return start_tracing()
    except Unavailable as missing:
        log.warning("%s Nothing is traced.", missing)
    except Exception as error:
        log.warning(
            "Tracing cannot start (%s: %s). Nothing is traced.", type(error).__name__, one_line(str(error), 200)
        )
    return None


def fitting_loop() -> Literal["uvloop", "asyncio"]:
    """The faster event loop where it works, else Python's own."""
    try:
        import uvloop

        uvloop.new_event_loop().close()
    except ModuleNotFoundError:
        return "asyncio"
    except Exception as error:
        log.warning("uvloop does not load (%s); Python's own event loop serves.", type(error).__name__)
        return "asyncio"
    return "uvloop"


def end_now(number: int, _: FrameType | None) -> None:
    """Before there is anything to finish, and after it is finished, a signal is the end."""
    os._exit(128 + number)


def check_certificate(http: HttpSettings) -> None:
    """Errors: Invalid where the certificate and its key cannot be used."""
    if http.tls_certificate is None:
        return
    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(http.tls_certificate, http.tls_key)
    except OSError as error:
        names = "BACKSTORY_TLS_CERTIFICATE and BACKSTORY_TLS_KEY"
        why = f"cannot be used ({error.strerror or error})"
        raise Invalid(names, why, "give a certificate and its key without a passphrase, both as PEM files") from None


def check_exposure(settings: Settings, memory: LazyMemory) -> None:
    """Refuses to listen where others can reach it without anybody having to say who they are. Errors: Invalid."""
    if is_loopback(settings.host):
        return
    where = f"Listening on {settings.host}, where other machines can reach it,"
    if settings.http.auth == "none":
        allowed = "leave BACKSTORY_AUTH at token, or listen on 127.0.0.1"
        raise Invalid(where, "needs authentication, which is switched off", allowed)
    now = memory.clock()
    if settings.http.oauth_issuer is None and not any(t.usable(now) for t in memory.wait().directory.tokens()):
        allowed = "create a token with `backstory token create`, or set BACKSTORY_OAUTH_ISSUER, and start again"
        raise Invalid(where, "needs authentication, and there is no token yet", allowed)


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; a peer that has silently gone is noticed after a minute. Errors: Invalid."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # The protocol is named because asyncio switches Nagle's delay off for sockets that name it alone.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (("TCP_KEEPIDLE", SILENT_SECONDS), ("TCP_USER_TIMEOUT", SILENT_SECONDS * 1000)):
        if hasattr(socket, name):
            listening.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    try:
        listening.bind((host, port))
        listening.listen(BACKLOG)
    except OSError as error:
        listening.close()
        why = f"cannot be listened on ({error.strerror or error})"
        raise Invalid(f"{host} port {port}", why, "choose a free --port and an address of this machine") from error
    return listening


def build_application(settings: Settings, memory: LazyMemory, **options: Any) -> Application:
    """The ASGI application over `memory`, which it opens but never closes."""
    metrics = Metrics()
    callers = TokenCallers(lambda: memory.wait().directory, settings.phone_region)
    also = FOR_BRIDGES[settings.tools]
    mcp = build_server(memory, identify=callers, also=also, measure=metrics.note, **options)
    tokens = OwnTokens(lambda: memory.wait().directory, memory.clock) if settings.http.auth == "token" else None
    return Application(
        Site(
            settings=settings.http,
            host=settings.host,
            server=mcp,
            api=build_api(mcp.calls),
            tokens=tokens,
            oauth=oauth_of(settings, memory) if tokens is not None else None,
            local=None if tokens is not None else Principal(settings.owner, LOCAL_RIGHTS, "local"),
            probes=Probes(lambda: memory.wait().store.head(), lambda: index_lag(memory.wait()), settings.data_dir),
            metrics=metrics,
            rights=needed_rights(settings.tools),
        )
    )


def oauth_of(settings: Settings, memory: LazyMemory) -> oauth.OauthTokens | None:
    """The verifier of the configured authorization server's tokens, where one is configured."""
    http = settings.http
    if http.oauth_issuer is None or http.oauth_audience is None:
        return None
    issuer = oauth.Issuer(
        url=http.oauth_issuer,
        audience=http.oauth_audience,
        jwks_url=http.oauth_jwks_url,
        user_claim=http.oauth_user_claim,
        tenant_claim=http.oauth_tenant_claim,
        rights_claim=http.oauth_rights_claim,
        default_tenant=settings.tenant,
    )

    def registered(owner: Owner) -> Owner:
        user = register(memory.wait().directory, owner.tenant_id, owner.user_id, clock=memory.clock)
        return Owner(owner.tenant_id, user.user_id)

    return oauth.OauthTokens(issuer, oauth.Keys(issuer), registered)


def index_lag(memory: "Parts") -> dict[str, int]:
    """How many changes each replica of the search index has not folded yet."""
    index = memory.index
    head = memory.store.head().change_id
    return {replica: max(0, head - index.position(replica).change_id) for replica in ("keywords", "vectors")}


class Server(uvicorn.Server):
    """Stops in order: requests in flight are finished, new ones get 503, streams end, and within seconds it is over."""

    def __init__(self, application: Application, settings: Settings, listening: socket.socket) -> None:
        http = settings.http
        super().__init__(
            uvicorn.Config(
                application,
                log_config=None,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                lifespan="on",
                loop=fitting_loop(),
                http=Connection,
                timeout_graceful_shutdown=1,
                timeout_keep_alive=IDLE_SECONDS,
                ssl_certfile=http.tls_certificate,
                ssl_keyfile=http.tls_key,
            )
        )
        application.connections.limit = most_connections(raise_descriptors())
        self._application = application
        self._listening = listening
        self._stopping = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._drain: asyncio.Task[None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Says where it listens once it does."""
        self._loop = asyncio.get_running_loop()
        await super().startup([])
        ssl, patience = self.config.ssl, HEAD_SECONDS if self.config.is_ssl else None
        made = partial(
            Connection,
            self._application.connections,
            config=self.config,
            server_state=self.server_state,
            app_state=self.lifespan.state,
        )
        for listening in sockets or []:
            server = await self._loop.create_server(
                made, sock=listening, ssl=ssl, backlog=BACKLOG, ssl_handshake_timeout=patience
            )
            self.servers.append(server)
        host, port = self._listening.getsockname()[:2]
        scheme = "https" if self.config.is_ssl else "http"
        name = f"[{host}]" if ":" in host else host
        requests_log.info("listening", extra={"fields": {"event": "listening", "url": f"{scheme}://{name}:{port}"}})

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """The first signal stops in order, the second at once."""
        if self._stopping or self._loop is None:
            self.force_exit = self._stopping and sig == signal.SIGINT
            self.should_exit = True
            return
        self._stopping = True
        self._loop.call_soon_threadsafe(self._begin_to_stop)

    def _begin_to_stop(self) -> None:
        self._drain = asyncio.ensure_future(self._stop_in_order())

    async def _stop_in_order(self) -> None:
        try:
            await self._application.traffic.drain(DRAIN_SECONDS)
        finally:
            self.should_exit = True
