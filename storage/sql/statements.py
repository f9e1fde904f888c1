"""The statements of the hot path, built once: building one costs more than running it.

Every one of them takes the owner as `owner_tenant` and `owner_user`.
"""

from typing import Any

from sqlalchemy import ColumnElement, Select, Table, and_, bindparam, literal_column, select, update
from sqlalchemy.dialects import postgresql, sqlite

from memory.model import Owner
from storage.sql.rows import SESSION_FIELDS, columns_of
from storage.sql.tables import changes, owners, sessions


def owner_parameters(owner: Owner) -> dict[str, str]:
    return {"owner_tenant": owner.tenant_id, "owner_user": owner.user_id}


def owned(table: Table) -> ColumnElement[bool]:
    return and_(table.c.tenant_id == bindparam("owner_tenant"), table.c.user_id == bindparam("owner_user"))


def one_session(*conditions: ColumnElement[bool]) -> Select[Any]:
    return select(*columns_of(sessions, SESSION_FIELDS)).where(owned(sessions), *conditions).limit(1)


def open_session(*conditions: ColumnElement[bool]) -> Select[Any]:
    return one_session(sessions.c.archived_at.is_(None), *conditions).order_by(
        sessions.c.last_activity_at.desc(), sessions.c.session_id.desc()
    )


SESSION_BY_ID = one_session(sessions.c.session_id == bindparam("wanted"))
SESSION_BY_EXTERNAL_ID = one_session(sessions.c.external_id == bindparam("wanted"))
OPEN_GLOBAL_SESSION = open_session(sessions.c.project_id.is_(None))
OPEN_PROJECT_SESSION = open_session(sessions.c.project_id == bindparam("wanted"))
LATEST_ARCHIVED_SESSION = one_session(sessions.c.archived_at.is_not(None)).order_by(
    sessions.c.archived_at.desc(), sessions.c.last_activity_at.desc(), sessions.c.session_id.desc()
)

CHANGING = ("title", "last_activity_at", "archived_at", "message_count", "last_seq", "message_digest")
UPDATE_SESSION = (
    update(sessions)
    .where(owned(sessions), sessions.c.session_id == bindparam("wanted"))
    .values({name: bindparam(f"new_{name}") for name in CHANGING})
)


def count_revision(insert: Any) -> Any:
    first = insert(owners).values(tenant_id=bindparam("owner_tenant"), user_id=bindparam("owner_user"), revision=1)
    return first.on_conflict_do_update(
        index_elements=["tenant_id", "user_id"], set_={"revision": owners.c.revision + 1}
    )


COUNT_REVISION = {"sqlite": count_revision(sqlite.insert), "postgresql": count_revision(postgresql.insert)}

# A change carries its transaction's id, or 0 where ids commit in order.
INSERT_CHANGE = {
    "sqlite": changes.insert().values(xid=literal_column("0")),
    "postgresql": changes.insert().values(xid=literal_column("pg_current_xact_id()::text::bigint")),
}
