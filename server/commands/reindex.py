"""`backstory reindex`: the search index anew, or until it has caught up."""

import click

from memory.errors import Unavailable
from server.commands.opening import opened_memory
from server.commands.options import with_settings
from server.commands.waiting import wait_for_index
from server.settings import Settings


@click.command()
@click.option("--wait", is_flag=True, help="Do not rebuild; wait until keywords and vectors have caught up.")
@with_settings()
def reindex(wait: bool, settings: Settings) -> None:
    """Rebuild the search index from the record, or wait for it. Searches are answered meanwhile.

    \b
    Examples:
      backstory reindex            # throw the index away and build it anew
      backstory reindex --wait     # after an import: until everything can be found
    """
    with opened_memory(settings) as memory:
        if not wait:
            memory.writer.rebuild()
        if not wait_for_index(memory, vectors=True):
            raise Unavailable("The index has not caught up; `backstory doctor` says what is in its way.")
        click.echo("The index has caught up with the record.", err=True)
