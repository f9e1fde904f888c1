"""Streamable HTTP at /mcp and SSE at /sse with /messages/, over one MCP server and one lifespan."""

import logging
import time
from collections import Counter, OrderedDict
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import anyio
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.mcpserver import MCPServer
from mcp.server.runner import serve_dual_era_loop
from mcp.server.sse import SseServerTransport
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.server.subscriptions import SUBSCRIPTION_ID_META_KEY
from mcp.shared.inbound import MCP_PROTOCOL_VERSION_HEADER
from mcp.types import SubscriptionsListenResult
from mcp_types.methods import SPEC_CLIENT_METHODS
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS
from starlette.datastructures import Headers, QueryParams
from starlette.types import Message, Receive, Scope, Send

from server.app import instructions
from server.http.manners import JsonAsAsked, settled
from server.http.metrics import Metrics
from server.http.observing import requests_log
from server.http.principal import principal_of
from server.http.problems import problem_response
from server.http.traffic import Traffic
from server.identity import Right
from server.protocol.pacing import Crowd, Pacing
from server.protocol.sdk_privates import has_tool, lifespan_state_of, lowlevel_of, serve_without_session, serves_session

log = logging.getLogger("backstory.http")
MAX_ENDED = 10_000
MAX_POSTING = 64
"""Messages posted for one SSE stream that wait to be taken."""
SSE_CALLS_AT_ONCE = 4
"""Calls of one SSE stream that are worked on: more than one client has, so few that unread answers stay small."""
LISTEN = "subscriptions/listen"
FOR_CALLERS = frozenset({"initialize", "server/discover", "tools/list"})
"""What is answered differs with the caller's rights."""


@dataclass(slots=True)
class Transports:
    """The MCP endpoints as ASGI applications. `run` must be entered for as long as they serve."""

    server: MCPServer[Any]
    traffic: Traffic
    metrics: Metrics
    max_body: int
    session_idle_seconds: float
    max_sessions: int
    streams_per_token: int
    rights: Mapping[str, frozenset[Right]] = field(default_factory=dict)
    manager: StreamableHTTPSessionManager = field(init=False)
    _sse: SseServerTransport = field(init=False)
    _ended: OrderedDict[str, None] = field(default_factory=OrderedDict)
    _posting: Counter[UUID | None] = field(default_factory=Counter)
    _crowd: Crowd = field(default_factory=Crowd)

    def __post_init__(self) -> None:
        lowlevel = lowlevel_of(self.server)
        self.manager = StreamableHTTPSessionManager(
            lowlevel,
            json_response=JsonAsAsked(),  # type: ignore[arg-type]  # bool cannot be subclassed
            session_idle_timeout=self.session_idle_seconds,
            max_sessions=self.max_sessions,
            max_request_body_size=self.max_body,
        )
        self._sse = SseServerTransport("/messages/", max_request_body_size=self.max_body)
        self.server.middleware.append(self._observe)

    def run(self) -> AbstractAsyncContextManager[None]:
        """Enters the server's lifespan once, for both transports."""
        return self.manager.run()

    async def streamable(self, scope: Scope, receive: Receive, send: Send) -> None:
        """/mcp"""
        scope["backstory.route"] = "/mcp"
        if scope["method"] == "GET":
            await self._streaming("http", self.manager.handle_request, scope, receive, send)
            return
        if scope["method"] == "POST":
            scope, send = settled(scope, send, modern=_is_modern(scope))
        with self.traffic.work() as work:
            scope["backstory.log"]["work"] = work
            if self._is_orphan(scope):
                await self._serve_orphan(scope, receive, send)
            else:
                await self.manager.handle_request(scope, receive, send)
                self._note_end(scope)

    async def sse(self, scope: Scope, receive: Receive, send: Send) -> None:
        """/sse"""
        scope["backstory.route"] = "/sse"
        if scope["method"] != "GET":
            await problem_response(405, "Open the stream with GET.", {"Allow": "GET"})(scope, receive, send)
            return
        await self._streaming("sse", self._serve_sse, scope, receive, send)

    async def messages(self, scope: Scope, receive: Receive, send: Send) -> None:
        """/messages/"""
        scope["backstory.route"] = "/messages/"
        stream = _stream_of(scope)
        if self._posting[stream] >= MAX_POSTING:
            detail = "This stream's answers are not read; read them before sending more."
            await problem_response(429, detail, {"Retry-After": "1"})(scope, receive, send)
            return
        self._posting[stream] += 1
        try:
            # A message waits until the stream takes it, which may end before that.
            with self.traffic.work(), suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
                await self._sse.handle_post_message(scope, receive, send)
        finally:
            self._posting[stream] -= 1
            if not self._posting[stream]:
                del self._posting[stream]

    async def _serve_sse(self, scope: Scope, receive: Receive, send: Send) -> None:
        lowlevel = lowlevel_of(self.server)
        options = lowlevel.create_initialization_options()
        async with self._sse.connect_sse(scope, receive, send) as (reading, writing):
            state = lifespan_state_of(self.manager)
            reading, writing = Pacing(SSE_CALLS_AT_ONCE, self._crowd).over(reading, writing)
            await serve_dual_era_loop(lowlevel, reading, writing, lifespan_state=state, init_options=options)

    async def _streaming(self, transport: str, app: Any, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves a stream that can be ended from here, and then ends its answer as HTTP wants it."""
        principal = scope.get("backstory.principal")
        if principal is not None and self.traffic.streams_of(principal) >= self.streams_per_token:
            detail = f"This token holds {self.streams_per_token} streams open; close some first."
            await problem_response(429, detail, {"Retry-After": "5"})(scope, receive, send)
            return
        started = ended = False

        async def watched(message: Message) -> None:
            nonlocal started, ended
            started = started or message["type"] == "http.response.start"
            ended = ended or (message["type"] == "http.response.body" and not message.get("more_body", False))
            await send(message)

        scope["backstory.log"]["stream"] = True
        with self.traffic.stream(transport, principal) as stream:
            await app(scope, receive, watched)
        if stream.scope.cancelled_caught and started and not ended:
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    def _is_orphan(self, scope: Scope) -> bool:
        """Whether a handshake-era client goes on with a session of a server that has been restarted since."""
        headers = Headers(scope=scope)
        session_id = headers.get("mcp-session-id")
        version = headers.get(MCP_PROTOCOL_VERSION_HEADER)
        served = session_id is None or serves_session(self.manager, session_id) or session_id in self._ended
        return not served and version in HANDSHAKE_PROTOCOL_VERSIONS and scope["method"] == "POST"

    async def _serve_orphan(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers without a session: everything a call needs travels in its arguments."""
        version = Headers(scope=scope).get(MCP_PROTOCOL_VERSION_HEADER)
        await serve_without_session(self.manager, version, scope, receive, send)

    def _note_end(self, scope: Scope) -> None:
        """Remembers sessions that a client ended, so that they stay ended."""
        session_id = Headers(scope=scope).get("mcp-session-id")
        if scope["method"] == "DELETE" and session_id and not serves_session(self.manager, session_id):
            self._ended[session_id[:64]] = None
            if len(self._ended) > MAX_ENDED:
                self._ended.popitem(last=False)

    async def _observe(self, ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
        """MCP middleware: counts, times and logs each request by method and by the tool's registered name."""
        if ctx.request_id is None:
            return await call_next(ctx)
        if ctx.method == LISTEN:
            return await self._listen(ctx, call_next)
        method = ctx.method if ctx.method in SPEC_CLIENT_METHODS else "other"
        name = self._name(ctx)
        outcome, started = "failed", time.perf_counter()
        try:
            with self.traffic.work():
                result = self._for_caller(ctx, await call_next(ctx))
            outcome = "error" if _is_error(result) else "ok"
            return result
        finally:
            seconds = time.perf_counter() - started
            self.metrics.calls.labels(method, name, outcome).inc()
            self.metrics.call_seconds.labels(method, name).observe(seconds)
            _note_call(_entry(ctx), method, name, outcome, seconds)

    def _for_caller(self, ctx: ServerRequestContext[Any, Any], result: HandlerResult) -> HandlerResult:
        """Shows each caller the tools that it may call, and tells of those alone; what differs so is nobody else's."""
        if ctx.method not in FOR_CALLERS or not isinstance(result, dict):
            return result
        rights = principal_of(ctx).rights
        changed: dict[str, Any] = {"cacheScope": "private"} if "cacheScope" in result else {}
        if "tools" in result:
            needed = self.rights
            changed["tools"] = [tool for tool in result["tools"] if needed.get(tool["name"], rights) <= rights]
        if "instructions" in result and "write" not in rights:
            changed["instructions"] = instructions(writing=False)
        return {**result, **changed}

    async def _listen(self, ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
        """A listening request is a stream: nobody waits for its end, and it ends with its token or the server."""
        entry, request = _entry(ctx), getattr(ctx, "request", None)
        if (work := entry.get("work")) is not None:
            work.release()
        entry["stream"] = True
        principal = request.scope.get("backstory.principal") if request is not None else None
        ended: HandlerResult = None
        with self.traffic.stream("listen", principal):
            ended = await call_next(ctx)
        return ended or SubscriptionsListenResult(_meta={SUBSCRIPTION_ID_META_KEY: ctx.request_id})

    def _name(self, ctx: ServerRequestContext[Any, Any]) -> str:
        given = (ctx.params or {}).get("name")
        named = ctx.method == "tools/call" and isinstance(given, str) and has_tool(self.server, given)
        return str(given) if named else ""


def _is_modern(scope: Scope) -> bool:
    """As the manager tells the eras apart, by the header alone."""
    version = Headers(scope=scope).get(MCP_PROTOCOL_VERSION_HEADER)
    return version is not None and version not in HANDSHAKE_PROTOCOL_VERSIONS


def _stream_of(scope: Scope) -> UUID | None:
    """The SSE stream that a message is for, however its id is written."""
    named = QueryParams(scope.get("query_string", b"")).get("session_id", "")
    try:
        return UUID(hex=named)
    except ValueError:
        return None


def _is_error(result: HandlerResult) -> bool:
    return isinstance(result, dict) and bool(result.get("isError"))


def _entry(ctx: ServerRequestContext[Any, Any]) -> dict[str, Any]:
    """What is noted about the HTTP request that carried a call."""
    request = getattr(ctx, "request", None)
    entry = request.scope.get("backstory.log") if request is not None else None
    return entry if entry is not None else {"done": True}


def _note_call(entry: dict[str, Any], method: str, name: str, outcome: str, seconds: float) -> None:
    """Adds the call to its HTTP request's line; writes one of its own where that line is written already (SSE)."""
    fields = {"call": method, "outcome": outcome} | ({"name": name} if name else {})
    if not entry.get("done"):
        entry.update(fields)
        return
    ms = round(seconds * 1000, 1)
    requests_log.info("call", extra={"fields": {"request_id": entry.get("request_id"), **fields, "ms": ms}})
