"""Restoring: sessions, summaries and user context that an export holds, where they are not known yet."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from memory.errors import Conflict, shown
from memory.model import Json, Owner, Session, Summary, UserContextEntry
from memory.names import named
from memory.ports import Clock, Records, RecordStore
from memory.record.sessions import Target, check_target, new_session
from memory.record.validation import check_json, check_project


def restore_session(
    store: RecordStore,
    owner: Owner,
    target: Target,
    *,
    started_at: datetime | None = None,
    metadata: Mapping[str, Json] | None = None,
    clock: Clock,
) -> Session:
    """The session that `target` names by its id or the outside's name; else a new, archived one under that very id.

    Errors: Invalid, Conflict when it exists in another project, StorageFailed.
    """
    check_target(target)
    check_json("metadata", metadata and dict(metadata))
    with store.read(owner) as db:
        found = _already_here(db, target)
    if found is None:
        with store.write(owner) as writable:
            found = _already_here(writable, target)
            if found is None:
                session = new_session(replace(target, historical=True), clock(), started_at)
                found = replace(session, session_id=target.session_id or session.session_id, metadata=metadata)
                writable.add_session(found)
    if target.project_id is not None and found.project_id != target.project_id:
        place = f"project {shown(found.project_id)}" if found.project_id else "no project"
        raise Conflict(
            f"Session {shown(found.session_id)} is already here and belongs to {place}, not to project "
            f"{shown(target.project_id)}; import it without naming a project."
        )
    return found


def _already_here(db: Records, target: Target) -> Session | None:
    found = db.session(target.session_id) if target.session_id is not None else None
    if found is None and target.external_id is not None:
        found = db.session_by_external_id(target.external_id)
    return found


def restore_summary(store: RecordStore, owner: Owner, summary: Summary) -> bool:
    """Adds a version newer than those that the session has; whether it did. It covers no message that is not there."""
    with store.write(owner) as db:
        latest = db.latest_summary(summary.session_id)
        session = db.session(summary.session_id)
        if session is None or (latest is not None and latest.version >= summary.version):
            return False
        db.add_summary(replace(summary, covers_to_seq=min(summary.covers_to_seq, session.last_seq)))
        return True


def restore_user_context(store: RecordStore, owner: Owner, entry: UserContextEntry) -> bool:
    """Adds a key that its scope has never had; whether it did. What is known is not overwritten."""
    check_json("value", entry.value)
    entry = replace(entry, key=named(entry.key), project_id=check_project(entry.project_id))
    with store.write(owner) as db:
        if db.user_context(entry.project_id, [entry.key]):
            return False
        db.put_user_context(replace(entry, version=1))
        return True
