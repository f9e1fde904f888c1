"""Spans reach a collector over a real socket, and carry nothing that was said."""

import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

pytestmark = pytest.mark.anyio


class Collector(ThreadingHTTPServer):
    """Takes spans as a collector does."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Taking)
        self.paths: list[str] = []
        self.bodies: list[bytes] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def spans(self) -> list[Any]:
        requests = [ExportTraceServiceRequest.FromString(body) for body in self.bodies]
        return [s for r in requests for rs in r.resource_spans for ss in rs.scope_spans for s in ss.spans]

    def services(self) -> set[str]:
        requests = [ExportTraceServiceRequest.FromString(body) for body in self.bodies]
        attributes = [a for r in requests for rs in r.resource_spans for a in rs.resource.attributes]
        return {a.value.string_value for a in attributes if a.key == "service.name"}


class Taking(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = zlib.decompress(body, 31)
        self.server.paths.append(self.path)
        self.server.bodies.append(body)
        self.send_response(200)
        self.send_header("Content-Type", "application/x-protobuf")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def collector() -> Iterator[Collector]:
    server = Collector()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join(5)


async def test_spans_of_requests_reach_the_collector(hosted_factory: Any, collector: Collector) -> None:
    traced = hosted_factory(environ={"BACKSTORY_TRACES": "otlp", "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url})
    token = traced.token("acme", "ana")
    traced.start()
    async with traced.client(token) as client:
        said = [{"role": "user", "content": "My secret is a pomegranate."}]
        assert not (await client.call_tool("record_messages", {"messages": said})).is_error
        await client.call_tool("list_sessions", {"cursor": "pomegranate"})
    assert traced.stop() == 0
    assert set(collector.paths) == {"/v1/traces"}
    assert {"tools/call record_messages", "tools/call list_sessions"} <= {span.name for span in collector.spans()}
    assert collector.services() == {"backstory"}
    assert not any(b"pomegranate" in body or token.encode() in body for body in collector.bodies)


async def test_a_collector_that_is_not_there_holds_nothing_up(hosted_factory: Any) -> None:
    environ = {
        "BACKSTORY_TRACES": "otlp",
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9",
        "OTEL_SERVICE_NAME": "x",
    }
    traced = hosted_factory(environ=environ)
    token = traced.token("acme", "ana")
    traced.start()
    async with traced.client(token) as client:
        assert not (await client.call_tool("list_sessions", {})).is_error
    began = time.monotonic()
    assert traced.stop() == 0
    assert time.monotonic() - began < 10


def test_without_the_extra_nothing_is_traced_and_one_line_says_so(tmp_path: Any) -> None:
    code = """if True:
        import sys
        sys.modules['opentelemetry.sdk'] = None
        from server.http import serving
        from server.cli import main
        serving.listen = lambda host, port: sys.exit(0)
        main()
    """
    done = subprocess.run(
        [sys.executable, "-c", code, "serve", "--transport", "http", "--data-dir", str(tmp_path)],
        env={"BACKSTORY_TRACES": "otlp", "PATH": ""},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0
    (told,) = done.stderr.splitlines()
    assert "install 'backstory[otel]'" in told
    assert "Nothing is traced" in told
    assert "Traceback" not in done.stderr
