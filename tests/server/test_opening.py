"""A memory opens once, in the background; who needs it waits; a failure is one sentence, and is tried again later."""

import logging
import threading
import time
from pathlib import Path
from typing import cast

import pytest
from mcp import Client

import server.opening as opening
import server.parts as parts
from memory.errors import StorageFailed, Unavailable
from memory.model import Owner
from server.app import build_memory, build_server
from server.opening import LazyMemory
from server.parts import Parts
from server.settings import Secret, Settings


class Opened:
    """Stands for open parts."""

    store = object()

    def __init__(self) -> None:
        self.closed = 0

    @property
    def triggers(self) -> "Opened":
        return self

    def tell(self, made: object) -> None:
        pass

    def close(self) -> None:
        self.closed += 1


def as_parts(opened: Opened) -> Parts:
    return cast("Parts", opened)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path / "data", embedder="none")


def test_many_callers_open_it_once_and_all_wait(settings: Settings) -> None:
    opened, gate, count = Opened(), threading.Event(), list[int]()

    def opener(*_: object) -> Parts:
        count.append(1)
        gate.wait(5)
        return as_parts(opened)

    memory = LazyMemory(settings, opener=opener)
    seen: list[object] = []
    threads = [threading.Thread(target=lambda: seen.append(memory.wait().store)) for _ in range(8)]
    for thread in threads:
        thread.start()
    assert seen == []
    gate.set()
    for thread in threads:
        thread.join(5)
    assert seen == [Opened.store] * 8
    assert count == [1]
    memory.close()
    memory.close()
    assert opened.closed == 1
    with pytest.raises(Unavailable, match="shutting down"):
        memory.wait()


def test_warming_up_waits_unless_somebody_needs_it(settings: Settings) -> None:
    memory = LazyMemory(settings, opener=lambda *_: as_parts(Opened()))
    memory.warm(after=60)
    assert memory.wait().store is Opened.store
    memory.close()


def test_nothing_opens_once_it_is_closed(settings: Settings) -> None:
    count: list[int] = []

    def opener(*_: object) -> Parts:
        count.append(1)
        return as_parts(Opened())

    memory = LazyMemory(settings, opener=opener)
    memory.warm(after=60)
    memory.close()
    with pytest.raises(Unavailable):
        memory.wait()
    assert count == []


def test_what_opens_too_late_is_closed_again(settings: Settings) -> None:
    opened, begun, gate = Opened(), threading.Event(), threading.Event()

    def opener(*_: object) -> Parts:
        begun.set()
        gate.wait(5)
        return as_parts(opened)

    memory = LazyMemory(settings, opener=opener)
    memory.warm()
    assert begun.wait(5)
    memory.close()
    gate.set()
    with pytest.raises(Unavailable, match="shutting down"):
        memory.wait()
    assert opened.closed == 1


def test_a_failure_is_told_to_everybody_and_tried_again_later(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(opening, "RETRY_SECONDS", 1.0)
    full = StorageFailed("The disk is full; nothing was opened.")
    answers: list[Exception | Opened] = [full, RuntimeError("line one\nline two"), Opened()]

    def opener(*_: object) -> Parts:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return as_parts(answer)

    memory = LazyMemory(settings, opener=opener)
    with caplog.at_level(logging.ERROR, "backstory"):
        for _ in range(2):
            with pytest.raises(StorageFailed, match="The disk is full"):
                memory.wait()
        time.sleep(1.1)
        with pytest.raises(Unavailable, match=r"^The memory could not be opened \(RuntimeError: line one\)\.$"):
            memory.wait()
        time.sleep(1.1)
        assert memory.wait().store is Opened.store
    assert [record.getMessage() for record in caplog.records] == [
        "The disk is full; nothing was opened.",
        "The memory could not be opened (RuntimeError: line one).",
    ]
    memory.close()


def test_without_the_model_search_goes_on_with_keywords_and_that_is_said_once(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def missing(*_: object, **__: object) -> None:
        raise Unavailable("onnxruntime is not installed for this platform.")

    monkeypatch.setattr(parts, "load_embedder", missing)
    with caplog.at_level(logging.WARNING, "backstory"), build_memory(settings) as lazy:
        memory = lazy.wait()
        assert memory.embedder is None
        from memory.model import NewMessage
        from memory.recall import SearchRequest
        from memory.record.recording import record
        from memory.record.sessions import Target

        owner = Owner("t", "u")
        record(memory.store, owner, [NewMessage("user", "a yellow submarine")], Target(), memory.clock)
        assert memory.recall.search(owner, SearchRequest("submarine")).hits[0].message.content == "a yellow submarine"
    told = [r.getMessage() for r in caplog.records if "onnxruntime" in r.getMessage()]
    assert told == ["onnxruntime is not installed for this platform. Search goes on with keywords only."]


def test_an_encryption_key_is_not_silently_ignored(tmp_path: Path) -> None:
    memory = build_memory(Settings(data_dir=tmp_path, encryption_key=Secret("k")))
    with memory, pytest.raises(Unavailable, match="BACKSTORY_ENCRYPTION_KEY"):
        memory.wait()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.anyio
async def test_the_server_neither_opens_nor_closes_more_than_once(settings: Settings) -> None:
    opened, count = Opened(), list[int]()

    def opener(*_: object) -> Parts:
        count.append(1)
        return as_parts(opened)

    memory = LazyMemory(settings, opener=opener)
    server = build_server(memory)
    for mode in ("auto", "legacy"):
        async with Client(server, mode=mode) as client, Client(server, mode=mode):
            await client.list_tools()
    memory.wait()
    assert count == [1]
    assert opened.closed == 0
    memory.close()
    assert opened.closed == 1
