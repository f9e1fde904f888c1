"""The first tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

# By code point, so that PostgreSQL orders and compares as SQLite and Python do, whatever the server's locale.
TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def partial_index(name: str, table: str, columns: list[str], where: str, unique: bool = False) -> None:
    only = sa.text(where)
    op.create_index(name, table, columns, unique=unique, sqlite_where=only, postgresql_where=only)


def upgrade() -> None:
    op.create_table(
        "changes",
        sa.Column(
            "change_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("xid", sa.BigInteger(), nullable=False),
        sa.Column("tenant_id", TEXT, nullable=False),
        sa.Column("user_id", TEXT, nullable=False),
        sa.Column("kind", TEXT, nullable=False),
        sa.Column("session_id", TEXT, nullable=False),
        sa.Column("message_id", TEXT, nullable=False),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("change_id"),
        sqlite_autoincrement=True,
    )
    op.create_index("changes_in_order", "changes", ["xid", "change_id"], unique=False)
    op.create_index("changes_of_owner", "changes", ["tenant_id", "user_id", "xid", "change_id"], unique=False)
    origin = op.create_table(
        "feed_origin",
        sa.Column("only", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("base", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("only"),
    )
    op.bulk_insert(origin, [{"only": 1, "base": 0}])
    op.create_table(
        "index_replicas",
        sa.Column("replica", TEXT, nullable=False),
        sa.Column("xid", sa.BigInteger(), nullable=False),
        sa.Column("change_id", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("replica"),
    )
    op.create_table(
        "memory_strategies",
        sa.Column("tenant_id", TEXT, nullable=False),
        sa.Column("user_id", TEXT, nullable=False),
        sa.Column("level", TEXT, nullable=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("strategy", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "user_id", "level", "name"),
    )
    op.create_table(
        "message_revisions",
        sa.Column("tenant_id", TEXT, nullable=False),
        sa.Column("user_id", TEXT, nullable=False),
        sa.Column("message_id", TEXT, nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("replaced_at", sa.BigInteger(), nullable=False),
        sa.Column("document", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "user_id", "message_id", "revision"),
    )
    op.create_table(
        "owners",
        sa.Column("tenant_id", TEXT, nullable=False),
        sa.Column("user_id", TEXT, nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "user_id"),
    )
    op.create_table(
        "sessions",
        sa.Column("tenant_id", TEXT, nullable=False),
        sa.Column("user_id", TEXT, nullable=False),
        sa.Column("session_id", TEXT, nullable=False),
        sa.Column("project_id", TEXT, nullable=True),
        sa.Column("title", TEXT, nullable=True),
        sa.Column("channel", TEXT, nullable=True),
        sa.Column("agent", TEXT, nullable=True),
        sa.Column("external_id", TEXT, nullable=True),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.Column("last_activity_at", sa.BigInteger(), nullable=False),
        sa.Column("archived_at", sa.BigInteger(), nullable=True),
        sa.Column("message_count", sa.BigInteger(), nullable=False),
        sa.Column("last_seq", sa.BigInteger(), nullable=False),
        sa.Column("message_digest", TEXT, nullable=False),
        sa.Column("metadata", TEXT, nullable=True),
        sa.Column("revision_count", sa.BigInteger(), nullable=False),
        sa.Column("revision_digest", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "user_id", "session_id"),
        sa.UniqueConstraint("tenant_id", "user_id", "external_id"),
    )
    op.create_index(
        "sessions_by_activity", "sessions", ["tenant_id", "user_id", "last_activity_at", "session_id"], unique=False
    )
    partial_index(
        "sessions_open",
        "sessions",
        ["tenant_id", "user_id", "project_id", "last_activity_at", "session_id"],
        "archived_at IS NULL",
    )
    partial_index("sessions_archived", "sessions", ["tenant_id", "user_id", "archived_at"], "archived_at IS NOT NULL")
    op.create_table(
        "user_context",
        sa.Column("tenant_id", TEXT, nullable=False),
        sa.Column("user_id", TEXT, nullable=False),
        sa.Column("project_key", TEXT, nullable=False),
        sa.Column("key", TEXT, nullable=False),
        sa.Column("value", TEXT, nullable=True),
        sa.Column("category", TEXT, nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=True),
        sa.Column("source_message_id", TEXT, nullable=True),
        sa.Column("source", TEXT, nullable=False),
        sa.Column("confidence", sa.Float(), nullable=True),
        sa.Column("deleted", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "user_id", "project_key", "key"),
    )
    op.create_table(
        "user_context_history",
        sa.Column("tenant_id", TEXT, nullable=False),
        sa.Column("user_id", TEXT, nullable=False),
        sa.Column("project_key", TEXT, nullable=False),
        sa.Column("key", TEXT, nullable=False),
        sa.Column("value", TEXT, nullable=True),
        sa.Column("category", TEXT, nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=True),
        sa.Column("source_message_id", TEXT, nullable=True),
        sa.Column("source", TEXT, nullable=False),
        sa.Column("confidence", sa.Float(), nullable=True),
        sa.Column("deleted", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "user_id", "project_key", "key", "version"),
    )
    op.create_table(
        "messages",
        sa.Column("tenant_id", TEXT, nullable=False),
        sa.Column("user_id", TEXT, nullable=False),
        sa.Column("message_id", TEXT, nullable=False),
        sa.Column("session_id", TEXT, nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("client_id", TEXT, nullable=True),
        sa.Column("project_id", TEXT, nullable=True),
        sa.Column("role", TEXT, nullable=False),
        sa.Column("content", TEXT, nullable=False),
        sa.Column("occurred_at", sa.BigInteger(), nullable=False),
        sa.Column("recorded_at", sa.BigInteger(), nullable=False),
        sa.Column("channel", TEXT, nullable=True),
        sa.Column("agent", TEXT, nullable=True),
        sa.Column("speaker", TEXT, nullable=True),
        sa.Column("tool_name", TEXT, nullable=True),
        sa.Column("tool_call_id", TEXT, nullable=True),
        sa.Column("tool_arguments", TEXT, nullable=True),
        sa.Column("intent", TEXT, nullable=True),
        sa.Column("intent_confidence", sa.Float(), nullable=True),
        sa.Column("entities", TEXT, nullable=True),
        sa.Column("metadata", TEXT, nullable=True),
        sa.Column("status", TEXT, nullable=False),
        sa.Column("digest", TEXT, nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "user_id", "session_id"],
            ["sessions.tenant_id", "sessions.user_id", "sessions.session_id"],
        ),
        sa.PrimaryKeyConstraint("tenant_id", "user_id", "message_id"),
        sa.UniqueConstraint("tenant_id", "user_id", "session_id", "seq"),
    )
    op.create_index("messages_by_time", "messages", ["tenant_id", "user_id", "occurred_at"], unique=False)
    partial_index(
        "messages_by_client_id",
        "messages",
        ["tenant_id", "user_id", "client_id", "session_id"],
        "client_id IS NOT NULL",
        unique=True,
    )
    partial_index(
        "messages_by_speaker", "messages", ["tenant_id", "user_id", "speaker", "project_id"], "speaker IS NOT NULL"
    )
    op.create_table(
        "summaries",
        sa.Column("tenant_id", TEXT, nullable=False),
        sa.Column("user_id", TEXT, nullable=False),
        sa.Column("session_id", TEXT, nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("draft", TEXT, nullable=False),
        sa.Column("covers_to_seq", sa.BigInteger(), nullable=False),
        sa.Column("producer", TEXT, nullable=False),
        sa.Column("note", TEXT, nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "user_id", "session_id"],
            ["sessions.tenant_id", "sessions.user_id", "sessions.session_id"],
        ),
        sa.PrimaryKeyConstraint("tenant_id", "user_id", "session_id", "version"),
    )
