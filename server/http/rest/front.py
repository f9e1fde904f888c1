"""Where a REST request becomes a call: whose memory, with which right, and who hears of what it changed."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Request
from pydantic import BaseModel, ConfigDict, Field

from server.answers import Answer
from server.calling import Call, Calls, in_thread
from server.http.rest.types import Name
from server.identity import Right
from server.tools.toolbox import Spec

R = TypeVar("R")
User = Annotated[Name | None, Field(description="Whose memory, with the right act-as: an id, phone number, e-mail…")]


class Query(BaseModel):
    """The base of every route's query parameters; what is unknown is refused rather than ignored."""

    model_config = ConfigDict(extra="forbid")
    user: User = None


class Body(BaseModel):
    """The base of every body; a null is the same as an absent value."""

    model_config = ConfigDict(extra="forbid", strict=True)


@dataclass(frozen=True, slots=True)
class Carried:
    """An HTTP request, in the form in which callers are identified."""

    request: Request


@dataclass(frozen=True, slots=True)
class Front:
    """One request of a client."""

    calls: Calls
    request: Request

    async def perform(self, spec: Spec, user: str | None, **values: Any) -> Any:
        """What the tool of the same purpose answers, as data."""
        answer: Answer[Any] = await self.run(spec.right, user, lambda call: spec.handler(call, **values))
        return answer.data

    async def run(self, right: Right, user: str | None, work: Callable[[Call], R]) -> R:
        """Runs blocking work in a thread for the caller, then tells who listens. Errors: BackstoryError."""

        def serve() -> tuple[Call, R]:
            call = self.calls.open(Carried(self.request), user, right)
            return call, work(call)

        call, result = await in_thread(serve)
        await self.calls.done(call)
        return result


def front(request: Request) -> Front:
    """The request, with where the application that it came to opens calls."""
    return Front(request.app.state.calls, request)


AtDesk = Annotated[Front, Depends(front)]
