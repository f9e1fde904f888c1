"""The OpenAI-compatible embedder over a real HTTP server on this machine, failures included."""

import hashlib
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import pytest

from inference.embedders import load_embedder
from inference.embedders.openai_compatible import BATCH, OpenAICompatible
from memory.errors import Unavailable
from memory.ports import Vector

DIMENSION = 5


def raw_vector(text: str) -> list[float]:
    digest = hashlib.sha256(text.encode()).digest()
    return [float(byte) + 1.0 for byte in digest[:DIMENSION]]


def unit(text: str) -> Vector:
    row = np.array(raw_vector(text))
    return np.asarray(row / np.linalg.norm(row))


@dataclass
class Endpoint:
    """What the server does, and what it has seen."""

    url: str = ""
    bodies: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    failures: list[int] = field(default_factory=list)
    longest: int = 1_000_000
    delay: float = 0.0
    answer: dict[str, Any] | None = None
    shuffled: bool = False


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    state = Endpoint()
    release = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            state.bodies.append(body | {"path": self.path})
            state.keys.append(self.headers["Authorization"])
            if state.delay:
                release.wait(state.delay)
            status, answer = self.reply(body["input"])
            payload = json.dumps(answer).encode()
            try:
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(payload)))
                self.end_headers()
                self.wfile.write(payload)
            except (BrokenPipeError, ConnectionResetError):
                pass

        def reply(self, texts: list[str]) -> tuple[int, dict[str, Any]]:
            if state.failures:
                return state.failures.pop(0), {"error": {"message": "no"}}
            if any(len(text) > state.longest or not text for text in texts):
                return 400, {"error": {"message": "too long"}}
            if state.answer is not None:
                return 200, state.answer
            rows = [{"object": "embedding", "index": n, "embedding": raw_vector(t)} for n, t in enumerate(texts)]
            usage = {"prompt_tokens": 1, "total_tokens": 1}
            data = rows[::-1] if state.shuffled else rows
            return 200, {"object": "list", "data": data, "model": "m", "usage": usage}

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    state.url = f"http://127.0.0.1:{server.server_port}/v1"
    yield state
    release.set()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def embedder(endpoint: Endpoint) -> Iterator[OpenAICompatible]:
    made = OpenAICompatible("toy", base_url=endpoint.url, query_seconds=5, passage_seconds=5, retries=2)
    yield made
    made.close()


def test_vectors_come_normalised_in_order_and_in_batches(endpoint: Endpoint, embedder: OpenAICompatible) -> None:
    endpoint.shuffled = True
    texts = [f"text {n}" for n in range(BATCH * 2 + 3)]
    rows = embedder.embed_passages(texts)
    np.testing.assert_allclose(rows, [unit(text) for text in texts], atol=1e-6)
    assert rows.dtype == np.float32
    assert [len(body["input"]) for body in endpoint.bodies] == [BATCH, BATCH, 3]
    assert {body["path"] for body in endpoint.bodies} == {"/v1/embeddings"}
    assert {(body["model"], body["encoding_format"]) for body in endpoint.bodies} == {("toy", "float")}


def test_the_dimension_is_discovered_once_when_loading(endpoint: Endpoint) -> None:
    embedder = load_embedder("openai:toy", openai_base_url=endpoint.url, openai_api_key="k-1")
    assert isinstance(embedder, OpenAICompatible)
    assert len(endpoint.bodies) == 1
    assert (embedder.dimension, embedder.dimension) == (DIMENSION, DIMENSION)
    assert embedder.name == "openai:toy"
    assert len(endpoint.bodies) == 1
    assert endpoint.keys == ["Bearer k-1"]
    embedder.close()


def test_an_endpoint_that_does_not_answer_when_loading_is_unavailable() -> None:
    with pytest.raises(Unavailable, match=r"127\.0\.0\.1:9 cannot be used for 'toy'"):
        load_embedder("openai:toy", openai_base_url="http://127.0.0.1:9/v1")


def test_recent_queries_are_not_asked_twice(endpoint: Endpoint, embedder: OpenAICompatible) -> None:
    np.testing.assert_allclose(embedder.embed_query("tea"), unit("tea"), atol=1e-6)
    embedder.embed_query("tea")
    assert len(endpoint.bodies) == 1


def test_passages_are_retried_and_queries_are_not(endpoint: Endpoint, embedder: OpenAICompatible) -> None:
    endpoint.failures = [500, 429]
    np.testing.assert_allclose(embedder.embed_passages(["a"])[0], unit("a"), atol=1e-6)
    assert len(endpoint.bodies) == 3
    endpoint.failures = [503]
    with pytest.raises(Unavailable, match="because it answered 503"):
        embedder.embed_query("b")
    np.testing.assert_allclose(embedder.embed_query("b"), unit("b"), atol=1e-6)


def test_an_endpoint_that_stays_broken_is_one_sentence(endpoint: Endpoint, embedder: OpenAICompatible) -> None:
    endpoint.failures = [500] * 10
    with pytest.raises(Unavailable) as caught:
        embedder.embed_passages(["a"])
    assert "127.0.0.1" in str(caught.value)
    assert "\n" not in str(caught.value)
    endpoint.failures = [401]
    with pytest.raises(Unavailable, match="401"):
        embedder.embed_passages(["a"])


def test_a_slow_endpoint_is_given_up_in_time(endpoint: Endpoint) -> None:
    embedder = OpenAICompatible("toy", base_url=endpoint.url, query_seconds=0.2, passage_seconds=0.2, retries=1)
    endpoint.delay = 30
    for call in (lambda: embedder.embed_passages(["a"]), lambda: embedder.dimension):
        started = time.monotonic()
        with pytest.raises(Unavailable, match="did not answer in time"):
            call()
        assert time.monotonic() - started < 20
    seen = len(endpoint.bodies)
    with pytest.raises(Unavailable, match="just now"):
        embedder.embed_query("somebody is waiting")
    assert len(endpoint.bodies) == seen
    endpoint.delay = 0
    embedder.embed_passages(["it is back"])
    np.testing.assert_allclose(embedder.embed_query("b"), unit("b"), atol=1e-6)
    embedder.close()


def test_nobody_listening_is_unavailable() -> None:
    embedder = OpenAICompatible("toy", base_url="http://127.0.0.1:9/v1", retries=0)
    with pytest.raises(Unavailable, match="could not be reached"):
        embedder.embed_passages(["a"])
    for _ in range(2):
        with pytest.raises(Unavailable, match="could not be reached"):
            _ = embedder.dimension
    embedder.close()


def test_a_text_too_long_is_cut_and_does_not_spoil_the_others(endpoint: Endpoint, embedder: OpenAICompatible) -> None:
    endpoint.longest = 1000
    long = "x" * 3000
    rows = embedder.embed_passages(["short", long])
    np.testing.assert_allclose(rows, [unit("short"), unit("x" * 750)], atol=1e-6)
    np.testing.assert_allclose(embedder.embed_query(long), unit("x" * 750), atol=1e-6)
    endpoint.longest = 1
    with pytest.raises(Unavailable, match="it answered 400"):
        embedder.embed_passages(["still too long for it"])


def test_blank_texts_still_get_a_vector(endpoint: Endpoint, embedder: OpenAICompatible) -> None:
    rows = embedder.embed_passages(["", " \n", "word"])
    assert rows.shape == (3, DIMENSION)
    assert embedder.embed_passages([]).shape == (0, DIMENSION)


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"data": []},
        {"data": None},
        {"data": [{"index": 0, "embedding": "AAAA"}]},
        {"data": [{"index": 0, "embedding": [1.0, None]}]},
        {"data": [{"index": 0, "embedding": []}]},
        {"data": [{"index": 0, "embedding": [1.0] * DIMENSION}, {"index": 1, "embedding": [1.0] * DIMENSION}]},
    ],
)
def test_nonsense_answers_are_unavailable(
    endpoint: Endpoint, embedder: OpenAICompatible, answer: dict[str, Any]
) -> None:
    endpoint.answer = answer
    with pytest.raises(Unavailable, match="not a list of embeddings"):
        embedder.embed_passages(["a"])


def test_another_dimension_than_before_is_refused(endpoint: Endpoint, embedder: OpenAICompatible) -> None:
    assert embedder.dimension == DIMENSION
    endpoint.answer = {"data": [{"index": 0, "embedding": [1.0] * (DIMENSION + 1)}]}
    with pytest.raises(Unavailable, match="not a list of embeddings"):
        embedder.embed_passages(["a"])


def test_neither_key_nor_endpoint_is_one_sentence() -> None:
    with pytest.raises(Unavailable, match="needs OPENAI_API_KEY"):
        load_embedder("openai:text-embedding-3-small")


def test_well_known_models_need_no_probe() -> None:
    embedder = load_embedder("openai:text-embedding-3-small", openai_api_key="k")
    assert isinstance(embedder, OpenAICompatible)
    assert embedder.dimension == 1536
    embedder.close()
