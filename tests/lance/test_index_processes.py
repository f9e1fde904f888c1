"""Several processes over one directory: one writes the index, and what becomes of it when one is killed."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from memory.model import MessageFilter, Owner
from storage.lance.upkeep import Upkeep

if TYPE_CHECKING:
    from tests.lance.conftest import Bag, House, Record

ALL = MessageFilter()
SCRIPT = """
import sys, time, importlib.util
spec = importlib.util.spec_from_file_location("lance_fixtures", sys.argv[1])
fixtures = importlib.util.module_from_spec(spec)
sys.modules["lance_fixtures"] = fixtures
spec.loader.exec_module(fixtures)
from contextlib import ExitStack
from pathlib import Path
with ExitStack() as stack:
    house = fixtures.House(Path(sys.argv[2]), stack)
    record = house.record()
    writer = house.running(record, fixtures.Bag(), upkeep=len(sys.argv) > 3)
    while not writer.holding:
        time.sleep(0.01)
    print("holding", flush=True)
    sys.stdin.read()
"""


class Process:
    """Another process with a writer over the same house."""

    def __init__(self, house: "House", *arguments: str) -> None:
        command = [sys.executable, "-c", SCRIPT, str(Path(__file__).with_name("conftest.py")), str(house.directory)]
        self.process = subprocess.Popen([*command, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        house.stack.callback(self.kill)

    def holds(self) -> None:
        """Returns once the process has the lock."""
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == b"holding\n"

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()


def ids(found: Iterable[tuple[str, float]]) -> list[str]:
    return [message_id for message_id, _ in found]


def contents(house: "House", record: "Record", bag: "Bag", owner: Owner) -> tuple[Counter[str], Counter[str]]:
    """How often each message stands in the keywords and in the vectors."""
    import lancedb

    record.store.head()
    db = lancedb.connect(house.index_path)
    counted = {}
    for path in house.index_path.glob("*.lance"):
        rows = db.open_table(path.stem).search().select(["message_id"]).limit(None).to_list()
        counted[path.name.partition("-")[0]] = Counter(row["message_id"] for row in rows)
    return counted["keywords"], counted["vectors"]


def test_one_process_writes_and_another_takes_over_when_it_dies(
    house: "House", record: "Record", bag: "Bag", ann: Owner
) -> None:
    (first,) = record.add(ann, "tea")
    other = Process(house)
    other.holds()
    writer = house.running(record, bag)
    assert writer.wait_until_caught_up(30)
    assert not writer.holding
    index = house.index(bag, record.store)
    assert ids(index.keyword_candidates(ann, ALL, ["tea"], 5)) == [first]
    other.process.send_signal(signal.SIGKILL)
    other.process.wait()
    (second,) = record.add(ann, "more tea")
    assert writer.wait_until_caught_up(30)
    assert writer.holding
    assert ids(index.keyword_candidates(ann, ALL, ["more"], 5)) == [second]
    assert index.vectors(ann, [second])[0] == [second]


def test_a_rebuild_can_be_asked_for_by_a_process_that_does_not_write(
    house: "House", record: "Record", bag: "Bag", ann: Owner
) -> None:
    names = record.add(ann, "tea", "coffee")
    other = Process(house)
    other.holds()
    writer = house.writer(record, bag)
    assert writer.wait_until_caught_up(30)
    before = house.active("keywords"), house.active("vectors")
    writer.rebuild()
    assert writer.wait_until_caught_up(30)
    assert not {*before} & {house.active("keywords"), house.active("vectors")}
    assert sorted(house.index(bag, record.store).vectors(ann)[0]) == sorted(names)


@pytest.mark.slow
@pytest.mark.reliability
def test_killing_the_writer_again_and_again_loses_and_doubles_nothing(
    house: "House", record: "Record", bag: "Bag", ann: Owner, tried: Callable[[str, int], None]
) -> None:
    tried("index writer killed while it folds", 5)
    recorded: list[str] = []
    done = threading.Event()

    def talk() -> None:
        number = 0
        while not done.is_set():
            recorded.extend(record.add(ann, f"tea {number} " + "word " * (number % 50), ids=[f"m{number}"]))
            if number % 7 == 3:
                record.edit(ann, f"m{number - 1}", f"coffee {number}")
            if number % 11 == 5:
                record.erase(ann, f"m{number - 2}")
                recorded.remove(f"m{number - 2}")
            number += 1
            time.sleep(0.02)

    talking = threading.Thread(target=talk)
    talking.start()
    try:
        for kill in range(5):
            process = Process(house)
            process.holds()
            time.sleep(0.05 + 0.17 * kill)
            process.kill()
    finally:
        done.set()
        talking.join()
    writer = house.running(record, bag)
    assert writer.wait_until_caught_up(60)
    writer.stop(10)
    keywords, vectors = contents(house, record, bag, ann)
    with record.store.read(ann) as records:
        present = {m.message_id: m for m in records.all_messages(ALL, None, 100_000)}
    assert set(present) == set(recorded)
    expected = Counter({name: len(house.words.passages(message)) for name, message in present.items()})
    assert keywords == expected
    assert vectors == expected


@pytest.fixture
def slow_lancedb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Helpers started in this test find a LanceDB whose work takes a minute."""
    stub = tmp_path / "stub"
    stub.mkdir()
    (stub / "lancedb.py").write_text("import time\ndef connect(uri):\n    time.sleep(60)\n")
    monkeypatch.setenv("PYTHONPATH", str(stub))


@pytest.mark.usefixtures("slow_lancedb")
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc to look for processes")
def test_a_helper_ends_with_its_parent(tmp_path: Path) -> None:
    script = (
        "import subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-P', '-m', 'storage.lance.maintenance', sys.argv[1], 't', '60'],\n"
        "                         stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    stat = Path(f"/proc/{int(parent.stdout.readline())}/stat")

    def running() -> bool:
        try:
            return stat.read_text().rpartition(")")[2].split()[0] != "Z"
        except OSError:
            return False

    time.sleep(2)
    assert running()
    parent.kill()
    parent.communicate()
    deadline = time.monotonic() + 10
    while running():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def run_helper(*arguments: str, stdin: int = subprocess.PIPE) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-P", "-m", "storage.lance.maintenance", *arguments]
    process = subprocess.Popen(command, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    # `communicate` would close its standard input, and it would end at once.
    assert process.stdout is not None
    assert process.stderr is not None
    out, err = process.stdout.read(), process.stderr.read()
    code = process.wait()
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()
    return subprocess.CompletedProcess(command, code, out, err)


@pytest.mark.usefixtures("slow_lancedb")
def test_a_helper_whose_input_is_closed_does_nothing(tmp_path: Path) -> None:
    done = run_helper(str(tmp_path), "t", "60", stdin=subprocess.DEVNULL)
    assert (done.returncode, done.stdout) == (4, b"")


@pytest.mark.usefixtures("slow_lancedb")
def test_a_helper_ends_when_its_time_is_up(tmp_path: Path) -> None:
    done = run_helper(str(tmp_path), "t", "0.5")
    assert (done.returncode, done.stdout) == (3, b"")


def test_a_helper_that_fails_says_so_on_standard_error_alone(tmp_path: Path) -> None:
    done = run_helper(str(tmp_path), "nothing-here", "60")
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"nothing-here" in done.stderr
    assert b"Traceback" not in done.stderr


def test_a_helper_gathers_fragments_and_is_nice(house: "House", record: "Record", bag: "Bag", ann: Owner) -> None:
    import lancedb

    writer = house.running(record, None)
    for number in range(12):
        record.add(ann, f"tea {number}")
        assert writer.wait_until_caught_up(20)
    writer.stop(10)
    (path,) = house.index_path.glob("keywords-*.lance")
    table = lancedb.connect(house.index_path).open_table(path.stem)
    assert fragments(house) == 12
    done = run_helper(str(house.index_path), path.stem, "60")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    table = lancedb.connect(house.index_path).open_table(path.stem)
    assert fragments(house) == 1
    statistics = table.index_stats("terms_idx")
    assert statistics is not None
    assert statistics.num_unindexed_rows == 0
    found = house.index(None, record.store).keyword_candidates(ann, ALL, ["tea"], 50)
    assert len(found) == 12


@pytest.mark.usefixtures("slow_lancedb")
def test_stopping_the_writer_ends_its_helper_at_once(house: "House", record: "Record", ann: Owner) -> None:
    writer = house.writer(record, None)
    writer._upkeep = upkeep = Upkeep(str(house.index_path), writes=3)
    writer.start()
    while upkeep._child is None:
        record.add(ann, "tea")
        assert writer.wait_until_caught_up(20)
    helper = upkeep._child.process
    if hasattr(os, "getpriority"):
        mine = os.getpriority(os.PRIO_PROCESS, 0)
        deadline = time.monotonic() + 30
        while os.getpriority(os.PRIO_PROCESS, helper.pid) != min(19, mine + 10):
            assert time.monotonic() < deadline
            time.sleep(0.02)
    assert helper.poll() is None
    writer.stop(10)
    assert helper.poll() is not None


@pytest.mark.usefixtures("slow_lancedb")
def test_what_would_spoil_an_optimization_waits_for_its_end(house: "House", record: "Record", ann: Owner) -> None:
    (name,) = record.add(ann, "tea")
    writer = house.writer(record, None)
    writer._upkeep = upkeep = Upkeep(str(house.index_path), writes=3)
    writer.start()
    while upkeep._child is None:
        record.add(ann, "tea")
        assert writer.wait_until_caught_up(20)
    (late,) = record.add(ann, "late tea")
    assert writer.wait_until_caught_up(20)
    record.edit(ann, name, "coffee")
    assert not writer.wait_until_caught_up(0.5)
    index = house.index(None, record.store)
    assert ids(index.keyword_candidates(ann, ALL, ["late"], 5)) == [late]
    assert index.keyword_candidates(ann, ALL, ["coffee"], 5) == []
    upkeep._child.process.kill()
    assert writer.wait_until_caught_up(20)
    assert ids(index.keyword_candidates(ann, ALL, ["coffee"], 5)) == [name]


def test_the_writer_has_its_tables_optimized(house: "House", record: "Record", bag: "Bag", ann: Owner) -> None:
    writer = house.writer(record, None)
    writer._upkeep = Upkeep(str(house.index_path), writes=5)
    writer.start()
    written = 0
    deadline = time.monotonic() + 60
    while written < 6 or fragments(house) >= written:
        assert time.monotonic() < deadline
        record.add(ann, f"tea {written}")
        assert writer.wait_until_caught_up(20)
        written += 1
        time.sleep(0.1)
    assert len(house.index(None, record.store).keyword_candidates(ann, ALL, ["tea"], written + 9)) == written


def fragments(house: "House") -> int:
    import lancedb

    path = house.active("keywords")
    # What is said to be an object is a dict.
    found: Any = lancedb.connect(house.index_path).open_table(path.stem).stats()
    return int(found["fragment_stats"]["num_fragments"])


FULL_DISK = """
import resource, sys, time, importlib.util
spec = importlib.util.spec_from_file_location("lance_fixtures", sys.argv[1])
fixtures = importlib.util.module_from_spec(spec)
sys.modules["lance_fixtures"] = fixtures
spec.loader.exec_module(fixtures)
from contextlib import ExitStack
from pathlib import Path
from memory.model import MessageFilter, Owner

with ExitStack() as stack:
    house = fixtures.House(Path(sys.argv[2]), stack)
    record, embedder, ann = house.record(), fixtures.Bag("large", 8192), Owner("t", "ann")
    record.add(ann, "before")
    writer = house.running(record, embedder)
    assert writer.wait_until_caught_up(30)
    table = house.active("vectors")
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, resource.RLIM_INFINITY))
    record.add(ann, *["during"] * 100)
    index = house.index(embedder, record.store)
    while len(index.keyword_candidates(ann, MessageFilter(), ["during"], 200)) < 100:
        time.sleep(0.02)
    assert not writer.wait_until_caught_up(3)
    assert len(index.vectors(ann)[0]) < 101
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert writer.wait_until_caught_up(30)
    assert len(index.vectors(ann)[0]) == 101
    time.sleep(0.5)
    assert house.active("vectors") == table
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on the size of files")
def test_a_full_disk_is_waited_out(house: "House") -> None:
    """The limit on file sizes stands in for the full disk: writes fail with an error of the operating system."""
    command = [sys.executable, "-c", FULL_DISK, str(Path(__file__).with_name("conftest.py")), str(house.directory)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert done.stderr.count("It will be tried again") == 1
    assert "the index cannot be written" in done.stderr
    assert "Indexing vectors goes on." in done.stderr
