"""A connection whose answers are not read is worked for no further, and its memory stays small."""

from typing import Any

import anyio
import pytest
from mcp.shared.message import SessionMessage
from mcp.types import JSONRPCNotification, JSONRPCRequest, JSONRPCResponse

from server.protocol.pacing import CALLS_AT_ONCE, UNREAD_CONNECTIONS, Crowd, Pacing


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def request(number: int, method: str = "tools/call") -> SessionMessage:
    return SessionMessage(JSONRPCRequest(jsonrpc="2.0", id=number, method=method))


def response(number: int) -> SessionMessage:
    return SessionMessage(JSONRPCResponse(jsonrpc="2.0", id=number, result={}))


class Taking:
    """A stream that takes everything over at once."""

    async def send(self, _: Any) -> None:
        await anyio.lowlevel.checkpoint()


class Stuck:
    async def send(self, _: Any) -> None:
        await anyio.sleep_forever()


@pytest.mark.anyio
async def test_only_so_many_calls_are_taken_until_one_is_answered() -> None:
    pacing = Pacing(at_once=3)
    for number in range(3):
        assert not pacing.full
        pacing.came(request(number))
    assert pacing.full
    await pacing.send(Taking(), response(1))
    assert not pacing.full
    pacing.came(request(1))
    pacing.came(
        SessionMessage(JSONRPCNotification(jsonrpc="2.0", method="notifications/cancelled", params={"requestId": 2}))
    )
    assert not pacing.full
    pacing.came(request(9, "subscriptions/listen"))
    assert not pacing.full, "a listening request is answered when it ends"


@pytest.mark.anyio
async def test_calls_that_ask_the_client_make_room_for_its_answers() -> None:
    pacing = Pacing(at_once=1)
    pacing.came(request(1))
    assert pacing.full
    await pacing.send(Taking(), request(77, "sampling/createMessage"))
    assert not pacing.full
    pacing.came(request(2))
    pacing.came(response(77))
    assert pacing.full


@pytest.mark.anyio
async def test_a_repeated_id_takes_no_more_than_others() -> None:
    pacing = Pacing()
    for _ in range(CALLS_AT_ONCE):
        pacing.came(request(1))
    assert pacing.full


@pytest.mark.anyio
async def test_many_connections_that_do_not_read_are_held_shorter() -> None:
    crowd = Crowd()
    many = [Pacing(8, crowd) for _ in range(UNREAD_CONNECTIONS + 2)]
    async with anyio.create_task_group() as tasks:
        for pacing in many[1:]:
            pacing.came(request(1))
            pacing.came(request(2))
            tasks.start_soon(pacing.send, Stuck(), response(1))
        many[0].came(request(1))
        await anyio.sleep(0)
        assert all(pacing.full for pacing in many[1:])
        assert not many[0].full, "who reads is served as ever"
        tasks.cancel_scope.cancel()
    assert not crowd.unread
