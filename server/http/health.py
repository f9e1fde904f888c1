"""Alive, ready, and measured: what load balancers and Prometheus ask."""

import shutil
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from server.calling import queued
from server.http.metrics import CONTENT_TYPE, Gauge, Metrics
from server.http.traffic import Traffic

CHECK_SECONDS = 3.0
LEAST_FREE_BYTES = 100 * 1024 * 1024
KEPT_SECONDS = 1.0
READY = "/readyz"
PATHS = frozenset({"/healthz", READY})


@dataclass(frozen=True, slots=True)
class Probes:
    """How the parts are asked; each blocks, and raises when its part is not well."""

    database: Callable[[], object]
    index_lag: Callable[[], dict[str, int]]
    disk: Path


@dataclass(slots=True)
class Health:
    """Answers the three paths."""

    probes: Probes
    traffic: Traffic
    metrics: Metrics
    _limiter: anyio.CapacityLimiter | None = field(default=None)
    _queued: int = 0
    _asking: anyio.Lock | None = None
    _found: dict[str, Any] | None = None
    _found_at: float = 0.0

    def alive(self) -> Response:
        """/healthz: the process answers."""
        return JSONResponse({"alive": True}, headers={"Cache-Control": "no-store"})

    async def ready(self, request: Request) -> Response:
        """/readyz: the database answers, the disk has room, and the server is not stopping. What was found, and how far
        the index is behind, is told to holders of `admin` alone. An index behind makes nothing unready, since search
        looks into the database for the rest."""
        checks = {**await self._checks(), "stopping": {"ok": not self.traffic.draining}}
        ok = all(check["ok"] for name, check in checks.items() if name != "index")
        principal = request.scope.get("backstory.principal")
        details = {"checks": checks} if principal is not None and "admin" in principal.rights else {}
        return JSONResponse({"ready": ok, **details}, 200 if ok else 503, {"Cache-Control": "no-store"})

    async def _checks(self) -> dict[str, Any]:
        """What the parts say, asked anew after KEPT_SECONDS, by one request at a time, however many come."""
        if self._asking is None:
            self._asking = anyio.Lock()
        async with self._asking:
            if self._found is None or time.monotonic() - self._found_at >= KEPT_SECONDS:
                self._found = {
                    "database": await self._checked(self._database),
                    "index": await self._checked(self._index),
                    "disk": await self._checked(self._disk),
                }
                self._found_at = time.monotonic()
            return self._found

    async def measured(self) -> Response:
        """/metrics"""
        self._queued = queued()
        text = await anyio.to_thread.run_sync(self.metrics.text, limiter=self._threads())
        return Response(text, headers={"Content-Type": CONTENT_TYPE, "Cache-Control": "no-store"})

    def gauges(self) -> list[Gauge]:
        """What is read when Prometheus asks."""
        return [
            Gauge("backstory_index_lag_changes", "Changes the index has not folded yet.", ("replica",), self._lag),
            Gauge("backstory_streams", "Open event streams.", ("transport",), self._streams),
            Gauge("backstory_queue", "Calls waiting for a worker thread.", (), lambda: [((), float(self._queued))]),
            Gauge("backstory_in_flight", "Requests being worked on.", (), lambda: [((), float(self.traffic.working))]),
            Gauge("backstory_disk_free_bytes", "Room left where the data lies.", (), self._free),
        ]

    async def _checked(self, check: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        started = time.perf_counter()
        try:
            with anyio.fail_after(CHECK_SECONDS):
                found = await anyio.to_thread.run_sync(check, limiter=self._threads(), abandon_on_cancel=True)
        except TimeoutError:
            return {"ok": False, "why": f"no answer within {CHECK_SECONDS:g} s"}
        except Exception as error:
            return {"ok": False, "why": type(error).__name__}
        return {"ok": True, **found, "ms": round((time.perf_counter() - started) * 1000, 1)}

    def _threads(self) -> anyio.CapacityLimiter:
        if self._limiter is None:
            self._limiter = anyio.CapacityLimiter(8)
        return self._limiter

    def _database(self) -> dict[str, Any]:
        self.probes.database()
        return {}

    def _index(self) -> dict[str, Any]:
        return {"behind": self.probes.index_lag()}

    def _disk(self) -> dict[str, Any]:
        free = shutil.disk_usage(self.probes.disk).free
        if free < LEAST_FREE_BYTES:
            raise OSError("the disk is nearly full")
        return {"free_bytes": free}

    def _lag(self) -> Iterable[tuple[tuple[str, ...], float]]:
        try:
            return [((replica,), float(behind)) for replica, behind in self.probes.index_lag().items()]
        except Exception:
            return []

    def _streams(self) -> Iterable[tuple[tuple[str, ...], float]]:
        open_now = [stream.transport for stream in list(self.traffic.streams)]
        return [((name,), float(open_now.count(name))) for name in ("http", "sse", "listen")]

    def _free(self) -> Iterable[tuple[tuple[str, ...], float]]:
        try:
            return [((), float(shutil.disk_usage(self.probes.disk).free))]
        except OSError:
            return []
