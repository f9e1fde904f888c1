"""What an import costs: the contracts load nothing heavy, so that they may stand at the top of every file."""

import subprocess
import sys

import pytest

HEAVY = {"numpy", "pydantic", "sqlalchemy", "lancedb", "pyarrow", "onnxruntime"}


@pytest.mark.parametrize("module", ["memory.model", "memory.ports", "memory.errors"])
def test_contracts_are_light(module: str) -> None:
    told = f"import sys, {module}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True)
    assert not HEAVY & set(done.stdout.split())
