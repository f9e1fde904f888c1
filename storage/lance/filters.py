"""Filters as LanceDB reads them. Text reaches one only as a quoted literal, or as the hash of itself."""

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from hashlib import blake2b
from typing import Final

from memory.model import MessageFilter, Owner, Position

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_NOTHING: Final = "1 = 0"


def micros(moment: datetime) -> int:
    """Whole microseconds since 1970 UTC; negative before."""
    return (moment - _EPOCH) // _MICROSECOND


@lru_cache(maxsize=4096)
def owner_key(owner: Owner) -> str:
    """32 hexadecimal digits: one column to filter on, and nothing in it to escape."""
    return _digest(owner.tenant_id, owner.user_id)


def message_key(owner: Owner, message_id: str) -> str:
    """32 hexadecimal digits, different for every message of every owner."""
    return _digest(owner.tenant_id, owner.user_id, message_id)


def _digest(*parts: str) -> str:
    digest = blake2b(digest_size=16)
    for part in parts:
        encoded = part.encode("utf-8", "surrogatepass")
        digest.update(len(encoded).to_bytes(8, "big") + encoded)
    return digest.hexdigest()


def literal(text: str) -> str:
    """`text` as a string literal; only the quote has a meaning inside one, and it is doubled."""
    return "'" + text.replace("'", "''") + "'"


def admitted(owner: Owner, where: MessageFilter) -> str:
    """The condition under which a row is the owner's and `where` admits it."""
    texts = {"project_id": where.project_id, "session_id": where.session_id, "role": where.role}
    texts["channel"] = where.channel
    conditions = [f"owner = {literal(owner_key(owner))}"]
    if where.scope != "all":
        conditions.append("project_id IS NULL" if where.scope == "global" else "project_id IS NOT NULL")
    for column, text in texts.items():
        if text is not None:
            conditions.append(f"{column} = {literal(text)}" if _encodable(text) else _NOTHING)
    if where.since is not None:
        conditions.append(f"occurred_at >= {micros(where.since)}")
    if where.until is not None:
        conditions.append(f"occurred_at < {micros(where.until)}")
    return " AND ".join(conditions)


def owned(owner: Owner, keys: list[str] | None = None) -> str:
    """All of the owner's rows, or those of these message keys."""
    condition = f"owner = {literal(owner_key(owner))}"
    return condition if keys is None else f"{condition} AND key IN ({', '.join(map(literal, keys))})"


def among(owner_keys: list[str], message_keys: list[str]) -> str:
    """The rows of these messages; the owners are named for the sake of their index."""
    owners, keys = (", ".join(map(literal, names)) for names in (owner_keys, message_keys))
    return f"owner IN ({owners}) AND key IN ({keys})"


def beyond(position: Position) -> str:
    """Rows written by a change after `position`."""
    return f"xid > {position.xid} OR (xid = {position.xid} AND change_id > {position.change_id})"


def _encodable(text: str) -> bool:
    # A lone surrogate cannot be stored, so nothing equals it.
    return not any("\ud800" <= character <= "\udfff" for character in text)
