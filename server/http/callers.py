"""From a token to a caller: its own user, or with the right 'act-as' anybody of its tenant."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from memory.errors import NotFound
from memory.model import Owner
from memory.people.identities import resolve
from memory.ports import Directory
from server.http.principal import Principal, principal_of
from server.identity import Caller


@dataclass(frozen=True, slots=True)
class TokenCallers:
    """`Identify` for HTTP. `directory` opens with the memory, so it is asked for at each use."""

    directory: Callable[[], Directory]
    phone_region: str | None

    def __call__(self, request: Any, user: str | None) -> Caller:
        return self.caller(principal_of(request), user)

    def caller(self, principal: Principal, user: str | None) -> Caller:
        """Errors: NotFound for a user who is unknown or not to be acted for; Conflict for a shared identity."""
        own = principal.owner
        if user is None or user == own.user_id:
            return Caller(own, principal.rights)
        if "act-as" not in principal.rights:
            raise NotFound("user", user)
        found = resolve(self.directory(), own.tenant_id, user, self.phone_region)
        owner = Owner(own.tenant_id, found.user_id)
        return Caller(owner, principal.rights, display_name=found.display_name, chosen=found.user_id)
