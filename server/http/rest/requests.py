"""Where a REST request becomes a call: whose memory, with which right, and who hears of what it changed."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

import pydantic_core
from fastapi import Depends, Request
from starlette.responses import Response

from server.calling import Call, Calls, in_thread
from server.identity import Right
from server.resources.table import JSON, Family
from server.tools.toolbox import Spec

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class RequestContext:
    """An HTTP request as the protocol carries it: the form in which callers are identified."""

    request: Request


@dataclass(frozen=True, slots=True)
class RestRequest:
    """One request, and where calls are opened."""

    calls: Calls
    request: Request

    async def perform(self, spec: Spec, user: str | None, **values: Any) -> Any:
        """What the tool of the same purpose answers, as data."""
        return await self.run(spec.right, user, lambda call: spec.handler(call, **values).data)

    async def read(self, family: Family, user: str | None, **values: str) -> Any:
        """What the resource of the same purpose holds, as data."""
        return await self.run("read", user, lambda call: family.read(call, **values).data)

    async def run(self, right: Right, user: str | None, work: Callable[[Call], R]) -> R:
        """Runs blocking work in a thread for the caller, then tells who listens. Errors: BackstoryError."""

        def serve() -> tuple[Call, R]:
            call = self.calls.open(RequestContext(self.request), user, right)
            return call, work(call)

        call, result = await in_thread(serve)
        await self.calls.done(call)
        return result


def _request(request: Request) -> RestRequest:
    return RestRequest(request.app.state.calls, request)


Rest = Annotated[RestRequest, Depends(_request)]


def answer(data: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """`data` as it is. A route's `response_model` is what the document says of it; nothing is checked again."""
    return Response(pydantic_core.to_json(data), status, headers, JSON)
