"""The code itself: formatted, linted, typed, and layered as drawn."""

import ast
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def bin_path(name: str) -> str:
    return str(Path(sys.executable).with_name(name))


@pytest.mark.parametrize(
    "command",
    [
        ["ruff", "check", "."],
        ["ruff", "format", "--check", "."],
        ["mypy"],
        ["lint-imports", "--no-logo"],
    ],
    ids=" ".join,
)
@pytest.mark.checkout
@pytest.mark.timeout(600)
def test_tool_finds_nothing(command: list[str]) -> None:
    done = subprocess.run([bin_path(command[0]), *command[1:]], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_module_of_the_server_has_its_layer() -> None:
    linter = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    (layers,) = (one["layers"] for one in linter["contracts"] if one["name"].startswith("the server's layers"))
    placed = [name for layer in layers for name in layer.split(" | ")]
    files = [path for path in (ROOT / "server").rglob("*.py") if path.name != "__init__.py"]
    modules = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in files]
    assert [name for name in modules if not any(f"{name}.".startswith(f"{layer}.") for layer in placed)] == []


def private_elsewhere(path: Path) -> list[str]:
    """Private attributes that a file touches without defining them itself, and private names that it imports."""
    nodes = list(ast.walk(ast.parse(path.read_text())))
    own = {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    own |= {node.target.id for node in nodes if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)}
    own |= {node.attr for node in nodes if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)}
    touched = [(node.lineno, node.attr) for node in nodes if isinstance(node, ast.Attribute) and node.attr not in own]
    imports = [node for node in nodes if isinstance(node, ast.ImportFrom)]
    touched += [(node.lineno, part) for node in imports for part in (node.module or "").split(".")]
    touched += [(node.lineno, alias.name) for node in imports for alias in node.names]
    private = [(line, name) for line, name in touched if name.startswith("_") and not name.startswith("__")]
    return [f"{path.relative_to(ROOT)}:{line} {name}" for line, name in private if name not in vars(os)]


def test_the_sdks_privates_are_touched_in_one_file() -> None:
    touched = {path.name for path in (ROOT / "server").rglob("*.py") if private_elsewhere(path)}
    assert touched == {"sdk_privates.py"}


def test_what_carries_the_protocol_names_no_tool() -> None:
    tools = {path.stem for path in (ROOT / "server/tools").glob("*.py")} - {"__init__", "parameters", "toolbox"}
    carrying = {path.name: path.read_text() for path in (ROOT / "server/http").glob("*.py")}
    assert {name: tool for name, text in carrying.items() for tool in tools if tool in text} == {}
