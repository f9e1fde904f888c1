"""Whether an open SQLite file is still the one at its path: who moves it away under a running server loses no turn.

What is written to a file that lies at no path any more is gone with the process. So each transaction looks first (two
`stat` calls, some microseconds), and a write looks again before it is acknowledged.
"""

import os
import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from threading import Lock

from memory.errors import StorageFailed

Identity = tuple[int, int]
MARK_BYTES = 20


class SqliteFile:
    """One database file and its write-ahead log, as this process opened them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = Lock()
        self._file: Identity | None = None
        self._log: Identity | None = None

    def __str__(self) -> str:
        return str(self.path)

    @property
    def log_path(self) -> Path:
        return self.path.with_name(self.path.name + "-wal")

    def opened(self, db: sqlite3.Connection) -> None:
        """Notes which file a new connection has. Errors: StorageFailed when it is another than the others have."""
        with closing(db.execute("PRAGMA schema_version")):
            pass  # The first read opens the log.
        with self._lock:
            found = _identity(self.path)
            if self._file is None:
                self._file = found
            elif found != self._file:
                raise self.refusal(found)
            log = _identity(self.log_path)
            if self._log is not None and log != self._log:
                raise self.refusal(found)
            self._log = log

    def forget(self, *, replaced: bool) -> None:
        """Every connection was closed: the next one may have another file.

        A log that the replaced file left behind is removed: SQLite would apply it to whatever lies there now.
        """
        with self._lock:
            if replaced and self._log is not None and _identity(self.log_path) == self._log:
                for side in ("-wal", "-shm"):
                    self.path.with_name(self.path.name + side).unlink(missing_ok=True)
            self._file = self._log = None

    @property
    def is_open(self) -> bool:
        return self._file is not None

    def is_replaced(self) -> bool:
        """Whether another file lies at the path. Errors: StorageFailed when none does."""
        if self._file is None or (found := _identity(self.path)) == self._file:
            return False
        if found is None or not self.path.stat().st_size:
            raise self.refusal(found)
        return True

    def has_lost_log(self) -> bool:
        """Whether the write-ahead log was deleted or replaced; the connections still hold what was in it."""
        return self._log is not None and _identity(self.log_path) != self._log

    def confirm(self) -> None:
        """After a commit: errors with StorageFailed when the write went to a file that is no longer there."""
        found = _identity(self.path)
        if found != self._file or self.has_lost_log():
            raise self.refusal(found)

    def refusal(self, found: Identity | None) -> StorageFailed:
        """The reason, and what to do; `found` is what lies at the path now."""
        if found is None:
            return StorageFailed(
                f"The database {self.path} was deleted or moved away while it was open, and what is written now would "
                "be lost; put it back, or start the server again to begin a new one."
            )
        return StorageFailed(
            f"The database {self.path} was replaced while it was written to, and the write may be lost; try it again."
        )


class Mark:
    """How far the record ever came, kept beside the database: shows that an older state of it was put in its place.

    Written after each commit, so it is never ahead of what was acknowledged.
    """

    def __init__(self, database: Path) -> None:
        self.path = database.with_name(database.name + "-mark")
        self._file: int | None = None

    def read(self) -> int:
        """The last change that was acknowledged, 0 when unknown."""
        with suppress(OSError, ValueError):
            return int(self.path.read_text("ascii"))
        return 0

    def write(self, change_id: int) -> None:
        """Not synced: that it outlives the process is enough, and a turn does not wait for it."""
        with suppress(OSError):
            if self._file is None:
                self._file = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
            os.lseek(self._file, 0, os.SEEK_SET)
            os.write(self._file, str(change_id).zfill(MARK_BYTES).encode())

    def close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None


def _identity(path: Path) -> Identity | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
