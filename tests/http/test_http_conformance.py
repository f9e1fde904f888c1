"""The protocol's own conformance suite and Inspector, against our server."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any, NoReturn

import pytest
from filelock import FileLock

pytestmark = pytest.mark.timeout(900)
HERE = Path(__file__).resolve().parents[1] / "conformance"
BIN = HERE / "node_modules" / ".bin"
PRODUCT = [
    *("server-initialize", "ping", "tools-list", "resources-list", "prompts-list", "completion-complete"),
    *("resources-subscribe", "resources-unsubscribe", "server-sse-multiple-streams", "dns-rebinding-protection"),
]
FIXTURES = [
    *("logging-set-level", "tools-call-simple-text", "tools-call-image", "tools-call-audio", "tools-call-error"),
    *(
        "tools-call-embedded-resource",
        "tools-call-mixed-content",
        "tools-call-with-logging",
        "tools-call-with-progress",
    ),
    *("tools-call-sampling", "tools-call-elicitation", "elicitation-sep1034-defaults", "elicitation-sep1330-enums"),
    *("resources-read-text", "resources-read-binary", "resources-templates-read", "prompts-get-simple"),
    *("prompts-get-with-args", "prompts-get-embedded-resource", "prompts-get-with-image"),
]
SKIPPED = ["server-sse-polling", "json-schema-2020-12"]


def node_version() -> int:
    try:
        done = subprocess.run([BIN / "node", "--version"], capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return 0
    return int(done.stdout.strip().removeprefix("v").split(".")[0])


def installed() -> bool:
    return (BIN / "conformance").exists() and node_version() >= 22


@pytest.fixture(scope="module", autouse=True)
def tools(tmp_path_factory: pytest.TempPathFactory, lacking: Callable[[str], NoReturn]) -> None:
    """Installs the tools once, with a Node of their own. Skipped without npm, and nowhere else: not where CI is set."""
    npm = shutil.which("npm")
    with FileLock(tmp_path_factory.getbasetemp().parent / "npm.lock"):
        if installed():
            return
        if npm is None:
            lacking("npm is not there, which brings the conformance suite and the Inspector")
        command = [npm, "ci", "--no-audit", "--no-fund", "--loglevel=error"]
        done = subprocess.run(command, cwd=HERE, capture_output=True, text=True, timeout=600, check=False)
    if done.returncode != 0 or not installed():
        pytest.fail(f"`npm ci` in tests/conformance did not work: {(done.stderr.strip() or 'no reason given')[-300:]}")


def tool(name: str, *arguments: str, timeout: int = 120, **environ: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", **environ}
    return subprocess.run(
        [BIN / name, *arguments], env=env, capture_output=True, text=True, timeout=timeout, check=False
    )


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory, hosted: Any) -> Generator[Any, None, None]:
    """The suite sends no tokens, so it gets a server that asks for none."""
    server = type(hosted)(tmp_path_factory.mktemp("product") / "data", {"BACKSTORY_AUTH": "none"})
    yield server.start()
    server.kill()


@pytest.fixture(scope="module")
def fixtures(tmp_path_factory: pytest.TempPathFactory, hosted: Any) -> Generator[Any, None, None]:
    class WithFixtures(type(hosted)):  # type: ignore[misc]
        def spawn(self) -> subprocess.Popen[bytes]:
            self.data_dir.mkdir(parents=True, exist_ok=True)
            command = [sys.executable, str(HERE / "fixture_server.py"), str(self.port), str(self.data_dir)]
            root = str(HERE.parents[1])
            with self.log_path.open("ab") as log:
                return subprocess.Popen(
                    command, cwd=root, env={**os.environ, "PYTHONPATH": root}, stdout=log, stderr=log
                )

        def log(self) -> list[dict[str, Any]]:
            return []

    server = WithFixtures(tmp_path_factory.mktemp("fixtures") / "data")
    yield server.start()
    server.kill()


def results(server: Any) -> dict[str, str]:
    """How each scenario of the suite went, by its name; one run of all of them."""
    done = tool("conformance", "server", "--url", f"{server.url}/mcp", timeout=300)
    summary = re.findall(r"^[✓✗] (\S+): (\d+ passed, \d+ failed)", done.stdout, re.M)
    assert summary, done.stdout + done.stderr
    return {name: "passed" if re.fullmatch(r"[1-9]\d* passed, 0 failed", how) else done.stdout for name, how in summary}


@pytest.fixture(scope="module")
def product_results(product: Any) -> dict[str, str]:
    return results(product)


@pytest.fixture(scope="module")
def fixture_results(fixtures: Any) -> dict[str, str]:
    return results(fixtures)


@pytest.mark.parametrize("scenario", PRODUCT)
def test_the_server_conforms(product_results: dict[str, str], scenario: str) -> None:
    assert product_results[scenario] == "passed"


@pytest.mark.parametrize("scenario", [*FIXTURES, *PRODUCT])
def test_the_transport_conforms_with_the_suites_fixtures(fixture_results: dict[str, str], scenario: str) -> None:
    assert fixture_results[scenario] == "passed"


def test_every_scenario_is_run_or_skipped_for_a_reason() -> None:
    listed = tool("conformance", "list", "--server").stdout
    scenarios = set(re.findall(r"^ +- (\S+) \[", listed, re.M))
    assert scenarios == {*PRODUCT, *FIXTURES, *SKIPPED}
    reasons = (HERE / "README.md").read_text()
    assert all(f"`{name}`" in reasons for name in SKIPPED)


WAYS = [
    ("stdio", "legacy"),
    ("stdio", "modern"),
    ("http", "legacy"),
    ("http", "modern"),
    ("sse", "legacy"),
    ("sse", "modern"),
]


@pytest.mark.parametrize(("transport", "era"), WAYS)
def test_the_inspector_lists_and_calls(hosted: Any, tmp_path: Path, transport: str, era: str) -> None:
    token = hosted.token(f"inspector-{transport}-{era}", "ann")
    said = json.dumps([{"role": "user", "content": "The ladder is behind the shed."}])
    names = set(inspect(hosted, tmp_path, transport, era, token, "tools/list")["tools_by_name"])
    assert {"record_messages", "search_conversation_history"} <= names
    call = ("tools/call", "--tool-name", "record_messages", "--tool-arg", f"messages={said}")
    recorded = inspect(hosted, tmp_path, transport, era, token, *call)
    assert recorded["structuredContent"]["recorded"][0]["seq"] == 1
    call = ("tools/call", "--tool-name", "search_conversation_history", "--tool-arg", "query=ladder")
    found = inspect(hosted, tmp_path, transport, era, token, *call)
    assert found["structuredContent"]["hits"][0]["content"] == "The ladder is behind the shed."


def inspect(hosted: Any, data_dir: Path, transport: str, era: str, token: str, *method: str) -> dict[str, Any]:
    if transport == "stdio":
        backstory = str(Path(sys.executable).with_name("backstory"))
        where = [backstory, "serve", "--data-dir", str(data_dir), "--embedder", "none"]
        options = ["--transport", "stdio"]
    else:
        where = [hosted.url + {"http": "/mcp", "sse": "/sse"}[transport]]
        options = ["--transport", transport, "--header", f"Authorization: Bearer {token}"]
    strict = ["--strict"] if method[0] == "tools/list" else []
    method_options = ["--protocol-era", era, "--method", *method, *strict, "-q", "--format", "json"]
    done = tool("mcp-inspector", "--cli", *where, *options, *method_options)
    assert done.returncode == 0, done.stdout + done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)["result"]
    return {**answer, "tools_by_name": [one["name"] for one in answer.get("tools", [])]}
