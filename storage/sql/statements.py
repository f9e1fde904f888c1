"""The statements of the hot path, built once: building one costs more than running it.

Every one of them takes the owner as `owner_tenant` and `owner_user`.
"""

from typing import Any

from sqlalchemy import (
    ColumnElement,
    FromClause,
    Integer,
    Select,
    Table,
    TextualSelect,
    and_,
    bindparam,
    exists,
    func,
    literal_column,
    select,
    text,
    true,
    tuple_,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from memory.model import Owner
from storage.sql.rows import (
    CHANGE_FIELDS,
    ENTRY_FIELDS,
    MESSAGE_FIELDS,
    SESSION_FIELDS,
    SUMMARY_FIELDS,
    columns_of,
)
from storage.sql.tables import (
    changes,
    memory_strategies,
    message_revisions,
    messages,
    owners,
    sessions,
    summaries,
    user_context,
    user_context_history,
)
from storage.sql.types import SafeJson, SafeText


def owner_parameters(owner: Owner) -> dict[str, str]:
    return {"owner_tenant": owner.tenant_id, "owner_user": owner.user_id}


def _owned(table: FromClause) -> ColumnElement[bool]:
    return and_(table.c.tenant_id == bindparam("owner_tenant"), table.c.user_id == bindparam("owner_user"))


def _any_of(column: ColumnElement[str]) -> ColumnElement[bool]:
    return column.in_(bindparam("wanted", expanding=True, type_=SafeText()))


# Sessions


def _one_session(*conditions: ColumnElement[bool]) -> Select[Any]:
    return select(*columns_of(sessions, SESSION_FIELDS)).where(_owned(sessions), *conditions).limit(1)


def open_session(*conditions: ColumnElement[bool]) -> Select[Any]:
    return _one_session(sessions.c.archived_at.is_(None), *conditions).order_by(
        sessions.c.last_activity_at.desc(), sessions.c.session_id.desc()
    )


SESSION_BY_ID = _one_session(sessions.c.session_id == bindparam("wanted"))
SESSION_BY_EXTERNAL_ID = _one_session(sessions.c.external_id == bindparam("wanted"))
OPEN_GLOBAL_SESSION = open_session(sessions.c.project_id.is_(None))
OPEN_PROJECT_SESSION = open_session(sessions.c.project_id == bindparam("wanted"))
LATEST_ARCHIVED_SESSION = _one_session(sessions.c.archived_at.is_not(None)).order_by(
    sessions.c.archived_at.desc(), sessions.c.last_activity_at.desc(), sessions.c.session_id.desc()
)
MESSAGE_COUNT = select(func.coalesce(func.sum(sessions.c.message_count), 0)).where(_owned(sessions))

CHANGING = ("title", "last_activity_at", "archived_at", "message_count", "last_seq", "message_digest")
UPDATE_SESSION = (
    update(sessions)
    .where(_owned(sessions), sessions.c.session_id == bindparam("wanted"))
    .values({name: bindparam(f"new_{name}") for name in CHANGING})
)
SUMMARY_DUE = select(sessions.c.summary_due).where(_owned(sessions), sessions.c.session_id == bindparam("wanted"))
OWE_SUMMARY = (
    update(sessions)
    .where(_owned(sessions), sessions.c.session_id == bindparam("of_session"))
    .values(summary_due=bindparam("due"))
)
PAY_SUMMARY = (
    update(sessions)
    .where(
        _owned(sessions),
        sessions.c.session_id == bindparam("of_session"),
        sessions.c.summary_due <= bindparam("covers"),
    )
    .values(summary_due=None)
)
SUMMARIES_OWED = (
    select(sessions.c.tenant_id, sessions.c.user_id, sessions.c.session_id)
    .where(sessions.c.summary_due.is_not(None))
    .order_by(sessions.c.tenant_id, sessions.c.user_id, sessions.c.session_id)
    .limit(bindparam("most", type_=Integer()))
)
REVISIONS_OF_SESSION = select(sessions.c.revision_count, sessions.c.revision_digest).where(
    _owned(sessions), sessions.c.session_id == bindparam("wanted")
)
UPDATE_REVISIONS_OF_SESSION = (
    update(sessions)
    .where(_owned(sessions), sessions.c.session_id == bindparam("wanted"))
    .values(revision_count=bindparam("new_count"), revision_digest=bindparam("new_digest"))
)

# Messages

MESSAGES = select(*columns_of(messages, MESSAGE_FIELDS)).where(_owned(messages))
MESSAGES_BY_ID = MESSAGES.where(_any_of(messages.c.message_id))
_BY_CLIENT_ID = MESSAGES.where(_any_of(messages.c.client_id))
BY_CLIENT_ID_IN_SESSION = _BY_CLIENT_ID.where(messages.c.session_id == bindparam("place"))
BY_CLIENT_ID_IN_GLOBAL = _BY_CLIENT_ID.where(messages.c.project_id.is_(None))
BY_CLIENT_ID_IN_PROJECT = _BY_CLIENT_ID.where(messages.c.project_id == bindparam("place"))
_STRETCH = MESSAGES.where(
    messages.c.session_id == bindparam("place"), messages.c.seq.between(bindparam("first"), bindparam("last"))
)
TRANSCRIPT = _STRETCH.order_by(messages.c.seq)
TRANSCRIPT_END = _STRETCH.order_by(messages.c.seq.desc()).limit(bindparam("most", type_=Integer()))
TRANSCRIPT_START = TRANSCRIPT.limit(bindparam("most", type_=Integer()))


def _windows(source: str, session_id: str, first: str, last: str) -> TextualSelect:
    """All stretches in one statement: each would cost a journey to the server. SQLite joins crosswise in this order."""
    columns = columns_of(messages, MESSAGE_FIELDS)
    statement = text(
        f"SELECT {', '.join(f'messages.{name}' for name in MESSAGE_FIELDS)} FROM {source} AS span CROSS JOIN messages "  # noqa: S608 (constants)
        f"WHERE tenant_id = :owner_tenant AND user_id = :owner_user AND session_id = {session_id} "
        f"AND seq BETWEEN {first} AND {last} ORDER BY session_id, seq"
    )
    owner = (bindparam(name, type_=SafeText()) for name in ("owner_tenant", "owner_user"))
    return statement.bindparams(*owner, bindparam("spans", type_=SafeJson())).columns(*columns)


WINDOWS = {
    "sqlite": _windows("json_each(:spans)", *(f"json_extract(span.value, '$[{n}]')" for n in range(3))),
    "postgresql": _windows(
        "jsonb_array_elements(CAST(:spans AS jsonb))",
        *("span.value ->> 0", "CAST(span.value ->> 1 AS bigint)", "CAST(span.value ->> 2 AS bigint)"),
    ),
}
INSERT_MESSAGE = messages.insert()
REVISIONS_OF_MESSAGES = (
    select(message_revisions.c.message_id, message_revisions.c.document)
    .where(_owned(message_revisions), _any_of(message_revisions.c.message_id))
    .order_by(message_revisions.c.message_id, message_revisions.c.revision)
)


def _speakers() -> Any:
    """Distinct names by jumping from one to the next in the index: as fast as there are few, however much they said."""
    said = _owned(messages) & messages.c.speaker.is_not(None)
    names = select(func.min(messages.c.speaker).label("name")).where(said).cte("names", recursive=True)
    following = select(func.min(messages.c.speaker)).where(said, messages.c.speaker > names.c.name)
    return names.union_all(select(following.scalar_subquery()).where(names.c.name.is_not(None)))


def _participants(in_project: bool) -> Select[Any]:
    names = _speakers()
    query = select(names.c.name).where(names.c.name.is_not(None))
    if in_project:
        here = messages.c.project_id == bindparam("place")
        query = query.where(exists().where(_owned(messages), messages.c.speaker == names.c.name, here))
    return query


PARTICIPANTS = _participants(in_project=False)
PARTICIPANTS_OF_PROJECT = _participants(in_project=True)

# What is known besides the messages

_SUMMARIES = select(*columns_of(summaries, SUMMARY_FIELDS)).where(
    _owned(summaries), summaries.c.session_id == bindparam("wanted")
)
SUMMARIES_IN_ORDER = _SUMMARIES.order_by(summaries.c.version)
LATEST_SUMMARY = _SUMMARIES.order_by(summaries.c.version.desc()).limit(1)


def _latest_summaries() -> Select[Any]:
    """The newest version of each of the sessions that were active last: walked from the newest session on, so the
    number of sessions does not matter."""
    versions = summaries.alias()
    newest = (
        select(func.max(versions.c.version))
        .where(_owned(versions), versions.c.session_id == sessions.c.session_id)
        .correlate(sessions)
        .scalar_subquery()
    )
    same = _owned(summaries) & (summaries.c.session_id == sessions.c.session_id) & (summaries.c.version == newest)
    return (
        select(*columns_of(sessions, SESSION_FIELDS), *columns_of(summaries, SUMMARY_FIELDS))
        .select_from(sessions)
        .join(summaries, same)
        .where(_owned(sessions))
        .order_by(sessions.c.last_activity_at.desc(), sessions.c.session_id.desc())
        .limit(bindparam("most", type_=Integer()))
    )


LATEST_SUMMARIES = _latest_summaries()


def _entries(table: Table) -> Select[Any]:
    return select(*columns_of(table, [*ENTRY_FIELDS, "project_key"])).where(
        _owned(table), table.c.project_key == bindparam("place")
    )


USER_CONTEXT = _entries(user_context)
USER_CONTEXT_BY_KEY = USER_CONTEXT.where(_any_of(user_context.c.key))
USER_CONTEXT_HISTORY = _entries(user_context_history)
USER_CONTEXT_HISTORY_BY_KEY = USER_CONTEXT_HISTORY.where(_any_of(user_context_history.c.key))
STRATEGY = select(memory_strategies.c.strategy).where(
    _owned(memory_strategies),
    memory_strategies.c.level == bindparam("level"),
    memory_strategies.c.name == bindparam("wanted"),
)

# The feed

_position = tuple_(changes.c.xid, changes.c.change_id)


def _bound(prefix: str) -> Any:
    kinds = {"xid": changes.c.xid.type, "change_id": changes.c.change_id.type}
    return tuple_(*(bindparam(prefix + name, type_=kind) for name, kind in kinds.items()))


# SQLite, where every xid is 0, cannot seek to a pair whose second half is the row's own number: it would read the
# whole feed. So it is told that the first half is known.
_AFTER = {
    "sqlite": (changes.c.xid == literal_column("0")) & (changes.c.change_id > bindparam("change_id")),
    "postgresql": _position > _bound(""),
}
_BEFORE = {
    "sqlite": changes.c.change_id < bindparam("end_change_id"),
    "postgresql": _position < _bound("end_"),
}
_MOST = bindparam("most", type_=Integer())

# Of PostgreSQL's transactions: the present one, the oldest that is open, the first that has not begun.
_BASE = "(SELECT base FROM feed_origin)"
_CURRENT: ColumnElement[int] = literal_column(f"pg_current_xact_id()::text::bigint + {_BASE}")
_OLDEST_OPEN: ColumnElement[int] = literal_column(f"pg_snapshot_xmin(pg_current_snapshot())::text::bigint + {_BASE}")
_NOT_BEGUN: ColumnElement[int] = literal_column(f"pg_snapshot_xmax(pg_current_snapshot())::text::bigint + {_BASE}")

# True for changes that no open transaction can still precede.
_SETTLED: dict[str, Any] = {"sqlite": true(), "postgresql": changes.c.xid < _OLDEST_OPEN}
FEED = {
    name: select(*columns_of(changes, CHANGE_FIELDS))
    .where(_AFTER[name], settled)
    .order_by(changes.c.xid, changes.c.change_id)
    .limit(_MOST)
    for name, settled in _SETTLED.items()
}
OWNER_FEED = {name: query.where(_owned(changes)) for name, query in FEED.items()}
HEAD = {
    name: select(changes.c.xid, changes.c.change_id)
    .where(settled)
    .order_by(changes.c.xid.desc(), changes.c.change_id.desc())
    .limit(1)
    for name, settled in _SETTLED.items()
}
CHANGED_MESSAGES = {
    name: select(changes.c.xid, changes.c.change_id, *columns_of(messages, MESSAGE_FIELDS))
    .join(
        messages,
        and_(
            messages.c.tenant_id == changes.c.tenant_id,
            messages.c.user_id == changes.c.user_id,
            messages.c.message_id == changes.c.message_id,
        ),
    )
    .where(_owned(changes), _AFTER[name], _BEFORE[name])
    .order_by(changes.c.xid.desc(), changes.c.change_id.desc())
    .limit(_MOST)
    for name in _SETTLED
}
# A change carries its transaction's id, or 0 where ids commit in order.
INSERT_CHANGE = {
    "sqlite": changes.insert().inline().values(xid=literal_column("0")),
    "postgresql": changes.insert().inline().values(xid=_CURRENT),
}

# The last transaction in the feed where it cannot be this server's, else null.
_LAST = select(changes.c.xid).order_by(changes.c.xid.desc()).limit(1).subquery()
FOREIGN_END = select(_LAST.c.xid).where(_LAST.c.xid >= _NOT_BEGUN)

# Revisions


def _count_revision(insert: Any) -> Any:
    first = insert(owners).values(tenant_id=bindparam("owner_tenant"), user_id=bindparam("owner_user"), revision=1)
    return first.on_conflict_do_update(
        index_elements=["tenant_id", "user_id"], set_={"revision": owners.c.revision + 1}
    )


COUNT_REVISION = {"sqlite": _count_revision(sqlite.insert), "postgresql": _count_revision(postgresql.insert)}
REVISION = select(owners.c.revision).where(_owned(owners))
