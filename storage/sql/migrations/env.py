"""Runs the migrations over the connection that the caller holds, inside the caller's transaction."""

from alembic import context

from storage.sql.migrating import VERSION_TABLE
from storage.sql.tables import metadata

context.configure(
    connection=context.config.attributes["connection"], target_metadata=metadata, version_table=VERSION_TABLE
)
context.run_migrations()
