"""Users, what they are recognised by, and access tokens: the values, and the contracts of where they are kept."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol

from memory.model import Owner

Kind = Literal["phone", "email", "voiceprint", "external", "call"]
Action = Literal["created", "linked", "unlinked", "merged"]


@dataclass(frozen=True, slots=True)
class Identity:
    """One way to recognise a user; `value` is in normal form."""

    kind: Kind
    value: str


@dataclass(frozen=True, slots=True)
class User:
    """Somebody with a memory. `merged_into` is set once this user has been found to be another one."""

    user_id: str
    created_at: datetime
    display_name: str | None = None
    merged_into: str | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """One line of a user's history: what was linked, unlinked or merged, and when."""

    user_id: str
    action: Action
    at: datetime
    identity: Identity | None = None
    other_user_id: str | None = None


class People(Protocol):
    """One tenant's users inside one transaction. Merged users are reached through `user` alone."""

    def user(self, user_id: str) -> User | None: ...
    def users(self, limit: int, after: str | None = None) -> list[User]:
        """By id, merged ones left out."""
        ...

    def users_with(self, identity: Identity) -> list[User]:
        """Everybody whom this identity is linked to, longest linked first."""
        ...

    def identities(self, user_id: str) -> list[Identity]: ...
    def history(self, user_id: str) -> list[Event]:
        """Oldest first; a user's own and that of everybody merged into them."""
        ...

    def add_user(self, user: User) -> None: ...
    def rename(self, user_id: str, display_name: str) -> None: ...
    def link(self, user_id: str, identity: Identity, at: datetime) -> None:
        """No effect when it is linked already."""
        ...

    def unlink(self, user_id: str, identity: Identity, at: datetime) -> None: ...
    def merge(self, user_id: str, into: str, at: datetime) -> None:
        """Moves identities, access tokens and everything recorded from one user to the other."""
        ...


class Directory(Protocol):
    """The users of every tenant."""

    def read(self, tenant_id: str) -> AbstractContextManager[People]: ...
    def write(self, tenant_id: str) -> AbstractContextManager[People]:
        """Serialised within the tenant; all or nothing."""
        ...


@dataclass(frozen=True, slots=True)
class ApiToken:
    """What is kept of a token. `digest` is the hex SHA-256 of its secret half, which nobody can guess or recover."""

    token_id: str
    owner: Owner
    rights: frozenset[str]
    digest: str
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None

    def usable(self, now: datetime) -> bool:
        """Whether it may still be used."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


class TokenStore(Protocol):
    """Where tokens are kept."""

    def add_token(self, token: ApiToken) -> None: ...
    def token(self, token_id: str) -> ApiToken | None: ...
    def tokens(self) -> list[ApiToken]:
        """Every tenant's, oldest first."""
        ...

    def revoke_token(self, token_id: str, at: datetime) -> None: ...
    def note_use(self, used: Mapping[str, datetime]) -> None:
        """Moves `last_used_at` forward, never back."""
        ...
