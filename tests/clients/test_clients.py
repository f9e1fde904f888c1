"""Every client lists the tools, converts their schemas to what its providers take, and calls them over stdio."""

from pathlib import Path
from typing import Any

import pytest
from environments import Client, known, make
from trials import PAGE, TABLE, try_client


def parameters() -> list[Any]:
    return [
        pytest.param(client, id=key, marks=[pytest.mark.clients] if client.is_apart else [])
        for key, client in known().items()
    ]


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("client", parameters())
def test_a_client_lists_converts_and_calls_every_tool(client: Client, tmp_path: Path) -> None:
    make(client)
    assert try_client(client, tmp_path).faults == []


@pytest.mark.checkout
def test_the_page_tells_of_the_clients_as_they_are_pinned() -> None:
    (table,) = TABLE.findall(PAGE.read_text())
    rows = table.splitlines()[2:]
    assert [row.split("|")[1].strip() for row in rows] == [client.name for client in known().values()]
    for client, row in zip(known().values(), rows, strict=True):
        for pin in client.python:
            name, _, version = pin.partition("==")
            if not name.startswith(("mcp", "autogen-agentchat")):
                assert f"{name.partition('[')[0]} {version}" in row
        for pin in client.npm:
            name, _, version = pin.rpartition("@")
            assert f"{name} {version}" in row
