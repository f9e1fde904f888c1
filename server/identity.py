"""Who is calling: whose memory it is, through which agent, with which rights."""

from dataclasses import dataclass
from typing import Any, Literal, Protocol

from memory.errors import Denied, NotFound
from memory.model import Owner
from memory.names import named

Right = Literal["read", "write", "erase", "act-as", "admin"]
LOCAL_RIGHTS: frozenset[Right] = frozenset({"read", "write", "erase", "admin"})


@dataclass(frozen=True, slots=True)
class Caller:
    """The owner whose memory a request works on, and what the request may do there. `display_name` is what a bridge
    knows the owner by; `chosen` the user that it named, where it acts for another than its own."""

    owner: Owner
    rights: frozenset[Right]
    agent: str | None = None
    display_name: str | None = None
    chosen: str | None = None

    def require(self, right: Right) -> None:
        """Errors: Denied, naming the right."""
        if right not in self.rights:
            raise Denied(f"This token lacks the right '{right}'; ask for one that has it.")


class Identify(Protocol):
    """Tells who sends a request. Called in a worker thread, which sees the request's context variables."""

    def __call__(self, request: Any, user: str | None) -> Caller:
        """`request` is the protocol's request context (its `.request` the HTTP request, None on stdio); `user` what the
        caller passed. Errors: NotFound for a user that the caller may not act as, the same as for an unknown one."""
        ...


@dataclass(frozen=True, slots=True)
class LocalUser:
    """stdio: everybody who can start the process is the one local user."""

    owner: Owner

    def __call__(self, request: Any, user: str | None) -> Caller:
        if user is not None and named(user) != self.owner.user_id:
            raise NotFound("user", user)
        return Caller(self.owner, LOCAL_RIGHTS)
