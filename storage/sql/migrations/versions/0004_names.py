"""Names in their one form: composed, without what nobody sees, without blanks and a project's slashes at their ends.

A name whose one form is taken already keeps the form that it has; nothing is merged and nothing is lost.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import sqlalchemy as sa
from alembic import op

from memory.model import Message, digest_of
from memory.names import named, project_named
from storage.sql.digests import add_digest
from storage.sql.types import Micros, SafeJson, SafeText

revision = "0004"
down_revision = "0003"

_Row = Mapping[Any, Any]
_OWNER = ("tenant_id", "user_id")
_MESSAGE = {
    **dict.fromkeys(("message_id", "session_id", "client_id", "project_id", "role", "content"), SafeText),
    **dict.fromkeys(("channel", "agent", "speaker", "tool_name", "tool_call_id", "intent", "status"), SafeText),
    **dict.fromkeys(("tool_arguments", "entities", "metadata"), SafeJson),
    **dict.fromkeys(("occurred_at", "recorded_at"), Micros),
    "seq": sa.BigInteger,
    "intent_confidence": sa.Float,
}


def _table(name: str, *texts: str, **others: Any) -> sa.TableClause:
    columns = [sa.column(text, SafeText) for text in (*_OWNER, *texts)]
    return sa.table(name, *columns, *(sa.column(column, kind) for column, kind in others.items()))


_sessions = _table("sessions", "session_id", "project_id", "external_id", "agent", "title", "message_digest")
_messages = _table("messages", "digest", **_MESSAGE)
_entries = [_table(name, "project_key", "key") for name in ("user_context", "user_context_history")]
_strategies = _table("memory_strategies", "level", "name")
_identities = _table("identities", "kind", "value")


def upgrade() -> None:
    db = op.get_bind()
    _sessions_named(db)
    forms: dict[str, Callable[[str], str]] = {"project_key": project_named, "key": named}
    _renamed(db, _entries, forms, sa.true())
    _renamed(db, [_strategies], {"name": named}, _strategies.c.level == "agent")
    _renamed(db, [_identities], {"value": named}, _identities.c.kind.in_(("voiceprint", "external", "call")))


def _sessions_named(db: sa.Connection) -> None:
    rows = [row._mapping for row in db.execute(sa.select(_sessions)).all()]
    taken = {(row["tenant_id"], row["user_id"], row["external_id"]) for row in rows}
    for row in rows:
        forms = {name: _form(name, row[name]) for name in ("project_id", "external_id", "agent", "title")}
        if (row["tenant_id"], row["user_id"], forms["external_id"]) in taken:
            forms["external_id"] = row["external_id"]
        changed = {name: form for name, form in forms.items() if form != row[name]}
        if not changed:
            continue
        taken.add((row["tenant_id"], row["user_id"], forms["external_id"]))
        if "project_id" in changed:
            digest = _messages_moved(db, row, str(forms["project_id"]))
            changed |= {"message_digest": digest} if row["message_digest"] else {}
        db.execute(_sessions.update().where(*_same(_sessions, row, (*_OWNER, "session_id"))).values(changed))


def _messages_moved(db: sa.Connection, session: _Row, project_id: str) -> str:
    """The digest of the session once its messages are the project's."""
    total = add_digest("", [])
    own = (*_OWNER, "session_id")
    query = sa.select(_messages).where(*_same(_messages, session, own)).order_by(_messages.c.seq)
    for row in db.execute(query).mappings().all():
        told = {name: row[name] for name in _MESSAGE}
        digest = digest_of(Message(**{**told, "project_id": project_id}))
        where = _same(_messages, row, (*own, "seq"))
        db.execute(_messages.update().where(*where).values(project_id=project_id, digest=digest))
        total = add_digest(total, [digest])
    return total


def _renamed(
    db: sa.Connection, tables: Iterable[sa.TableClause], forms: Mapping[str, Callable[[str], str]], which: Any
) -> None:
    """Names that are part of a key, in all `tables` alike."""
    tables = list(tables)
    key = [column.name for column in tables[0].c]
    rows = {tuple(row) for table in tables for row in db.execute(sa.select(table).distinct().where(which)).all()}
    for old in sorted(rows):
        row = dict(zip(key, old, strict=True))
        changed = {name: form(row[name]) or row[name] for name, form in forms.items()}
        if changed == {name: row[name] for name in forms} or tuple({**row, **changed}.values()) in rows:
            continue
        rows.add(tuple({**row, **changed}.values()))
        for table in tables:
            db.execute(table.update().where(*_same(table, row, key)).values(changed))


def _form(name: str, value: str | None) -> str | None:
    if value is None:
        return None
    return (project_named(value) if name == "project_id" else named(value)) or value


def _same(table: sa.TableClause, row: _Row, names: Iterable[str]) -> list[Any]:
    return [table.c[name] == row[name] for name in names]
