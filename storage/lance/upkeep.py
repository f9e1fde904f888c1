"""Keeping tables compact: a niced process of its own for each optimization, never a fork."""

import logging
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from threading import Lock
from typing import Final

from storage.lance.folding import Fold

WRITES: Final = 24
"""Every write leaves a fragment, and every fragment costs each query 0.1 ms."""
ROWS: Final = 3000
"""Rows not in the indices yet are searched one by one."""
PAUSE_SECONDS: Final = 10.0
PAUSE_SHARE: Final = 10
"""An optimization rewrites the table; large ones are spaced so that it takes a tenth of the time at most."""
LIMIT_SECONDS: Final = 300

log = logging.getLogger("backstory.index")


@dataclass(slots=True)
class _Child:
    process: "subprocess.Popen[bytes]"
    fold: Fold
    writes: int
    rows: int
    started: float


class Upkeep:
    """At most one optimizing process at a time, for whichever table needs it."""

    def __init__(self, uri: str, *, writes: int = WRITES, rows: int = ROWS, limit_seconds: int = LIMIT_SECONDS) -> None:
        self._uri = uri
        self._writes = writes
        self._rows = rows
        self._limit = limit_seconds
        self._lock = Lock()
        self._child: _Child | None = None
        self._not_before: dict[str, float] = {}
        self._stopped = False

    def tend(self, fold: Fold) -> None:
        """Collects an optimization that has ended; starts one when the fold's table needs it."""
        with self._lock:
            self._collect()
            due = fold.writes >= self._writes or fold.rows >= self._rows
            waited = time.monotonic() >= self._not_before.get(fold.build.table, 0.0)
            if due and waited and self._child is None and not self._stopped:
                self._spawn(fold)

    def stop(self) -> None:
        """Ends the process under way at once; nothing is started any more."""
        with self._lock:
            self._stopped = True
            if self._child is not None:
                self._child.process.kill()
                self._close(self._child)
                self._child = None

    def resume(self) -> None:
        """Allows processes again after `stop`."""
        with self._lock:
            self._stopped = False

    def _spawn(self, fold: Fold) -> None:
        # -P: the working directory must not decide which module runs.
        command = [sys.executable, "-P", "-m", "storage.lance.maintenance", self._uri, fold.build.table]
        try:
            process = subprocess.Popen(
                [*command, str(self._limit)],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                env=os.environ | {"LANCEDB_LOG": "error"},
            )
        except OSError as error:
            self._not_before[fold.build.table] = time.monotonic() + LIMIT_SECONDS
            log.warning("The index cannot be optimized (%s); searching it gets slower.", error.strerror)
            return
        self._child = _Child(process, fold, fold.writes, fold.rows, time.monotonic())
        fold.writes = fold.rows = 0

    def _collect(self) -> None:
        child = self._child
        if child is None or child.process.poll() is None:
            return
        self._child = None
        took = time.monotonic() - child.started
        self._not_before[child.fold.build.table] = time.monotonic() + max(PAUSE_SECONDS, PAUSE_SHARE * took)
        said = self._close(child)
        if child.process.returncode != 0:
            child.fold.writes += child.writes
            child.fold.rows += child.rows
            log.info("an optimization of %s ended early: %s", child.fold.build.table, said or child.process.returncode)

    @staticmethod
    def _close(child: _Child) -> str:
        _, said = child.process.communicate()
        return said.decode("utf-8", "replace").strip()[-300:]
