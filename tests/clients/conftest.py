"""Clients that need environments of their own are tried when that is asked for: `pytest -m clients tests/clients`."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent / "kit"))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if "clients" in config.getoption("markexpr"):
        return
    apart = [item for item in items if item.get_closest_marker("clients")]
    items[:] = [item for item in items if item not in apart]
    config.hook.pytest_deselected(items=apart)
