"""What the server refuses to start with, TLS, proxies, and a stop that loses nothing."""

import json
import signal
import socket
import ssl
import subprocess
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from starlette.requests import Request

from server.http.health import KEPT_SECONDS, Health, Probes
from server.http.metrics import Metrics
from server.http.traffic import Traffic


def ended(server: Any, *arguments: str) -> tuple[int, str]:
    """Exit code and last line of a server that is expected not to start."""
    server.arguments = arguments
    server.process = server.spawn()
    code = server.process.wait(60)
    return code, server.log_path.read_text().strip().splitlines()[-1]


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_listening_for_others_without_a_token_is_refused(hosted_factory: Any, host: str) -> None:
    code, line = ended(hosted_factory(), "--host", host)
    assert code == 1
    assert "needs authentication" in line
    assert "backstory token create" in line


def test_listening_for_others_without_authentication_is_refused(hosted_factory: Any) -> None:
    server = hosted_factory(environ={"BACKSTORY_AUTH": "none"})
    server.token("acme", "ann")
    code, line = ended(server, "--host", "0.0.0.0")
    assert code == 1
    assert "switched off" in line


def test_with_a_token_it_listens_for_others(hosted_factory: Any) -> None:
    server = hosted_factory(arguments=("--host", "0.0.0.0"))
    token = server.token("acme", "ann")
    server.start()
    with server.http(token) as http:
        assert http.get("/api/v1/sessions").status_code == 200
        assert http.get("/api/v1/sessions", headers={"Host": socket.gethostname()}).status_code == 200
        assert http.get("/api/v1/sessions", headers={"Host": "evil.example.com"}).status_code == 421
        assert http.get("/api/v1/sessions", headers={"Origin": "http://localhost:3000"}).status_code == 403


def test_on_this_machine_alone_authentication_can_be_switched_off(hosted_factory: Any) -> None:
    server = hosted_factory(environ={"BACKSTORY_AUTH": "none"}).start()
    with server.http() as http:
        assert http.get("/api/v1/sessions").status_code == 200
        assert http.get("/api/v1/sessions", params={"user": "somebody"}).status_code == 404


def test_a_port_that_is_taken_is_one_sentence(hosted_factory: Any) -> None:
    first = hosted_factory().start()
    second = hosted_factory(port=first.port)
    code, line = ended(second)
    assert code == 1
    assert "cannot be listened on" in line


@pytest.mark.parametrize(
    "environ",
    [
        {"BACKSTORY_TLS_CERTIFICATE": "{file}"},
        {"BACKSTORY_TLS_CERTIFICATE": "/nope.pem", "BACKSTORY_TLS_KEY": "/nope.pem"},
        {"BACKSTORY_TLS_CERTIFICATE": "{file}", "BACKSTORY_TLS_KEY": "{file}"},
        {"BACKSTORY_OAUTH_ISSUER": "https://issuer.example.com"},
        {"BACKSTORY_TRUSTED_PROXIES": "everybody"},
        {"BACKSTORY_RATE_PER_MINUTE": "-1"},
        {"BACKSTORY_AUTH": "maybe"},
        {"BACKSTORY_ALLOWED_ORIGINS": "*"},
        {"BACKSTORY_PHONE_REGION": "Utopia"},
    ],
)
def test_a_bad_setting_is_one_sentence(hosted_factory: Any, tmp_path: Path, environ: dict[str, str]) -> None:
    file = tmp_path / "not-a.pem"
    file.write_text("nonsense")
    server = hosted_factory(environ={name: value.format(file=file) for name, value in environ.items()})
    code, line = ended(server)
    assert code in (1, 2)
    assert line.startswith("Error: ")
    assert any(name in line for name in environ), line
    assert "Traceback" not in server.log_path.read_text()


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    import ipaddress

    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.now(UTC) - timedelta(days=1))
        .not_valid_after(datetime.now(UTC) + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    certificate, secret = tmp_path / "cert.pem", tmp_path / "key.pem"
    certificate.write_bytes(built.public_bytes(pem))
    plain = serialization.NoEncryption()
    secret.write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))
    return certificate, secret


def test_tls_by_certificate(hosted_factory: Any, certificate: tuple[Path, Path]) -> None:
    environ = {"BACKSTORY_TLS_CERTIFICATE": str(certificate[0]), "BACKSTORY_TLS_KEY": str(certificate[1])}
    server = hosted_factory(environ=environ, scheme="https")
    token = server.token("acme", "ann")
    server.start()
    trusting = ssl.create_default_context(cafile=str(certificate[0]))
    with server.http(token, verify=trusting) as http:
        assert http.get("/api/v1/sessions").status_code == 200
    with httpx2.Client(trust_env=False) as plain, pytest.raises(httpx2.HTTPError):
        plain.get(f"http://127.0.0.1:{server.port}/healthz")


@pytest.mark.parametrize(
    ("trusted", "expected"), [("127.0.0.1", "https://memory.example.com"), ("10.0.0.9", "http://")]
)
def test_forwarded_headers_count_from_trusted_proxies_alone(hosted_factory: Any, trusted: str, expected: str) -> None:
    environ = {
        "BACKSTORY_TRUSTED_PROXIES": trusted,
        "BACKSTORY_ALLOWED_HOSTS": "memory.example.com",
        "BACKSTORY_OAUTH_ISSUER": "https://issuer.example.com",
        "BACKSTORY_OAUTH_AUDIENCE": "backstory",
    }
    server = hosted_factory(environ=environ).start()
    headers = {"Host": "memory.example.com", "X-Forwarded-Proto": "https", "X-Forwarded-For": "203.0.113.7"}
    with server.http() as http:
        answer = http.get("/mcp", headers=headers)
    assert answer.status_code == 401
    assert f'resource_metadata="{expected}' in answer.headers["www-authenticate"]


def test_a_stop_finishes_what_is_in_flight_refuses_the_rest_and_is_quick(hosted_factory: Any) -> None:
    server = hosted_factory()
    token = server.token("acme", "ann")
    server.start()
    body = json.dumps({"messages": [{"role": "user", "content": f"line {n} " + "x" * 500} for n in range(4000)]})
    with server.http(token) as http:
        session = http.post("/api/v1/sessions", json={}).json()["session_id"]
        results: list[Any] = []
        path = f"/api/v1/sessions/{session}/messages"

        def record() -> None:
            with server.http(token) as mine:
                results.append(mine.post(path, content=body, headers={"Content-Type": "application/json"}))

        writer = threading.Thread(target=record)
        with http.stream("GET", "/sse") as stream:
            assert stream.status_code == 200
            writer.start()
            wait_until_busy(server, token)
            server.process.send_signal(signal.SIGTERM)
            began = time.monotonic()
            refused = later_answer(server, token)
            rest = list(stream.iter_raw())
        writer.join(10)
        assert server.process.wait(10) == 0
        assert time.monotonic() - began < 5.5
    assert b"".join(rest).startswith(b"event: endpoint"), "a stream that went on until it was ended as HTTP wants it"
    assert results[0].status_code == 201
    assert results[0].json()["recorded"][0]["seq"] == 1
    assert refused.status_code == 503 and refused.headers["retry-after"]
    assert "Traceback" not in server.log_path.read_text()
    server.start()
    with server.http(token) as http:
        assert http.get(f"/api/v1/sessions/{session}").json()["message_count"] == 4000


def wait_until_busy(server: Any, token: str) -> None:
    with server.http(token) as http:
        for _ in range(400):
            text = http.get("/metrics").text
            if "backstory_in_flight 0.0" not in text:
                return
            time.sleep(0.005)
    raise AssertionError("the request never was in flight")


def later_answer(server: Any, token: str) -> Any:
    """The first refusal while the server stops, which it does no sooner than its answers are on their way."""
    for _ in range(200):
        with server.http(token) as http:
            answer = http.get("/api/v1/sessions")
        if answer.status_code != 200:
            return answer
        time.sleep(0.005)
    raise AssertionError("the server goes on taking requests")


def test_idle_streams_do_not_hold_up_a_stop(hosted_factory: Any) -> None:
    server = hosted_factory()
    token = server.token("acme", "ann")
    server.start()
    sockets = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(20)]
    for one in sockets:
        one.sendall(f"GET /sse HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n\r\n".encode())
        assert one.recv(50).startswith(b"HTTP/1.1 200")
    began = time.monotonic()
    assert server.stop() == 0
    assert time.monotonic() - began < 5
    for one in sockets:
        one.settimeout(5)
        received = b""
        while part := one.recv(4096):
            received += part
        assert received.endswith(b"0\r\n\r\n"), "the stream ends as HTTP wants it"
        one.close()
    assert "Traceback" not in server.log_path.read_text()
    assert not [line for line in server.log() if line["level"] in ("ERROR", "CRITICAL")]


def test_readiness_tells_what_it_looked_at_to_operators_alone(hosted_factory: Any) -> None:
    server = hosted_factory()
    operator, user = server.token("acme", "olga", "admin"), server.token("acme", "ann")
    server.start()
    deadline = time.monotonic() + 30
    with server.http() as http:
        while http.get("/readyz").status_code != 200 and time.monotonic() < deadline:
            time.sleep(0.2)
    for token in (None, user, "bst_0_0"):
        with server.http(token) as http:
            ready = http.get("/readyz")
        assert ready.status_code == 200
        assert ready.json() == {"ready": True}
    with server.http(operator) as http:
        ready = http.get("/readyz")
    assert ready.status_code == 200
    assert ready.json()["ready"] is True
    assert set(ready.json()["checks"]) == {"database", "index", "disk", "stopping"}
    assert ready.json()["checks"]["index"]["behind"] == {"keywords": 0, "vectors": 0}


@pytest.mark.anyio
async def test_readiness_is_looked_into_once_a_second(tmp_path: Path) -> None:
    asked: list[str] = []
    probes = Probes(lambda: asked.append("database"), lambda: {"keywords": 0}, tmp_path)
    health = Health(probes, Traffic(), Metrics())
    request = Request({"type": "http", "method": "GET", "path": "/readyz", "headers": []})
    async with anyio.create_task_group() as tasks:
        for _ in range(50):
            tasks.start_soon(health.ready, request)
    assert asked == ["database"]
    await anyio.sleep(KEPT_SECONDS)
    await health.ready(request)
    assert len(asked) == 2


@pytest.mark.parametrize("delay", [0.0, 0.1, 0.3, 1.0])
def test_two_interrupts_end_it_at_any_moment(hosted_factory: Any, delay: float) -> None:
    server = hosted_factory().start()
    time.sleep(delay)
    server.process.send_signal(signal.SIGINT)
    server.process.send_signal(signal.SIGINT)
    try:
        server.process.wait(6)
    except subprocess.TimeoutExpired:
        pytest.fail("it did not end")
