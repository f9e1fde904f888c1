"""The same commands over PostgreSQL by its URL."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

SAID = (
    {"external_id": "s", "id": "1", "role": "user", "content": "NUL \u0000 and the tram to Porto"},
    {"external_id": "s", "id": "2", "role": "assistant", "content": "noted"},
)


@pytest.fixture
def url(postgresql: Any) -> Iterator[str]:
    made = postgresql.empty()
    yield made
    postgresql.drop(made)


def test_migrate_import_search_export_doctor(backstory: Any, url: str, write_jsonl: Callable[..., Path]) -> None:
    backstory.environment.update(BACKSTORY_DATABASE_URL=url, BACKSTORY_EMBEDDER="none")
    path = str(write_jsonl("a.jsonl", *SAID))
    assert "up to date" in backstory("migrate").stderr
    assert "2 messages recorded in 1 session" in backstory("import", path).stderr
    assert "nothing new" in backstory("import", path).stderr
    assert SAID[0]["content"] in [hit["content"] for hit in backstory.json("search", "tram")["hits"]]
    assert backstory("export", "--format", "jsonl").stdout.count("\n") == 3
    healthy = backstory("doctor", "--audit").stdout
    assert "answers and is up to date" in healthy and "exactly what was recorded" in healthy
    assert not (backstory.data_dir / "backstory.db").exists()


def test_a_server_that_is_not_there_is_one_sentence_without_the_password(backstory: Any) -> None:
    url = "postgresql://me:hunter2@127.0.0.1:9/nowhere"
    done = backstory("sessions", code=1, BACKSTORY_DATABASE_URL=url)
    assert "cannot be reached" in done.stderr and "hunter2" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
