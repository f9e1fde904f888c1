"""What an index directory says of itself: which tables serve, which are being built, how far each was folded.

These are small JSON files beside the tables. Only the holder of the index's lock writes them; every write is a whole
file moved into place, so readers never see half of one.
"""

import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from threading import Lock
from typing import Any, Final
from uuid import uuid4

from memory.model import START, Position
from memory.ports import Replica

_FORMAT: Final = 1
"""Of the tables and these files. Another one means a rebuild."""


@dataclass(frozen=True, slots=True)
class Build:
    """One table, from its first row on. `analyzer`, `embedder` and `dimension` are what its rows were made with.

    Its name is never used again, not even after the directory was deleted: caches go by it.
    """

    replica: Replica
    table: str
    analyzer: str
    embedder: str | None = None
    dimension: int | None = None


@dataclass(frozen=True, slots=True)
class Builds:
    """A replica's tables: the one that answers, and the one that will once it has caught up."""

    active: Build | None = None
    building: Build | None = None


@dataclass(frozen=True, slots=True)
class Catalog:
    """An index directory's contents."""

    index_id: str
    keywords: Builds = Builds()
    vectors: Builds = Builds()

    def builds(self, replica: Replica) -> Builds:
        return self.keywords if replica == "keywords" else self.vectors

    def cursor_name(self, build: Build) -> str:
        """The name under which the record keeps how far this build was folded."""
        return f"{self.index_id}/{build.table}"

    def with_builds(self, replica: Replica, builds: Builds) -> "Catalog":
        return replace(self, keywords=builds) if replica == "keywords" else replace(self, vectors=builds)


def new_table_name(replica: Replica) -> str:
    return f"{replica}-{uuid4().hex[:12]}"


@dataclass(frozen=True, slots=True)
class Mark:
    """How far a table is: the cursor stands at `start` or `end`, and the table is at `version` or later.

    Written and synced between a batch's rows and its cursor, and with `start` = `end` after the cursor. So any other
    cursor belongs to another state of the record, and an older table has lost writes.
    """

    start: Position = START
    end: Position = START
    version: int = 0


class CatalogFiles:
    """The JSON files of one index, in the directory `home`."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self._path = home / "index.json"
        self._seen: tuple[tuple[int, int, int], Catalog | None] | None = None
        self._changing = Lock()

    def make_home(self) -> None:
        """The directory, for this user's eyes alone where it is new: what was said lies in it. Errors: OSError."""
        self.home.mkdir(mode=0o700, parents=True, exist_ok=True)

    def read(self) -> Catalog | None:
        """None where there is no index, or none that this version understands. Cheap: parsed again when changed."""
        try:
            stat = self._path.stat()
        except OSError:
            return None
        stamp = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
        seen = self._seen
        if seen is None or seen[0] != stamp:
            self._seen = seen = (stamp, self._parse())
        return seen[1]

    def change(self, how: Callable[[Catalog], Catalog]) -> Catalog:
        """Applies `how` to the present catalog, or to a new and empty one. Errors: OSError."""
        with self._changing:
            changed = how(self.read() or Catalog(uuid4().hex))
            _write_json(self._path, {"format": _FORMAT, **asdict(changed)})
            return changed

    def mark(self, build: Build) -> Mark:
        """The build's last mark; an empty one when there is none that can be read."""
        try:
            stored = json.loads(self._mark_path(build).read_text("utf-8"))
            return Mark(Position(*stored["start"]), Position(*stored["end"]), int(stored["version"]))
        except (OSError, ValueError, TypeError, KeyError):
            return Mark()

    def put_mark(self, build: Build, mark: Mark) -> None:
        """Errors: OSError."""
        start, end = ([at.xid, at.change_id] for at in (mark.start, mark.end))
        _write_json(self._mark_path(build), {"start": start, "end": end, "version": mark.version})

    def forget_marks(self, replica: Replica, keep: set[str]) -> None:
        """Removes the marks of tables that are gone."""
        for path in self.home.glob(f"{replica}-*.mark"):
            if path.stem not in keep:
                path.unlink(missing_ok=True)

    def ask(self, request: str, replica: Replica) -> None:
        """Leaves a note ('rebuild' or 'damaged') for whoever holds the lock. Errors: OSError."""
        self.make_home()
        (self.home / f"{replica}.{request}").touch()

    def asked(self, request: str, replica: Replica) -> bool:
        return (self.home / f"{replica}.{request}").exists()

    def answered(self, request: str, replica: Replica) -> None:
        (self.home / f"{replica}.{request}").unlink(missing_ok=True)

    def _mark_path(self, build: Build) -> Path:
        return self.home / f"{build.table}.mark"

    def _parse(self) -> Catalog | None:
        try:
            stored = json.loads(self._path.read_text("utf-8"))
            if stored["format"] != _FORMAT:
                return None
            builds = {
                name: Builds(**{k: _build(v) for k, v in stored[name].items()}) for name in ("keywords", "vectors")
            }
            return Catalog(str(stored["index_id"]), **builds)
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return None


def _build(stored: dict[str, Any] | None) -> Build | None:
    return None if stored is None else Build(**stored)


def _write_json(path: Path, value: Any) -> None:
    """Replaces the file as a whole, synced before it takes the old one's place."""
    draft = path.with_name(path.name + ".new")
    with draft.open("w", encoding="utf-8") as file:
        json.dump(value, file)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
