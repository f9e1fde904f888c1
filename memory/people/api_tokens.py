"""Bearer tokens: shown once when issued, kept as a hash, revocable at once."""

import hashlib
import hmac
import secrets
from collections.abc import Iterable
from datetime import timedelta

from memory.errors import NotFound
from memory.model import ApiToken, Owner
from memory.ports import Clock, TokenStore

_PREFIX = "bst"
_SECRET_BYTES = 32


def issue(
    store: TokenStore, owner: Owner, rights: Iterable[str], *, lifetime: timedelta | None, clock: Clock
) -> tuple[str, ApiToken]:
    """A new token: the text to hand out, which is not kept, and its record."""
    token_id, secret = secrets.token_hex(8), secrets.token_urlsafe(_SECRET_BYTES)
    now = clock()
    expires_at = None if lifetime is None else now + lifetime
    token = ApiToken(token_id, owner, frozenset(rights), _digest(secret), now, expires_at)
    store.add_token(token)
    return f"{_PREFIX}_{token_id}_{secret}", token


def verify(store: TokenStore, text: str, clock: Clock) -> ApiToken | None:
    """The token's record, or None when it is unknown, altered, expired or revoked."""
    parts = text.split("_", 2)
    if len(parts) != 3 or parts[0] != _PREFIX or len(text) > 200 or not text.isascii():
        return None
    found = store.token(parts[1])
    same = hmac.compare_digest(found.digest if found else _digest(""), _digest(parts[2]))
    return found if same and found is not None and found.usable(clock()) else None


def revoke(store: TokenStore, token_id: str, clock: Clock) -> ApiToken:
    """Ends a token; from now on it is refused. Errors: NotFound."""
    found = store.token(token_id)
    if found is None:
        raise NotFound("token", token_id)
    if found.revoked_at is None:
        store.revoke_token(token_id, clock())
    return store.token(token_id) or found


def _digest(secret: str) -> str:
    """A plain hash suffices: the secret is 256 random bits, not a password."""
    return hashlib.sha256(secret.encode()).hexdigest()
