"""What is explicitly known about a user, by key: facts, preferences and current state, with history and expiry."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from memory.errors import Conflict, Invalid, NotFound, shown
from memory.model import (
    KEY_LENGTH,
    KEYS_AT_ONCE,
    KEYS_IN_FORCE,
    VALUE_BYTES,
    Category,
    Json,
    Owner,
    Source,
    UserContextEntry,
)
from memory.names import named
from memory.ports import Clock, Records, RecordStore, WritableRecords
from memory.record.validation import check_choice, check_project
from memory.text.plain import minute


@dataclass(frozen=True, slots=True)
class _Change:
    """What one call wants to be true of each of its keys."""

    category: Category | None
    expires_at: datetime | None
    source_message_id: str | None
    project_id: str | None
    source: Source
    confidence: float | None
    now: datetime


def upsert(
    store: RecordStore,
    owner: Owner,
    values: Mapping[str, Json],
    *,
    category: Category | None = None,
    expires_at: datetime | None = None,
    source_message_id: str | None = None,
    expected_versions: Mapping[str, int] | None = None,
    project_id: str | None = None,
    source: Source = "stated",
    confidence: float | None = None,
    clock: Clock,
) -> list[UserContextEntry]:
    """Sets every key of `values` (None removes it), all or nothing; returns the entries in the order of `values`.

    A value that is there already, word for word, makes no new version. A key without `category` keeps the one it
    has ('fact' at first). Errors: Invalid (limits, shapes), NotFound (`source_message_id`), Conflict when an expected
    version is stale, or when an inferred value would replace a stated or withdrawn one.
    """
    project_id = check_project(project_id)
    change = _Change(category, expires_at, source_message_id, project_id, source, confidence, clock())
    values = _by_name(values)
    _check_values(values)
    _check_change(change)
    expected = _by_name(expected_versions or {})
    with store.write(owner) as records:
        if source_message_id is not None and records.message(source_message_id) is None:
            raise NotFound("message", source_message_id)
        current = {e.key: e for e in records.user_context(project_id, sorted({*values, *expected}))}
        _check_versions(expected, current, change.now)
        if source == "inferred":
            _check_inferred(values, current, change.now)
            if project_id is not None:
                stated = {e.key: e for e in records.user_context(None, sorted(values)) if not e.deleted}
                _check_inferred(values, stated, change.now)
        _check_room(records, values, current, change)
        return [_put(records, key, value, current.get(key), change) for key, value in values.items()]


def get(
    store: RecordStore,
    owner: Owner,
    keys: Sequence[str] | None = None,
    project_id: str | None = None,
    include_history: bool = False,
    *,
    clock: Clock,
) -> list[UserContextEntry]:
    """The entries in force by key: the project's where it has one, else the global one.

    With `include_history`, every version of both scopes, removed and expired ones included, by (key, scope, version).
    """
    keys = None if keys is None else [named(key) for key in keys]
    project_id = check_project(project_id)
    with store.read(owner) as records:
        return (
            in_force(records, keys, project_id, clock()) if not include_history else _history(records, keys, project_id)
        )


def in_force(
    records: Records, keys: Sequence[str] | None, project_id: str | None, now: datetime
) -> list[UserContextEntry]:
    """The same inside a transaction that is already open."""
    return in_force_of([e for scope in _scopes(project_id) for e in records.user_context(scope, keys)], now)


def in_force_of(entries: Iterable[UserContextEntry], now: datetime) -> list[UserContextEntry]:
    """The live ones of `entries` (the global ones before the project's) by key; later ones win, but what a model
    inferred for the project gives way to what was stated globally."""
    chosen: dict[str, UserContextEntry] = {}
    for entry in entries:
        earlier = chosen.get(entry.key)
        outranked = earlier is not None and earlier.source == "stated" and entry.source == "inferred"
        if is_live(entry, now) and not outranked:
            chosen[entry.key] = entry
    return [chosen[key] for key in sorted(chosen)]


def is_live(entry: UserContextEntry, now: datetime) -> bool:
    """Whether the entry is neither removed nor expired."""
    return not entry.deleted and (entry.expires_at is None or entry.expires_at > now)


def _scopes(project_id: str | None) -> tuple[str | None, ...]:
    return (None,) if project_id is None else (None, project_id)


def _history(records: Records, keys: Sequence[str] | None, project_id: str | None) -> list[UserContextEntry]:
    found = [e for scope in _scopes(project_id) for e in records.user_context_history(scope, keys)]
    return sorted(found, key=lambda e: (e.key, e.project_id or "", e.version))


def _put(
    records: WritableRecords, key: str, value: Json, old: UserContextEntry | None, change: _Change
) -> UserContextEntry:
    entry = UserContextEntry(
        key=key,
        value=value,
        category=change.category or (old.category if old else "fact"),
        version=(old.version if old else 0) + 1,
        updated_at=change.now,
        expires_at=None if value is None else change.expires_at,
        project_id=change.project_id,
        source_message_id=change.source_message_id,
        source=change.source,
        confidence=change.confidence,
        deleted=value is None,
    )
    if old is not None and _same(old, entry):
        return old
    if old is None and entry.deleted:
        return replace(entry, version=0)
    records.put_user_context(entry)
    return entry


def _same(old: UserContextEntry, new: UserContextEntry) -> bool:
    if old.deleted and new.deleted:
        return True
    alike = replace(old, version=new.version, updated_at=new.updated_at)
    return _canonical(old.value) == _canonical(new.value) and replace(alike, value=new.value) == new


def _canonical(value: Json) -> str:
    return json.dumps(value, sort_keys=True)


def _by_name(values: Mapping[str, Any]) -> dict[str, Any]:
    """`values` by the one form of each key. Errors: Invalid when two keys are the same one."""
    kept = {named(key): value for key, value in values.items()}
    if len(kept) < len(values):
        raise Invalid("A key", "is given twice, in two ways to write it", "give it once")
    return kept


def _check_values(values: Mapping[str, Json]) -> None:
    if not values:
        raise Invalid("values", "is empty", "give at least one key with its value (null removes the key)")
    if len(values) > KEYS_AT_ONCE:
        raise Invalid("values", f"has {len(values)} keys", f"at most {KEYS_AT_ONCE} fit in one call; use several calls")
    for key, value in values.items():
        if not key or len(key) > KEY_LENGTH or not key.isprintable():
            allowed = f"a key has 1 to {KEY_LENGTH} printable characters"
            raise Invalid(f"The key {shown(key)}", "cannot be used", allowed)
        _check_value(key, value)


def _check_value(key: str, value: Json) -> None:
    try:
        size = len(json.dumps(value, ensure_ascii=False, allow_nan=False).encode("utf-8"))
    except (TypeError, ValueError, RecursionError) as error:
        allowed = "a value is anything JSON can say, without NaN, infinities or half a surrogate pair"
        raise Invalid(f"The value of {shown(key)}", "is not JSON", allowed) from error
    if size > VALUE_BYTES:
        allowed = f"at most {VALUE_BYTES} bytes are kept under one key; record longer text as a message instead"
        raise Invalid(f"The value of {shown(key)}", f"takes {size} bytes as JSON", allowed)


def _check_change(change: _Change) -> None:
    if change.category is not None:
        check_choice("category", change.category, Category)
    if change.expires_at is not None and change.expires_at <= change.now:
        raise Invalid("The expiry", "lies in the past", "give a time to come, or remove the key with null")
    check_choice("source", change.source, Source)
    confidence = change.confidence
    if confidence is not None and not (math.isfinite(confidence) and 0 <= confidence <= 1):
        raise Invalid("The confidence", f"is {confidence}", "give a number from 0 to 1")


def _check_versions(expected: Mapping[str, int], current: Mapping[str, UserContextEntry], now: datetime) -> None:
    for key, version in expected.items():
        entry = current.get(key)
        stored = entry.version if entry else 0
        gone = entry is not None and not is_live(entry, now)
        if version == stored or (gone and version == 0):
            continue
        raise Conflict(
            f"{shown(key)} is at version {stored}, not {version}: {_described(entry, now)}. Look at the current value, "
            "then try again with its version."
        )


def _described(entry: UserContextEntry | None, now: datetime) -> str:
    if entry is None:
        return "it has never been set"
    at = f"{minute(entry.updated_at)} UTC"
    if entry.deleted:
        return f"it was removed at {at}"
    ended = "" if is_live(entry, now) else ", which has expired"
    return f"its value is {json.dumps(entry.value, ensure_ascii=False)}, set at {at}{ended}"


def _check_inferred(keys: Iterable[str], current: Mapping[str, UserContextEntry], now: datetime) -> None:
    for key in keys:
        entry = current.get(key)
        if entry is None or entry.source != "stated" or (not entry.deleted and not is_live(entry, now)):
            continue
        raise Conflict(
            f"{shown(key)} was stated explicitly ({_described(entry, now)}), so an inferred value cannot replace it; "
            "ask the user, and store what they say as stated."
        )


def _check_room(
    records: Records, values: Mapping[str, Json], current: Mapping[str, UserContextEntry], change: _Change
) -> None:
    added = [k for k, v in values.items() if v is not None and not (k in current and is_live(current[k], change.now))]
    if not added:
        return
    live = sum(is_live(entry, change.now) for entry in records.user_context(change.project_id))
    if live + len(added) > KEYS_IN_FORCE:
        scope = "globally" if change.project_id is None else f"in the project {shown(change.project_id)}"
        allowed = f"at most {KEYS_IN_FORCE} may be; remove some with null first"
        raise Invalid(f"{live + len(added)} keys", f"would be in force {scope}", allowed)
