"""A check-up of an installation, one finding after another; each says what is so and, where it is bad, what to do."""

import os
import platform
import shutil
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Literal

from memory.errors import BackstoryError
from memory.ports import Replica
from server import __version__
from server.commands.beginning import FIRST_STEPS, is_empty
from server.commands.waiting import wait_for_index
from server.opening import LazyMemory
from server.record import open_record
from server.settings import Settings

if TYPE_CHECKING:
    from server.parts import Parts
    from storage.sql import SqlRecordStore

LITTLE_ROOM = 1 << 30
NO_ROOM = 64 << 20
REPLICAS: tuple[Replica, ...] = ("keywords", "vectors")


@dataclass(frozen=True, slots=True)
class Finding:
    """`state` is 'ok', 'note' (worth knowing) or 'bad' (something does not work)."""

    check: str
    state: Literal["ok", "note", "bad"]
    text: str


def checkup(settings: Settings, *, repair: bool, audit: bool) -> Iterator[Finding]:
    """Every check that can be made; those that stand on something broken are left out."""
    yield Finding("version", "ok", f"backstory {__version__}, Python {platform.python_version()}, {platform.system()}")
    yield from _check_directory(settings.data_dir)
    if settings.database_url is None and not settings.database_file.exists():
        yield Finding("database", "note", f"{settings.database_label} does not exist yet; the first start makes it")
        yield Finding("record", "note", f"nothing is recorded yet; {FIRST_STEPS}")
        return
    database = list(_check_database(settings))
    yield from database
    if any(finding.state == "bad" for finding in database):
        return
    try:
        yield from _check_memory(settings, repair=repair, audit=audit)
    except BackstoryError as error:
        yield Finding("memory", "bad", str(error))


def _check_directory(path: Path) -> Iterator[Finding]:
    if not path.exists():
        yield Finding("data directory", "note", f"{path} does not exist yet; the first start makes it")
        return
    if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        yield Finding("data directory", "bad", f"{path} cannot be written by this user; change its owner or mode")
        return
    yield Finding("data directory", "ok", str(path))
    free = shutil.disk_usage(path).free
    room = f"{free / 2**30:.1f} GiB free"
    if free < NO_ROOM:
        yield Finding("disk", "bad", f"{room}: recording will fail; free some space")
    else:
        yield Finding("disk", "note" if free < LITTLE_ROOM else "ok", room)


def _check_database(settings: Settings) -> Iterator[Finding]:
    """Whether it opens, is whole, and has this version's schema. A SQLite file is migrated as it is at every start."""
    label = settings.database_label
    try:
        store = open_record(settings)
    except BackstoryError as error:
        yield Finding("database", "bad", str(error))
        return
    try:
        yield from _check_record(store, label)
    except BackstoryError as error:
        yield Finding("database", "bad", str(error))
    finally:
        store.close()


def _check_record(store: "SqlRecordStore", label: str) -> Iterator[Finding]:
    from sqlalchemy import text

    if store.database.is_sqlite:
        with store.database.reading() as db:
            problems = [row[0] for row in db.execute(text("PRAGMA quick_check(3)"))]
        if problems != ["ok"]:
            yield Finding("database", "bad", f"{label} is damaged ({problems[0]}); restore a backup")
            return
        yield Finding("database", "ok", f"{label} is whole and up to date (SQLite {sqlite3.sqlite_version})")
        if lost := store.lost_changes():
            told = f"lacks {lost:,} changes that were acknowledged before; put the newer files back, or go on without"
            yield Finding("record", "bad", told)
    else:
        yield Finding("database", "ok", f"{label} answers and is up to date")


def _check_memory(settings: Settings, *, repair: bool, audit: bool) -> Iterator[Finding]:
    from server.parts import open_parts

    with LazyMemory(settings, opener=partial(open_parts, background=repair)) as lazy:
        memory = lazy.wait()
        with memory.store.read(settings.owner) as records:
            counted = f"{records.message_count():,} messages of user {settings.owner.user_id}"
        empty = is_empty(memory.store, settings)
        yield Finding("record", "note", f"{counted}; {FIRST_STEPS}") if empty else Finding("record", "ok", counted)
        yield _check_embedder(memory)
        if repair:
            yield from _repaired(memory)
        yield from _check_index(memory)
        if audit:
            yield from _check_audit(memory)


def _check_embedder(memory: "Parts") -> Finding:
    wanted = memory.settings.embedder
    if memory.embedder is None:
        state: Literal["ok", "bad"] = "ok" if wanted == "none" else "bad"
        return Finding("embedder", state, f"{wanted}: search works by words alone")
    started = perf_counter()
    try:
        memory.embedder.embed_query("Is everything in order?")
    except BackstoryError as error:
        return Finding("embedder", "bad", f"{error} Search works by words alone meanwhile.")
    took = (perf_counter() - started) * 1000
    name, dimension = memory.embedder.name, memory.embedder.dimension
    return Finding("embedder", "ok", f"{name}, {dimension} dimensions, {took:.0f} ms for a question")


def _repaired(memory: "Parts") -> Iterator[Finding]:
    memory.writer.rebuild()
    if wait_for_index(memory, vectors=True):
        yield Finding("repair", "ok", "the search index was built anew")
    else:
        yield Finding("repair", "bad", "the search index could not be built anew; the messages above say why")


def _check_index(memory: "Parts") -> Iterator[Finding]:
    """Whether what there is of the index can be read, and how far it is behind the record."""
    memory.index.open()
    catalog = memory.index.files.read()
    lag = memory.writer.lag()
    for replica, behind in zip(REPLICAS, (lag.keywords, lag.vectors), strict=True):
        if behind is None:
            continue
        if memory.index.files.asked("damaged", replica):
            yield Finding(f"index {replica}", "bad", "damaged; a server rebuilds it by itself, as does --repair")
        elif catalog is None or catalog.builds(replica).active is None:
            yield Finding(f"index {replica}", "note" if behind else "ok", f"not built yet, {_waiting(behind)}")
        else:
            yield Finding(f"index {replica}", "note" if behind else "ok", _waiting(behind))


def _waiting(behind: int) -> str:
    if not behind:
        return "up to date"
    return f"{behind:,} changes wait; a running server takes them in, or `backstory reindex --wait`"


def _check_audit(memory: "Parts") -> Iterator[Finding]:
    problems = memory.store.audit()
    for problem in problems:
        yield Finding("audit", "bad", problem)
    if not problems:
        yield Finding("audit", "ok", "every session holds exactly what was recorded")
