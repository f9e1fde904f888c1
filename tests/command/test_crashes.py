"""A server killed at random moments, and several at once on one data directory: nothing lost, nothing twice."""

import json
import random
import threading
from collections.abc import Callable
from typing import Any

import pytest

TURNS = 2000
KILLS = 22
KILLS_IN_START_UP = 4
PATIENCE = 200


def turn(number: int) -> dict[str, Any]:
    role = ("user", "assistant", "tool")[number % 3]
    more = {"tool_name": "look", "tool_arguments": {"n": number}} if role == "tool" else {}
    return {
        "id": f"turn-{number}",
        "role": role,
        "content": f"marker{number:04d} we spoke of the tram to Porto",
        **more,
    }


class Recorder:
    """A client that records turns one after another, and starts the server again whenever it is gone."""

    def __init__(self, wire: Callable[..., Any], chance: random.Random) -> None:
        self.wire = wire
        self.chance = chance
        self.kills = 0
        self.acknowledged: dict[int, tuple[str, int]] = {}
        self.duplicates = 0
        self.session_id: str | None = None

    def run(self) -> None:
        moments = sorted(self.chance.sample(range(1, TURNS), KILLS))
        starting = 0
        while len(self.acknowledged) < TURNS:
            server = self.wire()
            if starting < KILLS_IN_START_UP and self.chance.random() < 0.3:
                starting += 1
                self.kill(server, self.chance.uniform(0, 1.5))
            try:
                server.initialize()
                self.record(server, moments)
            except Exception as error:
                if type(error).__name__ != "Gone":
                    raise
                server.process.wait(10)
        self.wire_left = server

    def record(self, server: Any, moments: list[int]) -> None:
        """Records until all is done or the server is gone; a moment that comes is the server's last."""
        while (number := len(self.acknowledged)) < TURNS:
            if moments and number >= moments[0]:
                moments.pop(0)
                self.kill(server, self.chance.uniform(0, 0.02))
            where = {"session_id": self.session_id} if self.session_id else {}
            done = server.call("record_messages", messages=[turn(number)], **where)
            self.session_id = done["session_id"]
            self.duplicates += len(done["duplicates"])
            self.acknowledged[number] = (done["recorded"][0]["message_id"], done["recorded"][0]["seq"])

    def kill(self, server: Any, after: float) -> None:
        self.kills += 1
        threading.Timer(after, server.process.kill).start()


@pytest.mark.slow
@pytest.mark.reliability
@pytest.mark.timeout(600)
def test_every_acknowledged_turn_survives_kill_9(
    backstory: Any, wire: Callable[..., Any], tried: Callable[[str, int], None]
) -> None:
    backstory.environment["BACKSTORY_EMBEDDER"] = "none"
    recorder = Recorder(wire, random.Random(20))
    recorder.run()
    assert recorder.kills >= 20
    tried("server killed (`kill -9`) while turns are recorded over stdio", recorder.kills)
    tried("turns acknowledged by servers that were killed", TURNS)
    recorder.wire_left.close()
    lines = [json.loads(line) for line in backstory("export", "--format", "jsonl").stdout.splitlines()]
    messages = [line for line in lines if line["type"] == "message"]
    assert [(m["message_id"], m["seq"]) for m in messages] == [recorder.acknowledged[n] for n in range(TURNS)]
    assert [m["seq"] for m in messages] == list(range(1, TURNS + 1))
    assert [m["content"] for m in messages] == [turn(n)["content"] for n in range(TURNS)]
    assert len([line for line in lines if line["type"] == "session"]) == 1
    backstory("doctor", "--audit")
    backstory("reindex", "--wait")
    server = wire()
    server.initialize()
    for number in random.Random(1).sample(range(TURNS), 100):
        hits = server.call("search_conversation_history", query=f"marker{number:04d}", limit=5)["hits"]
        assert f"turn-{number}" in [hit["message_id"] for hit in hits]


def test_four_processes_write_at_once(backstory: Any, wire: Callable[..., Any]) -> None:
    backstory.environment["BACKSTORY_EMBEDDER"] = "none"
    each = 60
    servers = [wire() for _ in range(4)]
    failures: list[BaseException] = []

    def work(name: int, server: Any) -> None:
        try:
            server.initialize()
            for number in range(each):
                message = {"id": f"{name}-{number}", "role": "user", "content": f"writer{name} number{number}"}
                server.call(
                    "record_messages", messages=[message], external_id="shared" if number % 2 else f"own-{name}"
                )
                server.call("upsert_user_context", values={f"key-{name}": number, "shared": [name, number]})
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=pair) for pair in enumerate(servers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert failures == []
    entries = servers[0].call("get_user_context", keys=["shared"], include_history=True)["entries"]
    assert sorted(entry["version"] for entry in entries if entry["key"] == "shared")[-1] == 4 * each
    hits = servers[3].call("search_conversation_history", query="writer0 number1", limit=20)["hits"]
    assert "writer0 number1" in [hit["content"] for hit in hits]
    lines = [json.loads(line) for line in backstory("export", "--format", "jsonl").stdout.splitlines()]
    sessions = [line for line in lines if line["type"] == "session"]
    assert sorted(session["external_id"] for session in sessions) == [*(f"own-{n}" for n in range(4)), "shared"]
    for session in sessions:
        messages = [m for m in lines if m["type"] == "message" and m["session_id"] == session["session_id"]]
        assert len(messages) == (2 * each if session["external_id"] == "shared" else each // 2)
        assert [m["seq"] for m in messages] == list(range(1, len(messages) + 1))
    backstory("doctor", "--audit")
