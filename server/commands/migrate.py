"""`backstory migrate`: the database's schema."""

import click

from server.commands.opening import configure_logging
from server.commands.options import with_settings
from server.record import open_record
from server.settings import Settings


@click.command()
@with_settings()
def migrate(settings: Settings) -> None:
    """Bring the database to the schema of this version. A SQLite file is also migrated whenever it is opened.

    \b
    Example:
      BACKSTORY_DATABASE_URL=postgresql://backstory@db/backstory backstory migrate
    """
    configure_logging(settings)
    open_record(settings, migrate=True).close()
    click.echo(f"The database {settings.database_label} is up to date.", err=True)
