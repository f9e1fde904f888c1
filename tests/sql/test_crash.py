"""kill -9 at any moment: what was acknowledged is there, once, in its order; the rest is there whole or not at all."""

import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from memory.model import START, Message, NewMessage, Owner, SessionFilter
from memory.record.recording import record
from memory.record.sessions import Target
from storage.sql import SqlRecordStore, open_store

ROOT = Path(__file__).resolve().parents[2]
ANN = Owner("t", "ann")
BATCH = 3

# Every batch: a partial of the first line, then the whole batch, acknowledged by its number once it is on disk.
RECORDER = """
import sys
from dataclasses import replace
from datetime import UTC, datetime
from memory.model import NewMessage, Owner
from memory.record.recording import record
from memory.record.sessions import Target
from storage.sql import open_store

store, n = open_store(sys.argv[1]), int(sys.argv[2])
ann, now = Owner("t", "ann"), lambda: datetime.now(UTC)
while True:
    lines = [NewMessage("user", f"{n} {k} " + "x" * (n * 37 % 5000), f"{n}-{k}") for k in range(3)]
    record(store, ann, [replace(lines[0], content=str(n), status="partial")], Target(external_id="call"), now)
    record(store, ann, lines, Target(external_id="call"), now)
    print(n, flush=True)
    n += 1
"""


def recorded_until_killed(url: str, first: int, life: float) -> int:
    """The number of the last batch that a recorder acknowledged before it was killed; `first - 1` for none."""
    recorder = subprocess.Popen(
        [sys.executable, "-c", RECORDER, url, str(first)],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert recorder.stdout is not None
    line = recorder.stdout.readline()
    time.sleep(life)
    recorder.kill()
    rest, err = recorder.communicate(timeout=30)
    assert (recorder.returncode, err) == (-signal.SIGKILL, "")
    # A line may be torn by the kill; the number before it counts.
    whole = [part for part in (line + rest).splitlines(keepends=True) if part.endswith("\n")]
    return int(whole[-1]) if whole else first - 1


def wait_for_the_servers_side(store: SqlRecordStore) -> None:
    """PostgreSQL notices a moment later that its client is dead, and may commit what it was told to."""
    others = (
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() "
        "AND backend_type = 'client backend'"
    )
    deadline = time.monotonic() + 20
    while not store.database.is_sqlite:
        with store.database.reading() as db:
            if db.execute(text(others)).scalar() == 0:
                return
        assert time.monotonic() < deadline
        time.sleep(0.01)


def by_batch(stored: list[Message]) -> dict[int, list[Message]]:
    batches: dict[int, list[Message]] = {}
    for message in stored:
        batches.setdefault(int(str(message.client_id).split("-")[0]), []).append(message)
    return batches


@pytest.mark.slow
@pytest.mark.reliability
def test_a_killed_recorder_loses_nothing_it_acknowledged(
    database_url: str, clock: Any, tried: Callable[[str, int], None]
) -> None:
    tried("writer killed inside a write, SQLite and PostgreSQL", 6)
    chance, last = random.Random(), 0
    for _ in range(6):
        last = max(last, recorded_until_killed(database_url, last + 1, chance.uniform(0, 0.4)))
        store = open_store(database_url)
        try:
            wait_for_the_servers_side(store)
            assert store.audit() == []
            with store.read(ANN) as db:
                (session,) = db.sessions(SessionFilter(), 9)
                stored = db.transcript(session.session_id)
            assert [m.seq for m in stored] == list(range(1, len(stored) + 1))
            batches = by_batch(stored)
            assert sorted(batches) == list(range(1, len(batches) + 1))
            for n in range(1, last + 1):
                assert [m.content.split("x")[0] for m in batches[n]] == [f"{n} {k} " for k in range(BATCH)]
                assert {m.status for m in batches[n]} == {"final"}
            # At most one batch more: only its partial, or all of it.
            assert len(batches) <= last + 1
            for message in batches.get(last + 1, []):
                assert (message.status, len(batches[last + 1])) in (("partial", 1), ("final", BATCH))
            added = [c.message_id for c in store.feed(START, 10**6) if c.kind == "message_added"]
            assert added == [m.message_id for m in stored]
            # The client, which does not know, sends the last one again.
            last += 1
            lines = [NewMessage("user", f"{last} {k} " + "x" * (last * 37 % 5000), f"{last}-{k}") for k in range(BATCH)]
            done = record(store, ANN, lines, Target(external_id="call"), clock)
            assert done.session.last_seq == last * BATCH
        finally:
            store.close()
