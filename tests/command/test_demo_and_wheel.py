"""The demonstration, here and from the built wheel in an environment of its own."""

import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]


def test_demo_tells_the_truth(backstory: Any) -> None:
    shown = backstory("demo").stdout
    assert shown.count("\nok ") + shown.startswith("ok ") == 11 and "WRONG" not in shown
    assert "Biscuit" in shown and "killed" in shown and "currentPropertyId" in shown
    assert not backstory.data_dir.exists(), "the demonstration must not touch the user's own memory"


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    uv = find_uv()
    assert uv is not None, "uv, with which the tests are run, builds the wheel"
    out = tmp_path_factory.mktemp("dist")
    build = [uv, "build", "--wheel", "--out-dir", str(out), "--no-build-logs", str(ROOT)]
    done = subprocess.run(build, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (built,) = out.glob("*.whl")
    return built


def find_uv() -> str | None:
    beside = Path(sys.executable).with_name("uv")
    return str(beside) if beside.exists() else shutil.which("uv")


@pytest.mark.checkout
def test_the_wheel_holds_what_is_needed_and_no_more(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    packages = {name.split("/")[0] for name in names if ".dist-info" not in name}
    assert packages == {"server", "memory", "storage", "inference"}
    assert {f"{package}/py.typed" for package in packages} <= set(names)
    assert any(name.startswith("storage/sql/migrations/versions/") for name in names)
    assert any(name.endswith("vocab.txt") for name in names)
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert not any(name.endswith((".db", ".pyc", ".onnx")) for name in names)
    assert sum(entry.file_size for entry in zipfile.ZipFile(wheel).infolist()) < 4_000_000


@pytest.fixture
def installed(wheel: Path, tmp_path: Path) -> Iterator[Path]:
    """The wheel in a fresh environment; its bin directory."""
    uv = find_uv()
    assert uv is not None
    environment = tmp_path / "venv"
    for command in (
        [uv, "venv", "--python", sys.executable, str(environment)],
        [
            uv,
            "pip",
            "install",
            "--quiet",
            "--compile-bytecode",
            "--python",
            str(environment / "bin" / "python"),
            str(wheel),
        ],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    yield environment / "bin"
    shutil.rmtree(environment, ignore_errors=True)


@pytest.mark.slow
@pytest.mark.checkout
@pytest.mark.timeout(600)
def test_the_wheel_runs_the_demonstration_in_a_fresh_environment(installed: Path, tmp_path: Path) -> None:
    # A directory with a package called `server` must not get in the way.
    stranger = tmp_path / "project"
    (stranger / "server").mkdir(parents=True)
    (stranger / "server" / "__init__.py").write_text("raise SystemExit('the wrong server')")
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    command = str(installed / "backstory")
    for arguments in (["demo"], ["doctor"], ["connect", "claude-desktop"]):
        done = subprocess.run(
            [command, *arguments], env=env, cwd=stranger, capture_output=True, text=True, timeout=300, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
    assert str(installed) in done.stdout
