"""Keeping tables compact: a niced process of its own for each optimization, never a fork."""

import logging
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Final

from storage.lance.folding import Fold

_WRITES: Final = 24
"""Every write leaves a fragment, and every fragment costs each query 0.1 ms."""
_ROWS: Final = 3000
"""Rows not in the indices yet are searched one by one."""
_PAUSE_SECONDS: Final = 10.0
_PAUSE_SHARE: Final = 5
"""An optimization rewrites the table; large ones are spaced by so many times what they take."""
_BACKLOG: Final = 4
"""Times the limit above which a table is not spared any longer, as after a large import."""
_LIMIT_SECONDS: Final = 300

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

    def __init__(
        self, uri: str, *, writes: int = _WRITES, rows: int = _ROWS, limit_seconds: int = _LIMIT_SECONDS
    ) -> None:
        self._uri = uri
        self._writes = writes
        self._rows = rows
        self._limit = limit_seconds
        self._lock = Lock()
        self._child: _Child | None = None
        self._resting: dict[str, float] = {}
        self._barred: dict[str, float] = {}
        self._stopped = False

    def tend(self, fold: Fold) -> None:
        """Collects an optimization that has ended; starts one when the fold's table needs it."""
        with self._lock:
            self._collect()
            if self._child is None and not self._stopped and self._due(fold):
                self._spawn(fold)

    def _due(self, fold: Fold) -> bool:
        now, table = time.monotonic(), fold.build.table
        if now < self._barred.get(table, 0.0):
            return False
        if fold.writes >= _BACKLOG * self._writes:
            return True
        return (fold.writes >= self._writes or fold.rows >= self._rows) and now >= self._resting.get(table, 0.0)

    def works_on(self, fold: Fold) -> bool:
        """Whether a process is optimizing the fold's table now."""
        with self._lock:
            self._collect()
            return self._child is not None and self._child.fold is fold

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
                env=os.environ | {"LANCEDB_LOG": "error", "PYTHONPATH": _module_path()},
            )
        except OSError as error:
            self._barred[fold.build.table] = time.monotonic() + self._limit
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
        self._resting[child.fold.build.table] = time.monotonic() + max(_PAUSE_SECONDS, _PAUSE_SHARE * took)
        said = self._close(child)
        if child.process.returncode != 0:
            self._barred[child.fold.build.table] = time.monotonic() + self._limit
            child.fold.writes += child.writes
            child.fold.rows += child.rows
            log.info("an optimization of %s ended early: %s", child.fold.build.table, said or child.process.returncode)

    @staticmethod
    def _close(child: _Child) -> str:
        _, said = child.process.communicate()
        return said.decode("utf-8", "replace").strip()[-300:]


def _module_path() -> str:
    """Where this package was found stays first, also where it is not installed."""
    here = str(Path(__file__).resolve().parents[2])
    return os.pathsep.join(filter(None, [here, os.environ.get("PYTHONPATH")]))
