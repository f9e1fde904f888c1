"""Folding: whatever happens to the record, and wherever the fold is interrupted, the table holds what is there now."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from memory.errors import StorageFailed, Unavailable
from memory.model import START, Change, ChangeKind, Message, Owner, Passage, Position
from memory.ports import Analyzer, RecordStore, Replica, Vector
from storage.lance.catalog import Build, CatalogFiles
from storage.lance.connection import Connection
from storage.lance.folding import Damaged, Fold, Recipe, Stopped, reduced
from storage.lance.tables import create_table

if TYPE_CHECKING:
    from tests.lance.conftest import Bag, House, Record, Words

ANN, BOB = Owner("t", "ann"), Owner("t", "bob")
NOW = datetime(2024, 1, 1, tzinfo=UTC)


def changes(*told: tuple[ChangeKind, str]) -> list[Change]:
    return [Change(Position(0, n + 1), kind, ANN, "s", name, NOW) for n, (kind, name) in enumerate(told)]


def test_a_stretch_of_the_feed_comes_to_its_net_effect() -> None:
    names = ("new", "edited", "again", "soon")
    present = {(ANN, name): Message(name, "s", 1, "user", "", NOW, NOW) for name in names}
    batch = reduced(
        changes(
            ("message_added", "new"),
            ("message_added", "edited"),
            ("message_edited", "edited"),
            ("message_edited", "edited"),
            ("message_added", "gone"),
            ("message_erased", "gone"),
            ("message_erased", "again"),
            ("message_added", "again"),
            ("message_erased", "soon"),
            ("message_edited", "lost"),
            ("message_added", "lost too"),
        ),
        present,
    )
    assert {name for _, name in batch.removed} == {"edited", "gone", "again", "soon", "lost"}
    assert [(message, at.change_id) for _, message, at in batch.added] == [
        (present[ANN, "new"], 1),
        (present[ANN, "edited"], 4),
        (present[ANN, "again"], 8),
    ]


class Shaky:
    """The store as the fold sees it; its cursor fails to move when told so."""

    def __init__(self, store: RecordStore) -> None:
        self.store = store
        self.failing = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)

    def set_cursor(self, replica: str, position: Position) -> None:
        if self.failing:
            raise StorageFailed("The disk is full.")
        self.store.set_cursor(replica, position)


class Folds:
    """Folds of one build over one store, reopened at will."""

    def __init__(self, house: "House", record: "Record", recipe: Recipe, dimension: int | None = None) -> None:
        self.record = record
        self.store = Shaky(record.store)
        self.connection = Connection(str(house.index_path))
        house.stack.callback(self.connection.close)
        self.files = CatalogFiles(house.index_path)
        self.files.home.mkdir(exist_ok=True)
        replica: Replica = "vectors" if recipe.embedder else "keywords"
        name = recipe.embedder.name if recipe.embedder else None
        self.build = Build(replica, f"{replica}-{uuid4().hex}", "1", name, dimension)
        self.recipe = recipe
        self.cursor_name = f"test/{self.build.table}"
        create_table(self.connection, self.build)
        self.fold = self.reopened()

    def reopened(self) -> Fold:
        self.fold = Fold(self.store, self.connection, self.files, self.build, self.cursor_name, self.recipe)
        self.fold.open()
        return self.fold

    def catch_up(self, most: int = 1000) -> None:
        while self.fold.step(most):
            pass

    def rows(self) -> Counter[Any]:
        table = self.connection.open_table(self.build.table)
        last = "terms" if self.build.replica == "keywords" else "vector"
        columns = ["tenant_id", "user_id", "message_id", "part", "session_id", last]
        found = self.connection.run(table.query().select(columns).to_list())
        return Counter(
            (r["tenant_id"], r["user_id"], r["message_id"], r["part"], r["session_id"], self._shown(r[last]))
            for r in found
        )

    def expected(self, analyzer: Analyzer, *owners: Owner) -> Counter[Any]:
        from memory.model import MessageFilter

        rows: Counter[Any] = Counter()
        for owner in owners:
            with self.record.store.read(owner) as records:
                for message in records.all_messages(MessageFilter(), None, 100_000):
                    for passage in analyzer.passages(message)[: self.recipe.parts]:
                        shown: str | tuple[float, ...] = passage.terms
                        if self.recipe.embedder is not None:
                            shown = self._shown(self.recipe.embedder.embed_passages([passage.text])[0])
                        rows[*vars_of(owner), message.message_id, passage.part, message.session_id, shown] += 1
        return rows

    @staticmethod
    def _shown(value: Any) -> str | tuple[float, ...]:
        return value if isinstance(value, str) else tuple(round(float(x), 4) for x in value)


def vars_of(owner: Owner) -> tuple[str, str]:
    return owner.tenant_id, owner.user_id


@pytest.fixture
def folds(house: "House", record: "Record", words: "Words") -> Folds:
    return Folds(house, record, Recipe(words))


def test_a_cursor_that_does_not_move_doubles_nothing(folds: Folds, words: "Words") -> None:
    folds.record.add(ANN, "one", "two")
    folds.store.failing = True
    for _ in range(3):
        with pytest.raises(StorageFailed):
            folds.fold.step(10)
    assert folds.rows() == folds.expected(words, ANN)
    folds.record.add(ANN, "three")
    folds.reopened()
    with pytest.raises(StorageFailed):
        folds.fold.step(10)
    folds.store.failing = False
    folds.catch_up()
    assert folds.rows() == folds.expected(words, ANN)


def test_a_fold_that_may_only_add_stops_before_the_first_edit(folds: Folds, words: "Words") -> None:
    first, second = folds.record.add(ANN, "one", "two")
    folds.record.edit(ANN, first, "three")
    folds.record.add(ANN, "four")
    assert folds.fold.step(10, only_adding=True) == 2
    assert folds.fold.step(10, only_adding=True) == 0
    assert not folds.fold.hungry
    assert folds.fold.step(10) == 2
    folds.record.erase(ANN, second)
    assert folds.fold.step(10, only_adding=True) == 0
    assert folds.fold.step(10) == 1
    assert folds.rows() == folds.expected(words, ANN)


def test_an_interrupted_edit_is_taken_up_again(folds: Folds, words: "Words") -> None:
    (name,) = folds.record.add(ANN, "long " * 70)
    folds.catch_up()
    folds.record.edit(ANN, name, "short")
    folds.store.failing = True
    with pytest.raises(StorageFailed):
        folds.fold.step(10)
    folds.store.failing = False
    folds.reopened()
    folds.catch_up()
    assert folds.rows() == folds.expected(words, ANN)
    assert sum(folds.rows().values()) == 1


def test_a_mark_that_cannot_be_written_doubles_nothing(
    folds: Folds, words: "Words", monkeypatch: pytest.MonkeyPatch
) -> None:
    folds.record.add(ANN, "one")
    folds.catch_up()
    folds.record.add(ANN, "two")

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(folds.files, "put_mark", fail)
        with pytest.raises(OSError, match="No space"):
            folds.fold.step(10)
    folds.reopened()
    folds.catch_up()
    assert folds.rows() == folds.expected(words, ANN)


def test_another_state_of_the_record_is_noticed(folds: Folds) -> None:
    folds.record.add(ANN, "one")
    folds.catch_up()
    before = folds.fold.cursor
    folds.record.add(ANN, "two")
    folds.catch_up()
    folds.record.add(ANN, "three")
    folds.catch_up()
    folds.record.store.set_cursor(folds.cursor_name, before)
    with pytest.raises(Damaged, match="record is not the one"):
        folds.reopened()
    folds.record.store.set_cursor(folds.cursor_name, START)
    with pytest.raises(Damaged, match="record is not the one"):
        folds.reopened()


def test_lost_writes_are_noticed(folds: Folds) -> None:
    folds.record.add(ANN, "one")
    folds.catch_up()
    mark = folds.files.mark(folds.build)
    folds.files.put_mark(folds.build, replace(mark, version=mark.version + 1))
    with pytest.raises(Damaged, match="lost"):
        folds.reopened()


def test_an_embedder_that_cannot_be_reached_changes_nothing(
    house: "House", record: "Record", words: "Words", bag: "Bag"
) -> None:
    folds = Folds(house, record, Recipe(words, bag), bag.dimension)
    folds.record.add(ANN, "one")
    bag.failing = Unavailable("The endpoint is down.")
    with pytest.raises(Unavailable):
        folds.fold.step(10)
    assert folds.rows() == Counter()
    bag.failing = None
    folds.catch_up()
    assert folds.rows() == folds.expected(words, ANN)


def test_one_message_that_cannot_be_indexed_does_not_stop_the_others(
    house: "House",
    record: "Record",
    words: "Words",
    bag: "Bag",
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Picky:
        version = words.version

        def passages(self, message: Message) -> list[Passage]:
            if message.content == "analysis breaks":
                raise ValueError(message.content)
            return words.passages(message)

    def fussy(texts: Sequence[str]) -> Vector:
        if any("spoils" in text for text in texts):
            raise RuntimeError(texts)
        return embed(texts)

    embed = bag.embed_passages
    monkeypatch.setattr(bag, "embed_passages", fussy)
    folds = Folds(house, record, Recipe(Picky(), bag), bag.dimension)
    folds.record.add(ANN, "fine", "analysis breaks", "this spoils it", "fine too")
    folds.catch_up()
    assert sorted(row[2] for row in folds.rows()) == ["s-1", "s-4"]
    assert "breaks" not in caplog.text
    assert "spoils" not in caplog.text
    assert caplog.text.count("is left out") == 2


def test_the_end_comes_between_two_embeddings(house: "House", record: "Record", words: "Words", bag: "Bag") -> None:
    folds = Folds(house, record, Recipe(words, bag, None, lambda: bag.texts >= 64), bag.dimension)
    folds.record.add(ANN, *[f"text {n}" for n in range(100)])
    with pytest.raises(Stopped):
        for _ in range(10):
            folds.fold.step(1000)
    assert bag.texts <= 96


def test_a_passage_without_text_is_found_by_its_words_alone(
    house: "House", record: "Record", words: "Words", bag: "Bag"
) -> None:
    class Sparing:
        version = words.version

        def passages(self, message: Message) -> list[Passage]:
            return [replace(p, text=p.text if p.part == 0 else "") for p in words.passages(message)]

    record.add(ANN, "word " * 50)
    parts = {}
    for recipe, dimension in ((Recipe(Sparing()), None), (Recipe(Sparing(), bag), bag.dimension)):
        folds = Folds(house, record, recipe, dimension)
        folds.catch_up()
        parts[folds.build.replica] = sorted(row[3] for row in folds.rows())
    assert parts == {"keywords": [0, 1, 2], "vectors": [0]}


def test_batches_shrink_when_messages_are_large(folds: Folds) -> None:
    folds.record.add(ANN, *["x" * 500_000] * 40)
    assert folds.fold.step(1000) == 32
    assert folds.fold.step(1000) == 8
    folds.record.add(ANN, *["small"] * 200)
    steps = []
    while folded := folds.fold.step(1000):
        steps.append(folded)
    assert steps[0] <= 16
    assert max(steps) > 32


WORDS = st.lists(st.sampled_from(["red", "green", "blue", "tea", "cat"]), max_size=45).map(" ".join)
NAMES = st.sampled_from(["a", "b", "c", "it's"])
OWNERS = st.sampled_from([ANN, BOB])
OPERATIONS = st.one_of(
    st.tuples(st.just("add"), OWNERS, NAMES, WORDS),
    st.tuples(st.just("edit"), OWNERS, NAMES, WORDS),
    st.tuples(st.just("erase"), OWNERS, NAMES),
    st.tuples(st.just("step"), st.integers(1, 4)),
    st.tuples(st.just("crash"), st.integers(1, 4)),
    st.tuples(st.just("restart")),
)


@settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(OPERATIONS, max_size=25), st.booleans())
def test_any_history_with_any_interruptions_ends_in_what_is_there_now(
    house: "House", record: "Record", words: "Words", bag: "Bag", history: list[Any], vectors: bool
) -> None:
    """Names are used again after erasure. Every history has owners and a table of its own in one record."""
    suffix = uuid4().hex
    owners = {owner: Owner(owner.tenant_id, owner.user_id + suffix) for owner in (ANN, BOB)}
    recipe = Recipe(words, bag, 2) if vectors else Recipe(words)
    folds = Folds(house, record, recipe, bag.dimension if vectors else None)
    folds.catch_up()
    known: set[tuple[Owner, str]] = set()
    for operation, *arguments in history:
        if operation == "step":
            folds.fold.step(*arguments)
        elif operation == "crash":
            folds.store.failing = True
            try:
                folds.fold.step(*arguments)
            except StorageFailed:
                folds.reopened()
            folds.store.failing = False
        elif operation == "restart":
            folds.reopened()
        else:
            owner, name = owners[arguments[0]], arguments[1]
            if operation == "add" and (owner, name) not in known:
                record.add(owner, arguments[2], ids=[name])
                known.add((owner, name))
            elif operation == "edit" and (owner, name) in known:
                record.edit(owner, name, arguments[2])
            elif operation == "erase":
                record.erase(owner, name)
                known.discard((owner, name))
    folds.catch_up()
    mine = Counter({row: count for row, count in folds.rows().items() if row[1].endswith(suffix)})
    assert mine == folds.expected(words, *owners.values())
    folds.connection.close()
