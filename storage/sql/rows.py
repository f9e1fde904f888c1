"""Rows to memory's values and back."""

from collections.abc import Sequence
from dataclasses import asdict, fields
from datetime import datetime
from typing import Any

from sqlalchemy import Table

from memory.model import (
    Change,
    Commitment,
    Fact,
    Message,
    Owner,
    Position,
    Session,
    Strategy,
    Summary,
    SummaryDraft,
    UserContextEntry,
)
from storage.sql.tables import GLOBAL
from storage.sql.types import from_micros, to_micros

MESSAGE_FIELDS = [f.name for f in fields(Message)]
_MOMENTS = {f.name for f in fields(Message) if f.type is datetime}
SESSION_FIELDS = [f.name for f in fields(Session)]
SUMMARY_FIELDS = [f.name for f in fields(Summary)]
ENTRY_FIELDS = [f.name for f in fields(UserContextEntry) if f.name != "project_id"]


def columns_of(table: Table, names: list[str]) -> list[Any]:
    return [table.c[name] for name in names]


def owner_values(owner: Owner) -> dict[str, str]:
    return {"tenant_id": owner.tenant_id, "user_id": owner.user_id}


def to_message(row: Sequence[Any]) -> Message:
    """From a row of exactly MESSAGE_FIELDS, in that order."""
    return Message(*row)


def message_values(message: Message) -> dict[str, Any]:
    return {name: getattr(message, name) for name in MESSAGE_FIELDS}


def to_session(row: Sequence[Any]) -> Session:
    """From a row of exactly SESSION_FIELDS, in that order."""
    return Session(*row)


def to_document(message: Message) -> dict[str, Any]:
    """All of a message as JSON, for its history."""
    return {name: to_micros(v) if isinstance(v, datetime) else v for name, v in message_values(message).items()}


def from_document(document: dict[str, Any]) -> Message:
    values: dict[str, Any] = {name: from_micros(v) if name in _MOMENTS else v for name, v in document.items()}
    return Message(**values)


def session_values(session: Session) -> dict[str, Any]:
    return {name: getattr(session, name) for name in SESSION_FIELDS}


CHANGE_FIELDS = ["xid", "change_id", "kind", "tenant_id", "user_id", "session_id", "message_id", "changed_at"]


def to_change(row: Sequence[Any]) -> Change:
    """From a row of exactly CHANGE_FIELDS, in that order."""
    xid, change_id, kind, tenant_id, user_id, session_id, message_id, changed_at = row
    return Change(Position(xid, change_id), kind, Owner(tenant_id, user_id), session_id, message_id, changed_at)


def draft_values(draft: SummaryDraft) -> dict[str, Any]:
    return asdict(draft)


def to_draft(values: dict[str, Any]) -> SummaryDraft:
    facts = {name: tuple(Fact(**f) for f in values[name]) for name in ("decisions", "open_questions", "facts")}
    return SummaryDraft(
        text=values["text"],
        commitments=tuple(Commitment(**c) for c in values["commitments"]),
        entities=tuple(values["entities"]),
        **facts,
    )


def to_summary(row: Sequence[Any]) -> Summary:
    """From a row of exactly SUMMARY_FIELDS, in that order."""
    session_id, version, draft, *rest = row
    return Summary(session_id, version, to_draft(draft), *rest)


def to_entry(row: Sequence[Any]) -> UserContextEntry:
    """From a row of exactly the entry's own fields and its project's key, in that order."""
    values = dict(zip(ENTRY_FIELDS, row, strict=False))
    return UserContextEntry(project_id=None if row[-1] == GLOBAL else row[-1], **values)


def entry_values(entry: UserContextEntry) -> dict[str, Any]:
    values = {name: getattr(entry, name) for name in ENTRY_FIELDS}
    return {**values, "project_key": project_key(entry.project_id)}


def project_key(project_id: str | None) -> str:
    return GLOBAL if project_id is None else project_id


def to_strategy(values: dict[str, Any]) -> Strategy:
    return Strategy(**values)
