"""The real process over its real pipes: start-up, purity of the wire, and its end."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, Self

import psutil
import pytest

pytestmark = pytest.mark.slow

HEAVY = (
    "lancedb",
    "sqlalchemy",
    "alembic",
    "onnxruntime",
    "rich",
    "openai",
    "dateparser",
    "fastapi",
    "numpy",
    "pyarrow",
)
HELLO = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}


class Server:
    """`python -m server serve`, or a script that ends in the same, spoken to line by line."""

    def __init__(self, data_dir: Path, script: str | None = None, *flags: str, **env: str) -> None:
        program = ["-m", "server", "serve", *flags] if script is None else ["-c", textwrap.dedent(script)]
        settings = {"BACKSTORY_DATA_DIR": str(data_dir), "BACKSTORY_EMBEDDER": "none", **env}
        self.errors = data_dir.parent / f"{data_dir.name}.stderr"
        with self.errors.open("ab") as errors:
            self.process = subprocess.Popen(
                [sys.executable, *program],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env={**os.environ, **settings},
            )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.stdin, self.stdout = self.process.stdin, self.process.stdout
        self.lines: list[str] = []
        self.sent = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        self.stdin.close()
        self.stdout.close()

    def send(self, method: str, params: Any = None, *, notify: bool = False) -> int:
        message = {"jsonrpc": "2.0", "method": method, "params": params or {}}
        if not notify:
            self.sent += 1
            message["id"] = self.sent
        self.write(json.dumps(message))
        return self.sent

    def write(self, line: str) -> None:
        self.stdin.write(line.encode() + b"\n")
        self.stdin.flush()

    def answer(self, number: int | str) -> dict[str, Any]:
        """The answer to request `number`; what comes before it is kept in `lines`."""
        while line := self.stdout.readline().decode():
            self.lines.append(line)
            message: dict[str, Any] = json.loads(line)
            if message.get("id") == number:
                return message
        raise AssertionError(f"no answer; stderr: {self.errors.read_text()}")

    def ask(self, method: str, params: Any = None) -> dict[str, Any]:
        return self.answer(self.send(method, params))

    def initialize(self) -> Any:
        found = self.ask("initialize", HELLO)
        self.send("notifications/initialized", notify=True)
        return found["result"]

    def call(self, tool: str, **arguments: Any) -> Any:
        return self.ask("tools/call", {"name": tool, "arguments": arguments})["result"]

    def end(self, seconds: float = 10.0) -> tuple[int, float]:
        """Closes stdin; returns the exit code and how long the end took."""
        began = time.monotonic()
        self.stdin.close()
        self.lines += self.stdout.read().decode().splitlines(keepends=True)
        return self.process.wait(seconds), time.monotonic() - began


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def gone(pid: int, seconds: float = 5.0) -> bool:
    until = time.monotonic() + seconds
    while alive(pid) and time.monotonic() < until:
        time.sleep(0.02)
    return not alive(pid)


def test_what_was_recorded_is_there_after_a_restart(tmp_path: Path) -> None:
    with Server(tmp_path / "data") as server:
        info = server.initialize()
        assert info["serverInfo"]["name"] == "backstory"
        assert "record_messages" in info["instructions"]
        done = server.call(
            "record_messages", messages=[{"role": "user", "content": "My cat is called Miso.", "id": "1"}]
        )
        session_id = done["structuredContent"]["session_id"]
        code, _ = server.end()
        assert code == 0
    with Server(tmp_path / "data") as server:
        server.initialize()
        found = server.call("search_conversation_history", query="What is my cat called?")["structuredContent"]
        assert found["hits"][0]["content"] == "My cat is called Miso."
        assert found["hits"][0]["session_id"] == session_id


def test_everything_heavy_is_imported_after_the_first_answer(tmp_path: Path) -> None:
    script = f"""
        import sys
        from pathlib import Path
        from server.app import build_memory, build_server
        from server.settings import Settings
        import server.stdio
        import mcp.server.stdio
        build_server(build_memory(Settings.load(environ={{"BACKSTORY_DATA_DIR": {str(tmp_path)!r}}})))
        print(*[name for name in {HEAVY!r} if sys.modules.get(name)])
    """
    shown = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, check=True, timeout=60
    )
    assert shown.stdout.split() == []


def test_the_tool_set_is_chosen_at_start(tmp_path: Path) -> None:
    for flags, env, count in (((), {}, 10), (("--tools", "recall"), {}, 4), ((), {"BACKSTORY_TOOLS": "recall"}, 4)):
        with Server(tmp_path / "data", None, *flags, **env) as server:
            server.initialize()
            assert len(server.ask("tools/list")["result"]["tools"]) == count


def test_nothing_but_the_protocol_reaches_stdout(tmp_path: Path) -> None:
    noisy = """
        import ctypes, os, subprocess, sys, threading
        import server.parts as parts

        real = parts.open_parts
        libc = ctypes.CDLL(None)

        def shout(where):
            print("stray python", where, flush=True)
            sys.__stdout__.write("stray original\\n"); sys.__stdout__.flush()
            os.write(1, b"stray descriptor\\n")
            libc.puts(b"stray libc"); libc.fflush(None)
            subprocess.run([sys.executable, "-c", "print('stray child')"], check=True)

        def opened(*given, **named):
            shout("warm-up")
            thread = threading.Thread(target=shout, args=("thread",)); thread.start(); thread.join()
            found = real(*given, **named)
            search = found.recall.search
            def loud(*a, **k):
                shout("call")
                return search(*a, **k)
            object.__setattr__(found, "recall", type("Loud", (), {"search": staticmethod(loud)})())
            return found

        parts.open_parts = opened
        from server.cli import main
        main(["serve"])
    """
    with Server(tmp_path / "data", noisy) as server:
        server.initialize()
        server.call("record_messages", messages=[{"role": "user", "content": "tea"}])
        server.call("search_conversation_history", query="tea")
        server.end()
        for line in server.lines:
            assert json.loads(line)["jsonrpc"] == "2.0"
        told = server.errors.read_text()
        for word in ("python warm-up", "python thread", "python call", "original", "descriptor", "libc", "child"):
            assert f"stray {word}" in told


def test_a_closed_stdin_ends_the_process_and_its_helpers(tmp_path: Path) -> None:
    helped = """
        import subprocess, sys
        from pathlib import Path
        import server.parts as parts

        real = parts.open_parts

        def opened(settings, clock):
            found = real(settings, clock)
            helper = subprocess.Popen(
                [sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE
            )
            (settings.data_dir / "helper").write_text(str(helper.pid))
            return found

        parts.open_parts = opened
        from server.cli import main
        main(["serve"])
    """
    with Server(tmp_path / "data", helped) as server:
        server.initialize()
        server.call("list_sessions")
        helper = int((tmp_path / "data" / "helper").read_text())
        assert alive(helper)
        code, took = server.end()
        assert code == 0
        assert took < 5, "it promises 2 s on a machine that has nothing else to do"
        assert gone(helper)


@pytest.mark.parametrize("moment", ["at once", "while opening", "during a call"])
def test_it_ends_whatever_it_is_doing(tmp_path: Path, moment: str) -> None:
    slow = """
        import time
        import server.parts as parts

        real = parts.open_parts

        def opened(*given):
            found = real(*given)
            object.__setattr__(found, "recall", type("Slow", (), {"search": staticmethod(lambda *_: time.sleep(60))})())
            return found

        parts.open_parts = opened
        from server.cli import main
        main(["serve"])
    """
    with Server(tmp_path / "data", slow) as server:
        if moment != "at once":
            server.initialize()
        if moment == "during a call":
            server.call("list_sessions")
            server.send("tools/call", {"name": "search_conversation_history", "arguments": {"query": "x"}})
            server.ask("ping")
        code, took = server.end()
        assert code == 0
        assert took < 8


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_a_signal_ends_it_with_everything_recorded(tmp_path: Path, name: str) -> None:
    with Server(tmp_path / "data") as server:
        server.initialize()
        server.call("record_messages", messages=[{"role": "user", "content": "before the signal"}])
        server.process.send_signal(getattr(signal, name))
        assert server.process.wait(10) in (0, 130)
    assert "Traceback" not in server.errors.read_text()
    with closing(sqlite3.connect(tmp_path / "data" / "backstory.db")) as db:
        assert db.execute("SELECT content FROM messages").fetchall() == [("before the signal",)]


def test_a_request_is_answered_though_stdin_closes_behind_it(tmp_path: Path) -> None:
    with Server(tmp_path / "data") as server:
        server.initialize()
        server.call("list_sessions")
        number = server.send("tools/call", {"name": "list_sessions", "arguments": {}})
        server.stdin.close()
        assert "result" in server.answer(number)


def test_a_reader_that_goes_away_ends_it_quietly(tmp_path: Path) -> None:
    with Server(tmp_path / "data") as server:
        server.initialize()
        server.stdout.close()
        server.send("ping")
        server.process.wait(10)
        assert "Traceback" not in server.errors.read_text()


def test_ten_megabytes_go_through_the_pipe_and_back(tmp_path: Path) -> None:
    text = ("ünïcödé " * 1_000_000)[:6_950_000]
    assert 10_000_000 < len(text.encode()) <= 10 * 1024 * 1024
    with Server(tmp_path / "data") as server:
        server.initialize()
        done = server.call("record_messages", messages=[{"role": "user", "content": text}])
        session_id = done["structuredContent"]["session_id"]
        address = f"memory://sessions/{session_id}/messages"
        for asked, offset in ((address, 0), (f"{address}?from=1&offset=6949000", 6_949_000)):
            read = server.ask("resources/read", {"uri": asked})["result"]
            part = json.loads(read["contents"][0]["text"])["messages"][0]["content"]
            assert len(part) >= 1000
            assert part == text[offset : offset + len(part)]


def test_lines_that_are_no_messages_harm_nothing(tmp_path: Path) -> None:
    with Server(tmp_path / "data") as server:
        server.initialize()
        for line in ("", "hello", "{", '{"jsonrpc": "2.0"}', "[]", "\x00", "[" * 10_000, '{"jsonrpc":"2.0","id":{}}'):
            server.write(line)
        server.stdin.write(b"\xff\xfe\n")
        assert server.ask("ping")["result"] == {}
        call = {"name": "record_messages", "arguments": {"messages": [{"role": "user", "content": "?"}]}}
        number = server.sent + 1
        server.sent = number
        text = json.dumps({"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": call})
        server.write(text.replace('"?"', '"?", "metadata": {"x": NaN, "y": Infinity}'))
        refused = server.answer(number)["result"]
        assert refused["isError"]
        assert "finite" in refused["content"][0]["text"]
        assert "Traceback" not in server.errors.read_text()


def test_half_a_character_is_refused_or_kept_out(tmp_path: Path) -> None:
    with Server(tmp_path / "data") as server:
        server.initialize()
        number = server.send("ping")
        server.answer(number)
        for half, is_whole in (("\\ud83d", False), ("\\ude00", False), ("\\ud83d\\ude00", True), ("\\\\ud83d", True)):
            number += 1
            server.sent = number
            server.write(
                f'{{"jsonrpc":"2.0","id":{number},"method":"tools/call","params":{{"name":"record_messages",'
                f'"arguments":{{"messages":[{{"role":"user","content":"half {half} a pair"}}]}}}}}}'
            )
            answer = server.answer(number)
            if is_whole:
                assert not answer["result"]["isError"]
            else:
                assert "half of a surrogate pair" in answer["error"]["message"]
        assert server.call("list_sessions")["structuredContent"]["sessions"][0]["message_count"] == 2


def test_a_request_that_is_none_is_answered(tmp_path: Path) -> None:
    with Server(tmp_path / "data") as server:
        server.initialize()
        server.write('{"jsonrpc": "2.0", "id": 50, "method": "ping", "params": [1]}')
        assert "`params` must be an object" in server.answer(50)["error"]["message"]
        server.write('{"jsonrpc": "1.0", "id": "x", "method": "ping"}')
        assert "JSON-RPC 2.0" in server.answer("x")["error"]["message"]


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_a_byte_order_mark_is_no_part_of_a_line(tmp_path: Path, end: bytes) -> None:
    with Server(tmp_path / "data") as server:
        hello = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": HELLO}).encode()
        server.stdin.write(b"\xef\xbb\xbf" + hello + end)
        server.stdin.write(b"\xef\xbb\xbf" + b'{"jsonrpc":"2.0","method":"notifications/initialized"}' + end)
        server.stdin.write(b'{"jsonrpc":"2.0","id":2,"method":"tools/list"}' + end)
        server.stdin.flush()
        assert server.answer(1)["result"]["serverInfo"]["name"] == "backstory"
        assert server.answer(2)["result"]["tools"]
        assert server.end()[0] == 0
        assert server.errors.read_text() == ""


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_utf_16_is_refused_in_one_line(tmp_path: Path, encoding: str) -> None:
    with Server(tmp_path / "data") as server:
        hello = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": HELLO})
        server.stdin.write((hello + "\r\n").encode(encoding))
        server.stdin.flush()
        assert server.stdout.read() == b""
        assert server.process.wait(10) == 0
        told = server.errors.read_text().splitlines()
    assert len(told) == 1
    assert "Standard input is UTF-16; send UTF-8" in told[0]


@pytest.mark.parametrize("levels", [250, 5_000, 100_000])
def test_a_request_nested_too_deeply_is_told_so(tmp_path: Path, levels: int) -> None:
    with Server(tmp_path / "data") as server:
        server.initialize()
        values = '{"a":' * levels + "1" + "}" * levels
        params = '{"name":"upsert_user_context","arguments":{"values":' + values + "}}"
        server.write('{"jsonrpc":"2.0","id":"deep","method":"tools/call","params":' + params + "}")
        error = server.answer("deep")["error"]
        assert error["message"] == "The JSON is nested too deeply; at most 200 levels of lists and objects are allowed."
        assert server.call("get_user_context")["structuredContent"]["entries"] == []


def test_a_bad_setting_is_one_sentence_and_no_protocol(tmp_path: Path) -> None:
    with Server(tmp_path / "data", BACKSTORY_LOG_LEVEL="LOUD") as server:
        assert server.process.wait(20) == 2
        assert server.stdout.read() == b""
    told = server.errors.read_text().strip()
    assert told == "Error: BACKSTORY_LOG_LEVEL is 'LOUD'; allowed are DEBUG, INFO, WARNING, ERROR, CRITICAL."


def test_a_store_that_does_not_open_is_said_on_each_call_and_once_on_stderr(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "backstory.db").write_bytes(b"this is no database " * 1000)
    with Server(tmp_path / "data") as server:
        server.initialize()
        assert len(server.ask("tools/list")["result"]["tools"]) == 10
        first = server.call("list_sessions")
        second = server.call("search_conversation_history", query="x")
        assert first["isError"]
        sentence = first["content"][0]["text"]
        assert second["content"][0]["text"] == sentence
        assert "backstory.db" in sentence
        assert "\n" not in sentence
        told = server.errors.read_text()
        assert told.count(sentence) == 1
        assert "Traceback" not in told


def test_two_servers_share_one_data_directory(tmp_path: Path) -> None:
    with Server(tmp_path / "data") as one, Server(tmp_path / "data") as two:
        one.initialize()
        two.initialize()
        for n in range(5):
            one.call("record_messages", messages=[{"role": "user", "content": f"first {n}"}], external_id="one")
            two.call("record_messages", messages=[{"role": "user", "content": f"second {n}"}], external_id="two")
        for server in (one, two):
            found = server.call("list_sessions")["structuredContent"]["sessions"]
            assert sorted(s["message_count"] for s in found) == [5, 5]
            hits = server.call("search_conversation_history", query="second", limit=3)["structuredContent"]["hits"]
            assert len(hits) == 3 and all("second" in hit["content"] for hit in hits)


def flood(server: Server, stop: threading.Event) -> None:
    """Calls without reading an answer, until the pipe takes no more."""
    os.set_blocking(server.stdin.fileno(), False)
    number = 1000
    pending = b""
    while not stop.is_set():
        if not pending:
            number += 1
            call = {"name": "get_context_around_topic", "arguments": {"topic": "garden", "max_tokens": 8000}}
            pending = (
                json.dumps({"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": call}).encode() + b"\n"
            )
        try:
            pending = pending[os.write(server.stdin.fileno(), pending) :]
        except BlockingIOError:
            time.sleep(0.01)
        except OSError:
            return


def test_a_host_that_does_not_read_costs_little_and_its_end_is_noticed(tmp_path: Path) -> None:
    with Server(tmp_path / "data") as server:
        server.initialize()
        lines = [{"role": "user", "content": f"The garden, part {n}: " + "roses and beans " * 40} for n in range(200)]
        server.call("record_messages", messages=lines)
        for _ in range(5):
            server.call("get_context_around_topic", topic="garden", max_tokens=8000)
        process = psutil.Process(server.process.pid)
        before, stop = process.memory_info().rss, threading.Event()
        writer = threading.Thread(target=flood, args=(server, stop))
        writer.start()
        worst, until = 0, time.monotonic() + 12
        while time.monotonic() < until:
            worst = max(worst, process.memory_info().rss)
            time.sleep(0.2)
        stop.set()
        writer.join()
        assert worst - before < 160 * 1024 * 1024, (worst - before) // 1024**2
        server.stdin.close()
        assert server.process.wait(10) == 0


def test_a_host_that_reads_late_gets_every_answer(tmp_path: Path) -> None:
    with Server(tmp_path / "data") as server:
        server.initialize()
        server.call("record_messages", messages=[{"role": "user", "content": "roses and beans " * 400}])
        numbers = []
        for _ in range(300):
            numbers.append(server.send("tools/call", {"name": "list_sessions", "arguments": {}}))
        time.sleep(2)
        for number in sorted(numbers):
            if not any(json.loads(line).get("id") == number for line in server.lines):
                server.answer(number)


def test_the_log_says_nothing_that_a_host_chose(tmp_path: Path) -> None:
    mark = "Markiert7"
    with Server(tmp_path / "data", BACKSTORY_LOG_LEVEL="DEBUG") as server:
        server.ask("initialize", {**HELLO, "clientInfo": {"name": mark, "version": mark, "title": mark}})
        server.send("notifications/initialized", notify=True)
        for line in (mark, f'{{"{mark}": 1}}', f'"{mark}"', f'{{"jsonrpc":"2.0","method":"{mark}","params":"{mark}"}}'):
            server.write(line)
        server.send(f"notifications/{mark}", {mark: mark}, notify=True)
        server.send("notifications/cancelled", {"requestId": mark, "reason": mark}, notify=True)
        message = {"role": "user", "content": mark, "id": mark, "speaker": mark, "metadata": {mark: mark}}
        server.call("record_messages", messages=[message], external_id=mark, project_id=mark, agent=mark)
        server.call("record_messages", messages=[{"role": mark, "content": mark}], session_id=mark)
        for tool in (mark, "search_conversation_history", "summarize_session", "get_session_context"):
            server.call(tool, query=mark, session_id=mark)
            server.call(tool, **{mark: mark})
        server.ask(mark, {mark: mark})
        server.ask("resources/read", {"uri": f"memory://sessions/{mark}"})
        server.ask("resources/read", {"uri": f"{mark}://{mark}"})
        server.ask("prompts/get", {"name": mark, "arguments": {mark: mark}})
        server.ask("logging/setLevel", {"level": mark})
        server.end()
    assert mark not in server.errors.read_text()


def test_a_session_of_twenty_thousand_messages_costs_a_call_little(tmp_path: Path) -> None:
    """Bounds several times what it takes, in the server's own processor time: what runs behind counts as well."""
    with Server(tmp_path / "data", None, "--tools", "full") as server:
        server.initialize()
        said = "In round {0} we talk about the price of {1} tiles and my cousin in Braga; I will send {0} tomorrow."
        for start in range(0, 20_000, 1000):
            messages = [
                {"role": ("user", "assistant")[n % 2], "content": said.format(n, n % 97)}
                for n in range(start, start + 1000)
            ]
            done = server.call("record_messages", external_id="long", messages=messages)["structuredContent"]
        session_id = done["session_id"]
        process = psutil.Process(server.process.pid)

        def cost(work: Callable[[], Any]) -> tuple[Any, float]:
            spent = sum(process.cpu_times()[:2])
            answer = work()
            return answer, sum(process.cpu_times()[:2]) - spent

        made, seconds = cost(lambda: server.call("summarize_session", session_id=session_id)["structuredContent"])
        assert seconds < 6
        if made["covers_to_seq"] < 20_000:
            assert "of 20,000; the rest is being folded in the background" in made["note"]
        for mode in ("none", "trim", "compact", "summarize"):
            for query in ({}, {"query": "tiles in Braga"}):
                asked = {"session_id": session_id, "strategy": {"mode": mode}, **query}
                answer, seconds = cost(partial(server.call, "get_session_context", **asked))
                given = answer["structuredContent"]
                assert given["messages"]
                assert seconds < 4, (mode, query)
        uri = f"memory://sessions/{session_id}/messages"
        part, seconds = cost(lambda: server.ask("resources/read", {"uri": uri})["result"]["contents"][0]["text"])
        assert len(part.encode()) <= 256 * 1024
        assert json.loads(part)["next"].startswith(f"{uri}?from=")
        assert seconds < 3
        until = time.monotonic() + 120
        while made["covers_to_seq"] < 20_000 and time.monotonic() < until:
            time.sleep(1)
            made = server.call("summarize_session", session_id=session_id)["structuredContent"]
        assert made["covers_to_seq"] == 20_000
        assert made.get("note") is None
