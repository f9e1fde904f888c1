"""Following the feed with one replica: opening its table, folding, rebuilding it, switching to a new one."""

import contextlib
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from memory.errors import StorageFailed, Unavailable
from memory.model import START
from memory.ports import RecordStore, Replica
from storage.lance.catalog import Build, Builds, Catalog, CatalogFiles, new_table_name
from storage.lance.connection import Connection, LanceFailed
from storage.lance.folding import Damaged, Fold, Recipe, Stopped, probe
from storage.lance.patience import Patience
from storage.lance.tables import create_table
from storage.lance.upkeep import Upkeep

STEP: Final[Mapping[Replica, int]] = {"keywords": 1000, "vectors": 128}
"""Changes a batch at most. Vectors: about two seconds' work of the bundled embedder, lost when interrupted."""
_IDLE_SECONDS: Final = 1.0
_BUSY_INTERVALS: Final = 4
"""While changes keep coming, writes are this many intervals apart: every write makes searching slower."""
_NICENESS: Final = 5
_FAILURES_BEFORE_REBUILD: Final = 3
_REBUILD_PAUSES: Final = (0.0, 30.0, 120.0, 600.0)
"""Seconds between rebuilds that follow one another, so that a broken disk is not worn out by them."""

log = logging.getLogger("backstory.index")


@dataclass(frozen=True, slots=True)
class Workshop:
    """What every follower works with. `recipes`: the replicas that are kept here."""

    store: RecordStore
    connection: Connection
    files: CatalogFiles
    recipes: Mapping[Replica, Recipe]

    def wanted(self, replica: Replica) -> Build:
        """A new build as this process would make it. Errors: Unavailable while the embedder's dimension is unknown."""
        recipe = self.recipes[replica]
        made_by = (recipe.embedder.name, recipe.embedder.dimension) if recipe.embedder else (None, None)
        return Build(replica, new_table_name(replica), recipe.analyzer.version, *made_by)

    def current(self, build: Build) -> bool:
        """Whether this process would make the build's rows alike (its dimension aside)."""
        recipe = self.recipes[build.replica]
        embedder = recipe.embedder.name if recipe.embedder else None
        return (build.analyzer, build.embedder) == (recipe.analyzer.version, embedder)

    def begin(self, replica: Replica) -> Build:
        """An empty table that nothing refers to yet. Errors: Unavailable, LanceFailed, OSError."""
        build = self.wanted(replica)
        self.files.make_home()
        create_table(self.connection, build)
        return build

    def fold(self, catalog: Catalog, build: Build) -> Fold:
        """The build's fold, opened. Errors: those of `Fold.open`."""
        recipe = self.recipes[build.replica]
        fold = Fold(self.store, self.connection, self.files, build, catalog.cursor_name(build), recipe)
        fold.open()
        return fold

    def forget(self, catalog: Catalog, build: Build) -> None:
        """Says in the record that this build holds nothing any more, and removes what is left of it."""
        name = catalog.cursor_name(build)
        if self.store.cursor(name) != START:
            self.store.set_cursor(name, START)
        with contextlib.suppress(LanceFailed):
            self.connection.drop_table(build.table)

    def tidy(self, replica: Replica) -> None:
        """Drops tables and marks that the catalog does not name: what crashes and broken catalogs leave behind."""
        catalog = self.files.read()
        builds = catalog.builds(replica) if catalog else Builds()
        keep = {build.table for build in (builds.active, builds.building) if build}
        with contextlib.suppress(LanceFailed):
            for name in self.connection.table_names():
                if name.startswith(f"{replica}-") and name not in keep:
                    self.connection.drop_table(name)
        self.files.forget_marks(replica, keep)


class Follower:
    """One replica's loop. `run` returns when `ending` is set, and raises nothing."""

    def __init__(
        self, workshop: Workshop, replica: Replica, ending: threading.Event, interval: float, upkeep: Upkeep | None
    ) -> None:
        self._workshop = workshop
        self.replica = replica
        self._ending = ending
        self._interval = interval
        self._upkeep = upkeep
        self._wake = threading.Event()
        self._idle = interval
        self._pace = interval
        self._active: Fold | None = None
        self._next: Fold | None = None
        self._patience = Patience(f"Indexing {replica}")
        self._renewals = 0
        self._renewed_at = 0.0

    @property
    def opened(self) -> Build | None:
        """The build that is being folded, once it was found to be whole."""
        active = self._active
        return active.build if active else None

    def wake(self) -> None:
        """Ends an idle pause."""
        self._wake.set()

    def run(self) -> None:
        if self.replica == "vectors":
            _step_back()
        while not self._ending.is_set():
            pause = self._guarded(self._turn)
            if pause > 0:
                self._ending.wait(pause)

    def _guarded(self, turn: Callable[[], float]) -> float:
        """Seconds to pause after the turn, whatever became of it."""
        try:
            pause = turn()
        except Stopped:
            return 0.0
        except Damaged as damage:
            why = str(damage)
            return self._guarded(lambda: self._renew(why))
        except LanceFailed as failure:
            return self._failed(failure)
        except (Unavailable, StorageFailed) as error:
            return self._again(str(error))
        except OSError as error:
            return self._again(f"the index cannot be written ({error.strerror or type(error).__name__})")
        except Exception as error:
            log.debug("unexpected failure", exc_info=True)
            return self._again(f"{type(error).__name__} was raised")
        self._patience.worked()
        return pause

    def _again(self, why: str) -> float:
        # What is being closed around an ending thread is nobody's trouble.
        return 0.0 if self._ending.is_set() else self._patience.failed(why)

    def _failed(self, failure: LanceFailed) -> float:
        if failure.surroundings:
            return self._again(f"the index cannot be written ({failure.reason})")
        log.debug("%s failed: %s", self.replica, failure.reason)
        self._patience.failures += 1
        if failure.conflict or self._patience.failures < _FAILURES_BEFORE_REBUILD:
            return 0.1 * self._patience.failures
        return self._guarded(lambda: self._renew(failure.reason))

    def _turn(self) -> float:
        active = self._present()
        self._heed_requests()
        active = self._active or active
        # An edit or erasure would undo the work of a process that is optimizing the table; it can wait until after.
        optimizing = self._upkeep is not None and self._upkeep.works_on(active)
        folded = active.step(STEP[self.replica], only_adding=optimizing)
        more = active.hungry
        if self._next is not None:
            caught_up = self._next.step(STEP[self.replica]) == 0 and not self._next.cursor < active.cursor
            more = True
            if caught_up:
                self._switch(self._next)
        if self._upkeep is not None:
            self._upkeep.tend(self._active or active)
        self._patience.worked()
        return self._rest(folded, more)

    def _rest(self, folded: int, more: bool) -> float:
        if more:
            return 0.0
        if folded:
            self._idle = self._interval
            pause, self._pace = self._pace, min(_BUSY_INTERVALS * self._interval, self._pace * 1.5)
            return pause
        self._pace = self._interval
        self._wake.wait(self._idle)
        self._wake.clear()
        self._idle = min(_IDLE_SECONDS, self._idle * 1.5)
        return 0.0

    def _present(self) -> Fold:
        """The active fold; opened, made or made anew as what lies in the index directory demands."""
        files = self._workshop.files
        catalog = files.read()
        builds = catalog.builds(self.replica) if catalog else Builds()
        if self._active is not None and builds.active == self._active.build:
            return self._active
        self._active = self._next = None
        wanted = self._workshop.wanted(self.replica)
        if catalog is None or builds.active is None or not _same_space(builds.active, wanted):
            if builds.active is not None:
                log.warning("The index's %s are rebuilt for %s.", self.replica, wanted.embedder or "another format")
            return self._begin_active(catalog, builds)
        if builds.active.analyzer != wanted.analyzer and builds.building is None:
            self._begin_next()
            return self._present()
        self._active = self._workshop.fold(catalog, builds.active)
        if builds.building is not None:
            self._next = self._workshop.fold(catalog, builds.building)
        self._workshop.tidy(self.replica)
        return self._active

    def _begin_active(self, old: Catalog | None, builds: Builds) -> Fold:
        build = self._workshop.begin(self.replica)
        catalog = self._workshop.files.change(lambda present: present.with_builds(self.replica, Builds(active=build)))
        self._active, self._next = self._workshop.fold(catalog, build), None
        for gone in (builds.active, builds.building):
            if gone is not None and old is not None:
                self._workshop.forget(old, gone)
        self._workshop.tidy(self.replica)
        return self._active

    def _begin_next(self) -> None:
        build = self._workshop.begin(self.replica)
        self._workshop.files.change(
            lambda present: present.with_builds(self.replica, replace(present.builds(self.replica), building=build))
        )
        log.warning("The index's %s are being rebuilt; the present ones answer until that is done.", self.replica)
        self._active = self._next = None

    def _switch(self, fold: Fold) -> None:
        files = self._workshop.files
        old = files.read()
        catalog = files.change(lambda present: present.with_builds(self.replica, Builds(active=fold.build)))
        if old is not None and self._active is not None:
            self._workshop.forget(catalog, self._active.build)
        self._active, self._next = fold, None
        self._workshop.tidy(self.replica)
        log.warning("The index's %s have been rebuilt.", self.replica)

    def _renew(self, why: str) -> float:
        """Starts over with an empty table in the place of one that cannot be used."""
        since = time.monotonic() - self._renewed_at
        if since > _REBUILD_PAUSES[-1]:
            self._renewals = 0
        pause = _REBUILD_PAUSES[min(self._renewals, len(_REBUILD_PAUSES) - 1)]
        if since < pause:
            return self._again(f"its table is unusable ({why}) though it was rebuilt just now")
        log.warning("The index's %s are rebuilt because %s.", self.replica, why)
        self._renewals += 1
        self._renewed_at = time.monotonic()
        self._active = self._next = None
        catalog = self._workshop.files.read()
        self._begin_active(catalog, catalog.builds(self.replica) if catalog else Builds())
        self._workshop.files.answered("damaged", self.replica)
        return 0.0

    def _heed_requests(self) -> None:
        files = self._workshop.files
        if self._active is not None and files.asked("damaged", self.replica):
            self._examine(self._active.build)
            files.answered("damaged", self.replica)
        if files.asked("rebuild", self.replica):
            if self._next is None:
                self._begin_next()
                self._present()
            files.answered("rebuild", self.replica)

    def _examine(self, build: Build) -> None:
        """Reads the whole table through fresh caches: a reader could not, but it may have been the reader's trouble."""
        fresh = Connection(self._workshop.connection.uri)
        try:
            probe(fresh, build)
        except LanceFailed as failure:
            if not failure.surroundings:
                raise Damaged(failure.reason) from failure
        finally:
            fresh.close()


def _same_space(build: Build, wanted: Build) -> bool:
    return (build.embedder, build.dimension) == (wanted.embedder, wanted.dimension)


def _step_back() -> None:
    """Lets searches go before this thread, where the system ranks threads: embedding takes a whole core."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
