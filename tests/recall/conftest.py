"""A record to search, and talk to put into it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from memory.model import NewMessage, Owner
from memory.ports import Clock
from memory.record.recording import record
from memory.record.sessions import Target
from storage.sql import SqlRecordStore, open_store, sqlite_url


@pytest.fixture
def say(sqlite: SqlRecordStore, owner: Owner, clock: Clock) -> Callable[..., list[str]]:
    def record_lines(*lines: str, whose: Owner = owner, **target: object) -> list[str]:
        turns = [NewMessage("user" if n % 2 == 0 else "assistant", line) for n, line in enumerate(lines)]
        target.setdefault("external_id", "talk")
        return [m.message_id for m in record(sqlite, whose, turns, Target(**target), clock).messages]  # type: ignore[arg-type]  # a test's shorthand

    return record_lines


@pytest.fixture
def sqlite(tmp_path: Path) -> Iterator[SqlRecordStore]:
    store = open_store(sqlite_url(tmp_path / "backstory.db"))
    yield store
    store.close()
