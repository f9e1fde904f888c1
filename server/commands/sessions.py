"""`backstory sessions`: the list of sessions, from a shell."""

from typing import Any

import click

from memory.model import HITS, SessionFilter
from memory.record.sessions import list_page
from memory.text.plain import minute
from memory.text.results import NO_SESSIONS
from memory.text.tokens import EstimatedTokens
from server.commands.asking import checked
from server.commands.beginning import say_if_empty
from server.commands.opening import opened_record
from server.commands.options import with_settings
from server.commands.output import cell, echo_json
from server.settings import Settings


@click.command()
@click.option("--limit", metavar="N", default=20, show_default=True, help=f"How many sessions, 1 to {HITS}.")
@click.option("--cursor", help="Go on where the last page ended.")
@click.option("--project", "project_id", help="Only this project.")
@click.option("--archived/--open", default=None, help="Only archived, or only open ones.")
@click.option("--title", help="Part of the title.")
@click.option("--json", "as_json", is_flag=True, help="The result for machines, as the tool returns it.")
@with_settings()
def sessions(as_json: bool, settings: Settings, **options: Any) -> None:
    """List sessions, newest first.

    \b
    Examples:
      backstory sessions
      backstory sessions --project flat-hunt --archived --json
    """
    from server.tools.list_sessions import list_sessions
    from server.wire import answers

    values = checked(list_sessions, **options)
    where = SessionFilter(project_id=values["project_id"], archived=values["archived"], title=values["title"])
    with opened_record(settings) as store:
        page = list_page(store, settings.owner, where, values["limit"], values["cursor"])
        empty = not page.sessions and say_if_empty(store, settings)
    if as_json:
        echo_json(answers.sessions(page, EstimatedTokens()).data.model_dump(mode="json"))
        return
    if not page.sessions:
        if not empty:
            click.echo(NO_SESSIONS, err=True)
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table("session", "last active (UTC)", "messages", "project", "title", box=None, pad_edge=False)
    for one in page.sessions:
        state = " (archived)" if one.archived_at else ""
        cells = (one.session_id, minute(one.last_activity_at), str(one.message_count), one.project_id or "")
        named = cell(one.title or one.external_id or "", 60) + state
        table.add_row(*(Text(cell(value, 60)) for value in cells), Text(named))
    console = Console(highlight=False)
    console.print(table) if console.is_terminal else Console(highlight=False, width=200).print(table)
    if page.next_cursor:
        click.echo(f"There are more: --cursor {page.next_cursor}", err=True)
