"""The one ASGI application: what stands before every request, and which path leads where."""

import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import anyio
import anyio.to_thread
from mcp.server.mcpserver import MCPServer
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from memory.errors import BackstoryError
from server.http import health, oauth
from server.http.auth import Authenticate, OwnTokens, either, identify
from server.http.connections import Connections, Placed
from server.http.health import Health, Probes
from server.http.limits import BodyLimit, Buckets, RateLimit
from server.http.manners import tidied
from server.http.metrics import Metrics
from server.http.nesting import SayNesting
from server.http.observing import Observe
from server.http.origins import Cors, GuardNames, Names
from server.http.principal import Principal
from server.http.problems import problem_response
from server.http.traffic import Traffic
from server.http.transports import Transports
from server.identity import Right
from server.settings import HttpSettings

log = logging.getLogger("backstory.http")
WATCH_SECONDS = 2.0
LAST_USE_SECONDS = 30.0
BAD_TOKENS_A_MINUTE = 60
MAX_SESSIONS = 10_000
API = "/api/v1"
DOCUMENT = "/api/v1/openapi.json"
Route = Callable[[Scope, Receive, Send], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """What the application is made of. `api` answers below /api/v1; `tokens` is None where no token is asked for, and
    every request is then `local`'s; `rights` are those without which a tool is not shown."""

    settings: HttpSettings
    host: str
    server: MCPServer[Any]
    api: ASGIApp
    tokens: OwnTokens | None
    oauth: oauth.OauthTokens | None
    local: Principal | None
    probes: Probes
    metrics: Metrics
    rights: Mapping[str, frozenset[Right]] = field(default_factory=dict)


class Application:
    """The ASGI application of one `Site`."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.traffic = Traffic()
        self.metrics = site.metrics
        self.health = Health(site.probes, self.traffic, self.metrics)
        self.connections = Connections(proxies=site.settings.trusted_proxies)
        self.metrics.gauges.extend([*self.health.gauges(), *self.connections.gauges()])
        http = site.settings
        self.transports = Transports(
            site.server,
            self.traffic,
            self.metrics,
            max_body=http.max_body,
            session_idle_seconds=http.session_idle,
            max_sessions=MAX_SESSIONS,
            streams_per_token=http.max_streams,
            rights=site.rights,
        )
        self._routes = self._table()
        self._lifespan = Starlette(lifespan=self._run)
        self._guarded = self._guard(self._route)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(scope, receive, send)
        else:
            await self._guarded(tidied(scope), receive, send)

    def _guard(self, inner: ASGIApp) -> ASGIApp:
        """From the inside out: sizes, rates, tokens, names, and what is seen of it all."""
        http = self.site.settings
        app: ASGIApp = BodyLimit(SayNesting(inner), http.max_body)
        app = RateLimit(app, Buckets(http.rate_per_minute, http.rate_burst))
        app = self._authenticated(app)
        names = Names.of(self.site.host, http.public_url, http.allowed_hosts, http.allowed_origins)
        app = Cors(app, names)
        app = GuardNames(app, names, health.PATHS)
        app = Observe(app, traffic=self.traffic, metrics=self.metrics, health=health.PATHS)
        if http.trusted_proxies:
            app = Placed(app)
            app = ProxyHeadersMiddleware(app, trusted_hosts=list(http.trusted_proxies))  # type: ignore[arg-type, assignment]  # uvicorn's own names for the same ASGI types
        return app

    def _authenticated(self, app: ASGIApp) -> ASGIApp:
        site = self.site
        if site.tokens is None:
            assert site.local is not None
            return AsLocal(app, site.local)
        public = health.PATHS
        where = None
        if site.oauth is not None:
            public = health.PATHS | frozenset(oauth.metadata_routes(site.oauth.issuer, None))
            where = self._metadata_url
        asking = Authenticate(
            app,
            verify=either(site.tokens, site.oauth),
            public=public,
            metadata_url=where,
            attempts=Buckets(BAD_TOKENS_A_MINUTE, BAD_TOKENS_A_MINUTE),
            told=frozenset({health.READY}),
        )
        return NoDiscovery(asking, documents=public)

    def _metadata_url(self, scope: Scope) -> str:
        return oauth.metadata_url(scope, self.site.settings.public_url)

    def _table(self) -> dict[str, Route]:
        routes: dict[str, Route] = {
            "/mcp": self.transports.streamable,
            "/sse": self.transports.sse,
            "/messages": self.transports.messages,
            "/healthz": answered("/healthz", partial(_answer_now, lambda _: self.health.alive())),
            "/readyz": answered(health.READY, self.health.ready),
            "/metrics": answered("/metrics", lambda _: self.health.measured()),
        }
        if self.site.oauth is not None:
            public_url = self.site.settings.public_url
            for path, answer in oauth.metadata_routes(self.site.oauth.issuer, public_url).items():
                routes[path] = answered(path, partial(_answer_now, answer))
        return routes

    async def _route(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        if path == API or path.startswith(API + "/"):
            with self.traffic.work():
                await self.site.api(scope, receive, send)
            scope["backstory.route"] = pattern_of(scope)
        elif (route := self._routes.get(path)) is not None:
            await route(scope, receive, send)
        else:
            await problem_response(404, "Nothing is here; there are /mcp, /sse, /api/v1 and /healthz.")(
                scope, receive, send
            )

    @asynccontextmanager
    async def _run(self, _: Any) -> AsyncGenerator[None, None]:
        async with self.transports.run(), anyio.create_task_group() as tasks:
            tasks.start_soon(self.connections.watch)
            if self.site.tokens is not None:
                tasks.start_soon(self._watch_streams)
                tasks.start_soon(self._keep_last_use, self.site.tokens)
            yield
            tasks.cancel_scope.cancel()
        if self.site.tokens is not None:
            await _quietly(self.site.tokens.write_last_use)

    async def _watch_streams(self) -> None:
        """Ends the streams of tokens that have been revoked or have expired."""
        while True:
            await anyio.sleep(WATCH_SECONDS)
            held = {s.principal.key: s.principal for s in self.traffic.streams if s.principal is not None}
            ended = await _quietly(partial(self._ended, held)) or set()
            for stream in list(self.traffic.streams):
                if stream.principal is not None and stream.principal.key in ended:
                    stream.scope.cancel()

    def _ended(self, held: dict[str, Principal]) -> set[str]:
        tokens = self.site.tokens
        assert tokens is not None
        now = tokens.clock()
        return {
            key
            for key, principal in held.items()
            if (principal.expires_at is not None and principal.expires_at <= now)
            or (principal.own and not tokens.still_good(key))
        }

    async def _keep_last_use(self, tokens: OwnTokens) -> None:
        while True:
            await anyio.sleep(LAST_USE_SECONDS)
            await _quietly(tokens.write_last_use)


def pattern_of(scope: Scope) -> str | None:
    """The pattern of the REST route that answered, if any did."""
    if scope["path"] == DOCUMENT:
        return DOCUMENT
    pattern = getattr(scope.get("route"), "path_format", None)
    return None if pattern is None else API + str(pattern).removeprefix(API)


class AsLocal:
    """ASGI middleware where no token is asked for: everybody who reaches this machine's own address is one user."""

    def __init__(self, app: ASGIApp, local: Principal) -> None:
        self._app = app
        self._local = local

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        identify(scope, self._local)
        await self._app(scope, receive, send)


class NoDiscovery:
    """ASGI middleware: where a client looks for an authorization server and there is none, nothing is there, for
    anybody. A 401 there would begin what cannot end."""

    def __init__(self, app: ASGIApp, documents: frozenset[str]) -> None:
        self._app = app
        self._documents = documents

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        if scope["type"] != "http" or path in self._documents or not oauth.looks_for_a_server(path):
            await self._app(scope, receive, send)
            return
        await problem_response(404, "Nothing is published here; send a token as 'Authorization: Bearer …'.")(
            scope, receive, send
        )


def answered(path: str, handle: Callable[[Request], Awaitable[Response]]) -> Route:
    """A route that takes GET alone."""

    async def route(scope: Scope, receive: Receive, send: Send) -> None:
        scope["backstory.route"] = path
        if scope["method"] not in ("GET", "HEAD"):
            await problem_response(405, "Ask with GET.", {"Allow": "GET, HEAD"})(scope, receive, send)
            return
        await (await handle(Request(scope)))(scope, receive, send)

    return route


async def _answer_now(answer: Callable[[Request], Response], request: Request) -> Response:
    return answer(request)


async def _quietly(work: Callable[[], Any]) -> Any:
    """Runs blocking housekeeping; what fails is logged and tried again next time."""
    try:
        return await anyio.to_thread.run_sync(work)
    except BackstoryError as error:
        log.warning("%s", error)
    except Exception:
        log.exception("Housekeeping failed")
    return None
