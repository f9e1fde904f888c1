"""The index's writer: one process at a time folds the feed into the tables, and mends or rebuilds them."""

import contextlib
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from filelock import FileLock, Timeout

from memory.model import START, Position
from memory.ports import Analyzer, Embedder, RecordStore, Replica
from storage.lance.catalog import Build, Builds
from storage.lance.connection import LanceFailed
from storage.lance.folding import Recipe
from storage.lance.following import Follower, Workshop
from storage.lance.index import LanceIndex
from storage.lance.patience import Patience
from storage.lance.upkeep import Upkeep

_EMBEDDED_PARTS: Final = 8
_LOCK_RETRY_SECONDS: Final = 1.0
_WAIT_STEP_SECONDS: Final = 0.02


@dataclass(frozen=True, slots=True)
class Lag:
    """About how many changes each replica has still to fold; None where it is not kept."""

    keywords: int
    vectors: int | None


class IndexWriter:
    """Keeps `index` up to date in background threads while this process holds the file lock; else waits for the lock.

    What was recorded is written `interval` seconds apart, up to four times that while there is much of it; vectors
    follow at the embedder's speed, at most `embedded_parts` passages of a message. An analyzer of another
    version means a rebuild.
    """

    def __init__(
        self,
        store: RecordStore,
        index: LanceIndex,
        analyzer: Analyzer,
        embedder: Embedder | None,
        lock_path: str | Path | None = None,
        *,
        interval: float = 0.25,
        embedded_parts: int = _EMBEDDED_PARTS,
        upkeep: bool = True,
    ) -> None:
        index.attach(store)
        self._store = store
        self._index = index
        self._embedder = embedder
        self._lock_path = Path(lock_path) if lock_path else index.files.home / "writer.lock"
        self._upkeep = Upkeep(index.uri) if upkeep else None
        self._interval = interval
        self._stopping = threading.Event()
        self._ending = threading.Event()
        recipes: dict[Replica, Recipe] = {"keywords": Recipe(analyzer)}
        if embedder is not None:
            recipes["vectors"] = Recipe(analyzer, embedder, embedded_parts, lambda: self._ending.is_set())
        self._workshop = Workshop(store, index.connection, index.files, recipes)
        self._followers: list[Follower] = []
        self._thread: threading.Thread | None = None
        self._holding = threading.Event()
        self._tried = threading.Event()

    @property
    def holding(self) -> bool:
        """Whether this process is the one that writes the index now."""
        return self._holding.is_set()

    def start(self) -> None:
        """Begins in the background; returns at once. Nothing that goes wrong there is raised: it is logged, once."""
        if self._thread is not None:
            return
        self._stopping = threading.Event()
        self._tried.clear()
        if self._upkeep is not None:
            self._upkeep.resume()
        self._thread = threading.Thread(target=self._run, args=(self._stopping,), name="backstory-index", daemon=True)
        self._thread.start()

    def stop(self, timeout: float = 1.5) -> None:
        """Ends the threads and helpers and gives up the lock; a batch under way is finished or forgotten."""
        self._stopping.set()
        self._ending.set()
        self.wake()
        if self._upkeep is not None:
            self._upkeep.stop()
        if self._thread is not None:
            self._thread.join(timeout)
            self._thread = None

    def wake(self) -> None:
        """Says that something was recorded, so that it is indexed sooner."""
        for follower in self._followers:
            follower.wake()

    def rebuild(self) -> None:
        """Asks for both tables to be built anew, by whichever process writes; the present ones answer meanwhile.

        Errors: OSError when the index directory cannot be written.
        """
        for replica in self._workshop.recipes:
            self._index.files.ask("rebuild", replica)
        self.wake()

    def wait_until_caught_up(self, timeout: float) -> bool:
        """Waits until all that is recorded now can be found in the index, whoever writes it; False when out of time.

        The whole of a rebuild that was asked for is waited for, too.
        """
        head = self._store.head()
        deadline = time.monotonic() + timeout
        while True:
            self.wake()
            if all(self._caught_up(replica, head) for replica in self._workshop.recipes):
                return True
            if time.monotonic() >= deadline:
                return False
            time.sleep(_WAIT_STEP_SECONDS)

    def lag(self) -> Lag:
        """How far behind the record the index is now."""
        head = self._store.head().change_id
        catalog = self._index.files.read()

        def behind(replica: Replica) -> int:
            builds = catalog.builds(replica) if catalog else None
            build = (builds.building or builds.active) if builds else None
            build = build if build and self._workshop.current(build) else None
            cursor = self._store.cursor(catalog.cursor_name(build)) if catalog and build else START
            return max(0, head - cursor.change_id)

        return Lag(behind("keywords"), None if self._embedder is None else behind("vectors"))

    def _caught_up(self, replica: Replica, head: Position) -> bool:
        files = self._index.files
        if files.asked("rebuild", replica) or files.asked("damaged", replica):
            return False
        catalog = files.read()
        builds = catalog.builds(replica) if catalog else Builds()
        build = builds.active
        if catalog is None or build is None or builds.building is not None or not self._workshop.current(build):
            return False
        return self._opened(build) and head <= self._store.cursor(catalog.cursor_name(build))

    def _opened(self, build: Build) -> bool:
        """Whether the build has been looked into here, should it be this process that has to mend it."""
        if self._thread is None:
            return True
        if not self._tried.is_set():
            return False
        return all(follower.opened == build for follower in self._followers if follower.replica == build.replica)

    def _run(self, stopping: threading.Event) -> None:
        patience = Patience("The index's writer")
        while not stopping.is_set():
            lock = FileLock(self._lock_path, thread_local=False)
            try:
                self._index.files.make_home()
                self._lock_path.parent.mkdir(parents=True, exist_ok=True)
                with lock.acquire(timeout=0):
                    patience.worked()
                    self._hold(stopping)
            except Timeout:
                self._tried.set()
                patience.worked()
                stopping.wait(_LOCK_RETRY_SECONDS)
            except OSError as error:
                why = error.strerror or type(error).__name__
                stopping.wait(patience.failed(f"its lock cannot be taken ({why})"))

    def _hold(self, stopping: threading.Event) -> None:
        """Follows the feed until stopped, or until the lock's file is no longer the one that was locked."""
        taken = self._lock_identity()
        self._ending = ending = threading.Event()
        # Before a thread of low priority does it: LanceDB's threads get the priority of whoever starts them.
        with contextlib.suppress(LanceFailed):
            self._index.connection.run(self._index.connection.db())
        followers = [
            Follower(self._workshop, replica, ending, self._interval, self._upkeep)
            for replica in self._workshop.recipes
        ]
        threads = [
            threading.Thread(target=follower.run, name=f"backstory-{follower.replica}", daemon=True)
            for follower in followers
        ]
        for thread in threads:
            thread.start()
        self._followers = followers
        self._holding.set()
        self._tried.set()
        while not stopping.wait(_LOCK_RETRY_SECONDS) and self._lock_identity() == taken:
            pass
        self._holding.clear()
        self._followers = []
        ending.set()
        for follower, thread in zip(followers, threads, strict=True):
            follower.wake()
            thread.join()

    def _lock_identity(self) -> tuple[int, int] | None:
        try:
            stat = self._lock_path.stat()
        except OSError:
            return None
        return stat.st_dev, stat.st_ino
