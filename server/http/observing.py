"""One structured line for each request on standard error: what, how long, how it ended; no content, secret or name."""

import asyncio
import json
import logging
import sys
import time
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, TextIO
from uuid import uuid4

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from memory.text.plain import iso
from server.http.metrics import Metrics
from server.http.problems import problem_response
from server.http.traffic import Traffic
from server.log_lines import failure_of, log_failures, text_of

log = logging.getLogger("backstory.http")
requests_log = logging.getLogger("backstory.requests")


class JsonLines(logging.Formatter):
    """One JSON object a line, without anything that a client chose."""

    def format(self, record: logging.LogRecord) -> str:
        at = iso(datetime.fromtimestamp(record.created, UTC), "milliseconds")
        line: dict[str, Any] = {"at": at, "level": record.levelname, "logger": record.name}
        fields = getattr(record, "fields", None)
        if fields is not None:
            line.update(fields)
        else:
            line["message"] = text_of(record)
        if (failure := failure_of(record)) is not None:
            line |= {"error": failure[0], "where": failure[1]}
        return json.dumps(line, ensure_ascii=False)


def log_as_json(level: str, stream: TextIO | None = None) -> None:
    """Sends every log line of the process to standard error as JSON. Other libraries stay at warnings: their finer
    lines repeat what clients send."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonLines())
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.getLogger("backstory").setLevel(level)
    requests_log.setLevel(logging.INFO)
    logging.captureWarnings(True)
    log_failures()


class Observe:
    """ASGI middleware, the outermost: a request id, a line, the metrics; 503 while stopping; 500 for what broke."""

    def __init__(self, app: ASGIApp, *, traffic: Traffic, metrics: Metrics, health: frozenset[str]) -> None:
        self._app = app
        self._traffic = traffic
        self._metrics = metrics
        self._health = health

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        entry: dict[str, Any] = {"request_id": uuid4().hex[:16]}
        scope["backstory.log"] = entry
        answer = _Answer(send, entry["request_id"])
        started = time.perf_counter()
        try:
            await self._serve(scope, receive, answer)
        except asyncio.CancelledError:
            if not answer.started:  # the server had to stop before the answer was there
                await _stopping()(scope, receive, answer)
            raise
        except Exception:
            log.exception("A request failed inside the server", extra={"fields": dict(entry)})
            if not answer.started:
                detail = "The server failed; its log on standard error says why, under this answer's X-Request-Id."
                await problem_response(HTTPStatus.INTERNAL_SERVER_ERROR, detail)(scope, receive, answer)
        finally:
            self._note(scope, entry, answer, time.perf_counter() - started)

    async def _serve(self, scope: Scope, receive: Receive, send: "_Answer") -> None:
        if self._traffic.draining and scope["path"] not in self._health:
            await _stopping()(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _note(self, scope: Scope, entry: dict[str, Any], answer: "_Answer", seconds: float) -> None:
        entry["done"] = True
        route, method = route_of(scope), scope["method"] if scope["method"] in _METHODS else "other"
        streamed = entry.get("stream", False)
        self._metrics.requests.labels(route, method, str(answer.status)).inc()
        if not streamed:
            self._metrics.seconds.labels(route).observe(seconds)
        principal = scope.get("backstory.principal")
        fields: dict[str, Any] = {
            "request_id": entry["request_id"],
            "method": method,
            "route": route,
            "status": answer.status,
            "ms": round(seconds * 1000, 1),
            "in": scope.get("backstory.body_bytes", 0),
            "out": answer.size,
            "token": principal.key if principal is not None else None,
            **{name: entry[name] for name in ("call", "name", "outcome", "stream") if name in entry},
        }
        requests_log.info("request", extra={"fields": fields})


def _stopping() -> Response:
    return problem_response(
        503, "The server is stopping; try again shortly.", {"Retry-After": "2", "Connection": "close"}
    )


_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def route_of(scope: Scope) -> str:
    """The route's pattern, never the path itself, in which ids and names stand."""
    return str(scope.get("backstory.route") or "unmatched")


class _Answer:
    """Passes an answer on, noting its status and size, and adding the request's id."""

    def __init__(self, send: Send, request_id: str) -> None:
        self._send = send
        self._id = request_id.encode()
        self.status = 0
        self.size = 0

    @property
    def started(self) -> bool:
        return self.status != 0

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message = {**message, "headers": [*message.get("headers", []), (b"x-request-id", self._id)]}
        elif message["type"] == "http.response.body":
            self.size += len(message.get("body", b""))
        await self._send(message)
