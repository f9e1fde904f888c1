"""The tables. Every row that belongs to someone carries `tenant_id` and `user_id`."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    UniqueConstraint,
)

from storage.sql.types import Micros, SafeJson, SafeText

metadata = MetaData()

# The global scope's name in keys, where NULL would defeat uniqueness; a project's id is never empty.
GLOBAL = ""


def _owner_columns() -> tuple[Column[str], Column[str]]:
    return Column("tenant_id", SafeText, nullable=False), Column("user_id", SafeText, nullable=False)


owners = Table(
    "owners",
    metadata,
    *_owner_columns(),
    Column("revision", BigInteger, nullable=False),
    PrimaryKeyConstraint("tenant_id", "user_id"),
)

sessions = Table(
    "sessions",
    metadata,
    *_owner_columns(),
    Column("session_id", SafeText, nullable=False),
    Column("project_id", SafeText),
    Column("title", SafeText),
    Column("channel", SafeText),
    Column("agent", SafeText),
    Column("external_id", SafeText),
    Column("started_at", Micros, nullable=False),
    Column("last_activity_at", Micros, nullable=False),
    Column("archived_at", Micros),
    Column("message_count", BigInteger, nullable=False),
    Column("last_seq", BigInteger, nullable=False),
    Column("message_digest", SafeText, nullable=False),
    Column("metadata", SafeJson),
    Column("revision_count", BigInteger, nullable=False, default=0),
    Column("revision_digest", SafeText, nullable=False, default=""),
    Column("summary_due", BigInteger),
    PrimaryKeyConstraint("tenant_id", "user_id", "session_id"),
    UniqueConstraint("tenant_id", "user_id", "external_id"),
    Index("sessions_by_activity", "tenant_id", "user_id", "last_activity_at", "session_id"),
)

# What a new turn looks for: however many archived sessions there are, it is the first row here.
_only_open = sessions.c.archived_at.is_(None)
Index(
    "sessions_open",
    *(sessions.c[name] for name in ("tenant_id", "user_id", "project_id", "last_activity_at", "session_id")),
    sqlite_where=_only_open,
    postgresql_where=_only_open,
)
_only_archived = sessions.c.archived_at.is_not(None)
Index(
    "sessions_archived",
    *(sessions.c[name] for name in ("tenant_id", "user_id", "archived_at")),
    sqlite_where=_only_archived,
    postgresql_where=_only_archived,
)
_only_owing = sessions.c.summary_due.is_not(None)
Index(
    "sessions_owing_a_summary",
    *(sessions.c[name] for name in ("tenant_id", "user_id", "session_id")),
    sqlite_where=_only_owing,
    postgresql_where=_only_owing,
)

messages = Table(
    "messages",
    metadata,
    *_owner_columns(),
    Column("message_id", SafeText, nullable=False),
    Column("session_id", SafeText, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("client_id", SafeText),
    Column("project_id", SafeText),
    Column("role", SafeText, nullable=False),
    Column("content", SafeText, nullable=False),
    Column("occurred_at", Micros, nullable=False),
    Column("recorded_at", Micros, nullable=False),
    Column("channel", SafeText),
    Column("agent", SafeText),
    Column("speaker", SafeText),
    Column("tool_name", SafeText),
    Column("tool_call_id", SafeText),
    Column("tool_arguments", SafeJson),
    Column("intent", SafeText),
    Column("intent_confidence", Float),
    Column("entities", SafeJson),
    Column("metadata", SafeJson),
    Column("status", SafeText, nullable=False),
    Column("digest", SafeText, nullable=False),
    PrimaryKeyConstraint("tenant_id", "user_id", "message_id"),
    UniqueConstraint("tenant_id", "user_id", "session_id", "seq"),
    ForeignKeyConstraint(
        ["tenant_id", "user_id", "session_id"], ["sessions.tenant_id", "sessions.user_id", "sessions.session_id"]
    ),
    Index("messages_by_time", "tenant_id", "user_id", "occurred_at"),
)

# Partial: most chats have neither, and then pay nothing for them.
_with_client_id = messages.c.client_id.is_not(None)
Index(
    "messages_by_client_id",
    *(messages.c[name] for name in ("tenant_id", "user_id", "client_id", "session_id")),
    unique=True,
    sqlite_where=_with_client_id,
    postgresql_where=_with_client_id,
)
_with_speaker = messages.c.speaker.is_not(None)
Index(
    "messages_by_speaker",
    *(messages.c[name] for name in ("tenant_id", "user_id", "speaker", "project_id")),
    sqlite_where=_with_speaker,
    postgresql_where=_with_speaker,
)

message_revisions = Table(
    "message_revisions",
    metadata,
    *_owner_columns(),
    Column("message_id", SafeText, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("replaced_at", Micros, nullable=False),
    Column("document", SafeJson, nullable=False),
    PrimaryKeyConstraint("tenant_id", "user_id", "message_id", "revision"),
)

# SQLite makes rowids of INTEGER alone; autoincrement keeps an id from being used again.
_CHANGE_ID = BigInteger().with_variant(Integer, "sqlite")

changes = Table(
    "changes",
    metadata,
    Column("change_id", _CHANGE_ID, primary_key=True, autoincrement=True),
    Column("xid", BigInteger, nullable=False),
    *_owner_columns(),
    Column("kind", SafeText, nullable=False),
    Column("session_id", SafeText, nullable=False),
    Column("message_id", SafeText, nullable=False),
    Column("changed_at", Micros, nullable=False),
    Index("changes_in_order", "xid", "change_id"),
    Index("changes_of_owner", "tenant_id", "user_id", "xid", "change_id"),
    sqlite_autoincrement=True,
)

# For PostgreSQL alone: what is added to a transaction's id before it goes into the feed. A dump restored into another
# server brings changes whose transactions that server has yet to count up to.
feed_origin = Table(
    "feed_origin",
    metadata,
    Column("only", Integer, primary_key=True, autoincrement=False),
    Column("base", BigInteger, nullable=False),
)

index_replicas = Table(
    "index_replicas",
    metadata,
    Column("replica", SafeText, primary_key=True),
    Column("xid", BigInteger, nullable=False),
    Column("change_id", BigInteger, nullable=False),
)

summaries = Table(
    "summaries",
    metadata,
    *_owner_columns(),
    Column("session_id", SafeText, nullable=False),
    Column("version", Integer, nullable=False),
    Column("draft", SafeJson, nullable=False),
    Column("covers_to_seq", BigInteger, nullable=False),
    Column("producer", SafeText, nullable=False),
    Column("note", SafeText),
    Column("created_at", Micros, nullable=False),
    PrimaryKeyConstraint("tenant_id", "user_id", "session_id", "version"),
    ForeignKeyConstraint(
        ["tenant_id", "user_id", "session_id"], ["sessions.tenant_id", "sessions.user_id", "sessions.session_id"]
    ),
)


def _entry_columns() -> list[Column[object]]:
    return [
        *_owner_columns(),
        Column("project_key", SafeText, nullable=False),
        Column("key", SafeText, nullable=False),
        Column("value", SafeJson),
        Column("category", SafeText, nullable=False),
        Column("version", Integer, nullable=False),
        Column("updated_at", Micros, nullable=False),
        Column("expires_at", Micros),
        Column("source_message_id", SafeText),
        Column("source", SafeText, nullable=False),
        Column("confidence", Float),
        Column("deleted", Boolean, nullable=False),
    ]


user_context = Table(
    "user_context", metadata, *_entry_columns(), PrimaryKeyConstraint("tenant_id", "user_id", "project_key", "key")
)

user_context_history = Table(
    "user_context_history",
    metadata,
    *_entry_columns(),
    PrimaryKeyConstraint("tenant_id", "user_id", "project_key", "key", "version"),
)

memory_strategies = Table(
    "memory_strategies",
    metadata,
    *_owner_columns(),
    Column("level", SafeText, nullable=False),
    Column("name", SafeText, nullable=False),
    Column("strategy", SafeJson, nullable=False),
    PrimaryKeyConstraint("tenant_id", "user_id", "level", "name"),
)

users = Table(
    "users",
    metadata,
    *_owner_columns(),
    Column("display_name", SafeText),
    Column("created_at", Micros, nullable=False),
    Column("merged_into", SafeText),
    PrimaryKeyConstraint("tenant_id", "user_id"),
)

identities = Table(
    "identities",
    metadata,
    *_owner_columns(),
    Column("kind", SafeText, nullable=False),
    Column("value", SafeText, nullable=False),
    Column("linked_at", Micros, nullable=False),
    PrimaryKeyConstraint("tenant_id", "kind", "value", "user_id"),
    Index("identities_of_user", "tenant_id", "user_id"),
)

identity_history = Table(
    "identity_history",
    metadata,
    Column("event_id", _CHANGE_ID, primary_key=True, autoincrement=True),
    *_owner_columns(),
    Column("action", SafeText, nullable=False),
    Column("happened_at", Micros, nullable=False),
    Column("kind", SafeText),
    Column("value", SafeText),
    Column("other_user_id", SafeText),
    Index("identity_history_of_user", "tenant_id", "user_id"),
    sqlite_autoincrement=True,
)

api_tokens = Table(
    "api_tokens",
    metadata,
    Column("token_id", SafeText, primary_key=True),
    *_owner_columns(),
    Column("rights", SafeText, nullable=False),
    Column("digest", SafeText, nullable=False),
    Column("created_at", Micros, nullable=False),
    Column("expires_at", Micros),
    Column("revoked_at", Micros),
    Column("last_used_at", Micros),
    Index("api_tokens_of_user", "tenant_id", "user_id"),
)
