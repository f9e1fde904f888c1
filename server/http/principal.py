"""Who sent an HTTP request: the tenant and user of its token, and nothing that the request itself claims."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, get_args

from mcp.server.auth.middleware.auth_context import get_access_token
from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken
from pydantic import ConfigDict

from memory.errors import Denied
from memory.model import Owner
from server.identity import Right

RIGHTS: frozenset[Right] = frozenset(get_args(Right))


def known_rights(names: Iterable[str]) -> frozenset[Right]:
    """Those of `names` that are rights; an OAuth scope may be prefixed, as in 'memory:read' or 'backstory:read'."""
    plain = {name.rpartition(":")[2] for name in names}
    return frozenset(right for right in RIGHTS if right in plain)


@dataclass(frozen=True, slots=True)
class Principal:
    """`key` names the token in logs and limits: its id, or a digest of the issuer's token; never the token. `own` says
    that we issued it."""

    owner: Owner
    rights: frozenset[Right]
    key: str
    expires_at: datetime | None = None
    own: bool = False


class _Access(AccessToken):
    """The SDK's own record of a token, so that its sessions stay bound to the user who opened them."""

    model_config = ConfigDict(arbitrary_types_allowed=True)
    principal: Principal


def authenticated(principal: Principal) -> AuthenticatedUser:
    """The ASGI `user` for this principal."""
    return AuthenticatedUser(
        _Access(
            token="",
            client_id=principal.owner.tenant_id,
            scopes=sorted(principal.rights),
            subject=principal.owner.user_id,
            principal=principal,
        )
    )


def principal_of(request: Any) -> Principal:
    """The principal behind a protocol request (its `.request` is the HTTP request). Errors: Denied without one."""
    http = getattr(request, "request", None)
    user = http.scope.get("user") if http is not None else None
    token = user.access_token if isinstance(user, AuthenticatedUser) else get_access_token()
    if not isinstance(token, _Access):
        raise Denied("This request carries no token; send one as 'Authorization: Bearer …'.")
    return token.principal
