"""What is timed on the stage, each beside its floor in the same run."""

import shutil
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import islice
from pathlib import Path
from time import monotonic, perf_counter, sleep

from memory.model import Message, NewMessage
from memory.ports import Embedder
from memory.recall import Recall, SearchRequest, analyzer
from memory.record.recording import record
from memory.record.sessions import Target
from server.latency.figures import Figure, Timings, timed
from server.latency.floors import BareCommit, RawQueries
from server.latency.stage import BEGIN, ME, Stage, Tell, build, now
from server.latency.talk import conversation, questions

_WRITES = 500
_SEARCHES = 300
_CALLERS = 8
_CROWD_SECONDS = 10.0
_TURNS_A_SECOND = 20
_INDEXED_A_SECOND = 50
_INDEXED_TURNS = 500
_INDEXED_SECONDS = 120.0


def measure(model: Embedder, messages: int, mine: int, tell: Tell) -> Iterator[Figure]:
    """Builds a store of `messages`, `mine` of them the measured user's, and yields figure after figure."""
    directory = Path(tempfile.mkdtemp(prefix="backstory-bench-"))
    try:
        stage = build(directory, model, messages, mine, tell)
        try:
            tell("measuring", 0, 4)
            yield from _measure_first(stage)
            recall = stage.recall()
            search(recall, "warm up")
            tell("measuring", 1, 4)
            yield _measure_search(stage, recall)
            tell("measuring", 2, 4)
            yield _measure_writing(stage, directory)
            tell("measuring", 3, 4)
            yield from _measure_crowd(stage, recall)
            yield _measure_indexing(stage)
            tell("measuring", 4, 4)
        finally:
            stage.close()
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def search(recall: Recall, question: str) -> None:
    if not recall.search(ME, SearchRequest(question, limit=10)).hits and question != "warm up":
        raise AssertionError(f"nothing was found for {question!r}")


def _measure_first(stage: Stage) -> Iterator[Figure]:
    """A user's first search in a process, which brings that user's messages into memory."""
    seconds = [timed(lambda q=q: search(stage.recall(), q)) for q in questions(7, 5)]  # type: ignore[misc]
    yield Figure("first search of a user in a process", Timings.of(seconds))


def _measure_search(stage: Stage, recall: Recall) -> Figure:
    raw = RawQueries(stage.index.uri, tables(stage), ME, stage.embedder)
    ours, floor = [], []
    for question in questions(1, _SEARCHES):
        terms = _query_terms(question)
        floor.append(timed(lambda: raw(question, terms)))  # noqa: B023 called at once
        ours.append(timed(lambda: search(recall, question)))  # noqa: B023
    raw.close()
    return Figure("search", Timings.of(ours), Timings.of(floor), "floor: one embedding and two raw LanceDB queries")


def tables(stage: Stage) -> tuple[str, str]:
    catalog = stage.index.files.read()
    assert catalog is not None and catalog.keywords.active is not None and catalog.vectors.active is not None
    return catalog.keywords.active.table, catalog.vectors.active.table


def _query_terms(question: str) -> list[str]:
    message = Message("q", "s", 1, "user", question, BEGIN, BEGIN)
    return [term for passage in analyzer().passages(message) for term in passage.terms.split()]


def _measure_writing(stage: Stage, directory: Path) -> Figure:
    """A turn recorded and acknowledged, while the index follows in the background."""
    bare = BareCommit(directory / "bare.db")
    ours, floor = [], []
    for message in conversation(10**6, BEGIN, _WRITES):
        floor.append(timed(lambda: bare(message)))  # noqa: B023 called at once
        ours.append(timed(lambda: _one_turn(stage, message)))  # noqa: B023
    bare.close()
    return Figure("a turn acknowledged", Timings.of(ours), Timings.of(floor), "floor: a bare SQLite commit (FULL)")


def _one_turn(stage: Stage, message: NewMessage) -> None:
    record(stage.store, ME, [message], Target(external_id="now"), now)


def _measure_crowd(stage: Stage, recall: Recall) -> Iterator[Figure]:
    """Eight callers search without pause while one records."""
    until = monotonic() + _CROWD_SECONDS
    asked = questions(2, 400)

    def ask(caller: int) -> list[float]:
        seconds: list[float] = []
        while monotonic() < until:
            question = asked[(caller * 50 + len(seconds)) % len(asked)]
            seconds.append(timed(lambda: search(recall, question)))  # noqa: B023 called at once
        return seconds

    with ThreadPoolExecutor(_CALLERS + 1) as pool:
        writer = pool.submit(_keep_writing, stage, until)
        searched = [second for part in pool.map(ask, range(_CALLERS)) for second in part]
        written = writer.result()
    rate = f"{len(searched) / _CROWD_SECONDS:.0f} searches a second"
    yield Figure(f"search, {_CALLERS} callers at once beside a writer", Timings.of(searched), note=rate)
    yield Figure(
        "a turn acknowledged beside them", Timings.of(written), note=f"{_TURNS_A_SECOND} turns a second wanted"
    )


def _measure_indexing(stage: Stage) -> Figure:
    """How long after its commit a turn is in the keyword index, while many are recorded at a steady pace."""
    stage.writer.wait_until_caught_up(60)
    recorded: list[tuple[int, float]] = []
    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(_keep_pace, stage, recorded)
        waits: list[float] = []
        until = monotonic() + _INDEXED_SECONDS
        while len(waits) < _INDEXED_TURNS:
            if monotonic() > until or (writing.done() and writing.exception()):
                raise AssertionError(f"only {len(waits)} of {_INDEXED_TURNS} turns were indexed")
            sleep(0.01)
            reached, now = stage.index.position("keywords").change_id, monotonic()
            while len(waits) < len(recorded) and recorded[len(waits)][0] <= reached:
                waits.append(now - recorded[len(waits)][1])
        writing.result()
    what = f"recorded to keyword-indexed, {_INDEXED_A_SECOND} turns a second"
    return Figure(what, Timings.of(waits), note="a search reads what is not indexed yet from the record")


def _keep_pace(stage: Stage, recorded: list[tuple[int, float]]) -> None:
    """Records turn after turn, noting each one's change and when it was committed."""
    begun = monotonic()
    for number, message in enumerate(islice(conversation(10**6 + 2, BEGIN, _INDEXED_TURNS), _INDEXED_TURNS)):
        sleep(max(0.0, begun + number / _INDEXED_A_SECOND - monotonic()))
        _one_turn(stage, replace(message, client_id=f"pace-{number}"))
        recorded.append((stage.store.head().change_id, monotonic()))


def _keep_writing(stage: Stage, until: float) -> list[float]:
    pause = threading.Event()
    seconds: list[float] = []
    for number, message in enumerate(conversation(10**6 + 1, BEGIN, 10**5)):
        started = perf_counter()
        if monotonic() >= until:
            break
        _one_turn(stage, replace(message, client_id=f"crowd-{number}"))
        seconds.append(perf_counter() - started)
        pause.wait(max(0.0, 1 / _TURNS_A_SECOND - seconds[-1]))
    return seconds
