"""Summaries that could not be folded whole at once: up to which message they are owed."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.add_column("sessions", sa.Column("summary_due", sa.BigInteger(), nullable=True))
    op.create_index(
        "sessions_owing_a_summary",
        "sessions",
        ["tenant_id", "user_id", "session_id"],
        unique=False,
        sqlite_where=sa.text("summary_due IS NOT NULL"),
        postgresql_where=sa.text("summary_due IS NOT NULL"),
    )
