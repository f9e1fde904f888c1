"""One user's texts, however long and whatever they hold, keep neither that user nor another one waiting."""

import hashlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

pytestmark = pytest.mark.slow

CALL_SECONDS = 5.0
"""A call takes well under one on an idle machine; a text that freezes a server takes minutes."""
WAIT_SECONDS = 2.0


def _hex(seed: str, size: int) -> str:
    return "".join(hashlib.sha256(f"{seed} {number}".encode()).hexdigest() for number in range(size // 64 + 1))[:size]


TEXTS = {
    "no space": ["pelican " + "a" * 1_000_000],
    "underscores": ["pelican " + "a_" * 500_000],
    "hexadecimal": [f"pelican {_hex(str(number), 60_000)}" for number in range(16)],
    "bracket and spaces": ["pelican [" + " " * 100_000],
    "angle and line breaks": ["pelican <" + "\n" * 100_000],
    "marks out of order": ["pelican " + "\u0301\u0323" * 250_000],
}


@pytest.mark.reliability
@pytest.mark.parametrize("kind", TEXTS)
def test_long_texts_keep_nobody_waiting(hosted: Any, kind: str, tried: Callable[[str, int], None]) -> None:
    tried("long text through every tool of a hosted server while another user calls", 1)
    texts, name = TEXTS[kind], kind.replace(" ", "-")
    mallory, ben = hosted.token("t1", f"mallory-{name}"), hosted.token("t1", "ben")

    _call(hosted, mallory, "record_messages", {"messages": [{"role": "user", "content": "Good morning."}]})
    _call(hosted, mallory, "search_conversation_history", {"query": "morning"})  # all is loaded that is loaded late

    def call(tool: str, **arguments: Any) -> dict[str, Any]:
        began = time.monotonic()
        answer = _call(hosted, mallory, tool, arguments)
        took = time.monotonic() - began
        assert took < CALL_SECONDS, f"{tool} took {took:.1f} s for {kind}"
        return answer

    with _waits_of_another(hosted, ben) as waits:
        turns = [{"role": "user", "content": text, "id": f"{name}-{number}"} for number, text in enumerate(texts)]
        session = call("record_messages", messages=turns, external_id=name)["session_id"]
        found = call("search_conversation_history", query="pelican")
        assert len(found["hits"]) == min(10, len(texts))
        call("get_context_around_topic", topic="pelican")
        call("get_session_context", session_id=session, query="pelican")
        call("summarize_session", session_id=session)
        call("upsert_user_context", values={"note": texts[0][:2_500]})
        began = time.monotonic()
        with hosted.http(mallory) as http:
            assert http.get("/api/v1/user/preamble").status_code == 200
        assert time.monotonic() - began < CALL_SECONDS
    assert max(waits) < WAIT_SECONDS, f"another user waited {max(waits):.1f} s for {kind}"


def test_a_long_word_is_found_by_itself(hosted: Any) -> None:
    token, wanted = hosted.token("t1", "nora"), _hex("wanted", 128)
    turns = [{"role": "user", "content": f"The key is {_hex(str(number), 128)}."} for number in range(40)]
    turns.insert(20, {"role": "user", "content": f"The key is {wanted}."})
    _call(hosted, token, "record_messages", {"messages": turns})
    hits = _call(hosted, token, "search_conversation_history", {"query": f"what is {wanted.upper()}?"})["hits"]
    assert wanted in hits[0]["content"]


@contextmanager
def _waits_of_another(hosted: Any, token: str) -> Iterator[list[float]]:
    """How long each of another user's calls takes, in seconds, one after the other until the block ends."""
    waits: list[float] = [0.0]
    done = threading.Event()

    def ask() -> None:
        with hosted.http(token) as http:
            while not done.is_set():
                began = time.monotonic()
                assert http.get("/api/v1/sessions").status_code == 200
                waits.append(time.monotonic() - began)
                time.sleep(0.02)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        yield waits
    finally:
        done.set()
        asking.join()


def _call(hosted: Any, token: str, tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": tool, "arguments": arguments}}
    headers = {"Accept": "application/json, text/event-stream", "MCP-Protocol-Version": "2025-06-18"}
    headers["Mcp-Session-Id"] = "f" * 32
    with hosted.http(token) as http:
        text = http.post("/mcp", json=body, headers=headers).text
    result = json.loads(text[text.index("{") :])["result"]
    assert not result.get("isError"), result
    found: dict[str, Any] = result["structuredContent"]
    return found
