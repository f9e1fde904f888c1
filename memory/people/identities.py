"""Who somebody is: how a caller is recognised, and told apart from others."""

import unicodedata
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from memory.errors import Conflict, Invalid, NotFound, shown
from memory.model import Identity, IdentityKind, Owner, User
from memory.names import keep_names, named
from memory.people.identity_values import guesses, normalise
from memory.ports import Clock, Directory, People
from memory.record.validation import check_name

_NAME_LENGTH = 200
_STRONG: tuple[IdentityKind, ...] = ("voiceprint", "external", "email")


@dataclass(frozen=True, slots=True)
class Claims:
    """What is known of somebody: any of their identities, their name, the call, and whom the bridge settled on."""

    phone: str | None = None
    email: str | None = None
    voiceprint_id: str | None = None
    external_id: str | None = None
    display_name: str | None = None
    call_id: str | None = None
    choice: str | None = None
    new_person: bool = False

    def __post_init__(self) -> None:
        keep_names(self, "display_name", "call_id", "choice")


@dataclass(frozen=True, slots=True)
class Identified:
    """Either a user, or the candidates among whom only the person can say who they are."""

    user: User | None
    created: bool = False
    candidates: tuple[User, ...] = ()


def identify(
    directory: Directory, tenant_id: str, claims: Claims, *, may_write: bool, region: str | None, clock: Clock
) -> Identified:
    """Finds whose identities these are. Nobody is taken for somebody else on a guess: a shared phone number gives
    candidates, and a name or an identity that contradicts what is known of the number's owner makes a new person.

    Without `may_write` nobody is made, linked, named or remembered. Errors: Invalid, NotFound (unknown, and
    `may_write` is false; or the choice is no user).
    """
    identities = _identities(claims, region)
    with directory.write(tenant_id) if may_write else directory.read(tenant_id) as people:
        decided = _decide(people, claims, identities)
        if isinstance(decided, list):
            return Identified(None, candidates=tuple(decided))
        if may_write:
            return _kept(people, decided, claims, identities, clock())
    if decided is None:
        raise NotFound("user", identities[0].value if identities else claims.call_id or "")
    return Identified(decided)


def _kept(people: People, owner: User | None, claims: Claims, identities: list[Identity], now: datetime) -> Identified:
    """Links what was shown, keeps the name where there was none, and remembers who it is for the call."""
    user = owner or _add(people, claims.display_name, now)
    for identity in identities:
        people.link(user.user_id, identity, now)
    if claims.display_name and user.display_name is None:
        people.rename(user.user_id, claims.display_name)
    if claims.call_id:
        _remember(people, user, Identity("call", claims.call_id), now)
    return Identified(people.user(user.user_id) or user, created=owner is None)


def identify_self(directory: Directory, owner: Owner, claims: Claims, region: str | None) -> User:
    """The owner, when what is claimed is theirs. Errors: Invalid; NotFound for everybody else, known or not."""
    identities = _identities(claims, region)
    with directory.read(owner.tenant_id) as people:
        user = people.user(owner.user_id)
        own = people.identities(owner.user_id)
    if user is None or claims.choice is not None or not identities or any(i not in own for i in identities):
        raise NotFound("user", identities[0].value if identities else claims.choice or claims.call_id or "")
    return user


def resolve(directory: Directory, tenant_id: str, text: str, region: str | None) -> User:
    """The one user whom an id, phone number, e-mail address, voiceprint id, external id or call id stands for.

    Errors: NotFound; Conflict when several people share the identity.
    """
    with directory.read(tenant_id) as people:
        if (user := _current(people, text) or _current(people, named(text))) is not None:
            return user
        found = {u.user_id: u for identity in guesses(text, region) for u in people.users_with(identity)}
    if not found:
        raise NotFound("user", text)
    if len(found) > 1:
        raise Conflict(
            f"{len(found)} people share {shown(text)}; ask who is calling, settle it with identify_user, and pass the "
            "user id that it returns."
        )
    return next(iter(found.values()))


def register(
    directory: Directory, tenant_id: str, user_id: str, display_name: str | None = None, *, clock: Clock
) -> User:
    """The user by this id, added when new; whoever they were merged into, where they were."""
    with directory.read(tenant_id) as people:
        user = _current(people, user_id)
    if user is not None:
        return user
    with directory.write(tenant_id) as people:
        return _current(people, user_id) or _add(people, display_name, clock(), user_id)


def link(directory: Directory, tenant_id: str, user_id: str, identity: Identity, clock: Clock) -> None:
    """Adds an identity to a user. Errors: NotFound."""
    with directory.write(tenant_id) as people:
        people.link(_existing(people, user_id).user_id, identity, clock())


def unlink(directory: Directory, tenant_id: str, user_id: str, identity: Identity, clock: Clock) -> None:
    """Takes an identity from a user. Errors: NotFound."""
    with directory.write(tenant_id) as people:
        user = _existing(people, user_id)
        if identity not in people.identities(user.user_id):
            raise NotFound(f"{identity.kind} of this user", identity.value)
        people.unlink(user.user_id, identity, clock())


def merge(directory: Directory, tenant_id: str, user_id: str, into: str, clock: Clock) -> User:
    """Makes two users one: everything of `user_id` becomes `into`'s, and the old id keeps standing for them.

    Errors: NotFound; Conflict when both are the same already.
    """
    with directory.write(tenant_id) as people:
        source, target = _existing(people, user_id), _existing(people, into)
        if source.user_id == target.user_id:
            raise Conflict(f"{shown(user_id)} and {shown(into)} are one user already.")
        people.merge(source.user_id, target.user_id, clock())
        return _existing(people, target.user_id)


def _identities(claims: Claims, region: str | None) -> list[Identity]:
    given: Sequence[tuple[IdentityKind, str | None]] = (
        ("voiceprint", claims.voiceprint_id),
        ("external", claims.external_id),
        ("email", claims.email),
        ("phone", claims.phone),
    )
    identities = [normalise(kind, value, region) for kind, value in given if value is not None]
    if not identities and claims.call_id is None and claims.choice is None:
        raise Invalid(
            "identify_user", "was given nobody to look for", "give phone, email, voiceprint_id or external_id"
        )
    if claims.call_id is not None:
        normalise("call", claims.call_id, region)
    check_name("display_name", claims.display_name)
    return identities


def _decide(people: People, claims: Claims, identities: list[Identity]) -> User | list[User] | None:
    """The user, several candidates, or None for somebody new."""
    if claims.choice is not None:
        return _existing(people, claims.choice)
    strong = _union(people, [i for i in identities if i.kind in _STRONG])
    if strong:
        return strong if len(strong) > 1 else strong[0]
    if claims.new_person:
        return None
    if claims.call_id and (callers := people.users_with(Identity("call", claims.call_id))):
        return callers[-1]
    sharing = _union(people, [i for i in identities if i.kind == "phone"])
    fitting = [u for u in sharing if not _contradicts(people, u, claims, identities)]
    if claims.display_name and (named := [u for u in fitting if _same_name(u.display_name, claims.display_name)]):
        fitting = named
    return fitting if len(fitting) > 1 else fitting[0] if fitting else None


def _contradicts(people: People, user: User, claims: Claims, identities: list[Identity]) -> bool:
    """Whether what is claimed cannot be this user: another name, or another identity of a kind they already have."""
    if claims.display_name and user.display_name and not _same_name(user.display_name, claims.display_name):
        return True
    has = {i.kind for i in people.identities(user.user_id)}
    return any(i.kind in _STRONG and i.kind in has for i in identities)


def _same_name(kept: str | None, given: str) -> bool:
    """'Anna' is 'anna Müller' is 'Anna Mueller'; 'Ben Müller' is not."""
    if kept is None:
        return False
    a, b = _name_words(kept), _name_words(given)
    return bool(a and b) and (a[0] == b[0] or (min(len(a), len(b)) == 1 and bool({*a} & {*b})))


def _name_words(name: str) -> list[str]:
    folded = unicodedata.normalize("NFKD", name[:_NAME_LENGTH].casefold())
    return "".join(c if c.isalnum() else " " for c in folded if not unicodedata.combining(c)).split()


def _remember(people: People, user: User, call: Identity, now: datetime) -> None:
    """The call stands for this user from now on; whoever it stood for before was a mistake."""
    for other in people.users_with(call):
        if other.user_id != user.user_id:
            people.unlink(other.user_id, call, now)
    people.link(user.user_id, call, now)


def _union(people: People, identities: Sequence[Identity]) -> list[User]:
    return list({u.user_id: u for identity in identities for u in people.users_with(identity)}.values())


def _current(people: People, user_id: str) -> User | None:
    """The user by id, followed through merges."""
    user = people.user(user_id)
    while user is not None and user.merged_into is not None:
        user = people.user(user.merged_into)
    return user


def _existing(people: People, user_id: str) -> User:
    user = _current(people, user_id)
    if user is None:
        raise NotFound("user", user_id)
    return user


def _add(people: People, display_name: str | None, now: datetime, user_id: str | None = None) -> User:
    user = User(user_id or f"usr_{uuid.uuid4().hex}", now, display_name)
    people.add_user(user)
    return user
