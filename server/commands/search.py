"""`backstory search`: the search that agents use, from a shell."""

from typing import Any, get_args

import click

from memory.model import HITS, Channel, Role, ScopeFilter
from memory.text.plain import minute
from memory.text.results import NOTHING_FOUND
from server.calling import Call
from server.commands.asking import checked
from server.commands.beginning import say_if_empty
from server.commands.opening import opened_memory
from server.commands.options import with_settings
from server.commands.output import clean, echo_json
from server.identity import LocalUser
from server.settings import Settings


@click.command()
@click.argument("words", nargs=-1, required=True, metavar="QUERY…")
@click.option("--limit", metavar="N", default=10, show_default=True, help=f"How many messages, 1 to {HITS}.")
@click.option("--days-back", metavar="N", help="Only the last N days.")
@click.option("--since", metavar="TIME", help="Only from this time on: ISO 8601, UTC.")
@click.option("--until", metavar="TIME", help="Only before this time; a bare date counts whole.")
@click.option("--project", "project_id", help="Only this project.")
@click.option("--scope", type=click.Choice(get_args(ScopeFilter)), default="all", show_default=True)
@click.option("--session", "session_id", help="Only this session.")
@click.option("--role", type=click.Choice(get_args(Role)), help="Only what this role said.")
@click.option("--channel", type=click.Choice(get_args(Channel)))
@click.option("--json", "as_json", is_flag=True, help="The result for machines, as the tool returns it.")
@with_settings()
def search(words: tuple[str, ...], as_json: bool, settings: Settings, **options: Any) -> None:
    """Search every conversation for the messages that fit QUERY best.

    \b
    Examples:
      backstory search "which hotel did I like in Porto"
      backstory search viewing appointment --project flat-hunt --days-back 30
      backstory search "what did you recommend last week" --json | jq .hits[0]
    """
    from server.tools.search_conversation_history import search_conversation_history

    query = " ".join(words).strip()
    if not query:
        raise click.UsageError("QUERY is empty; give a question or some words.")
    values = checked(search_conversation_history, query=query, **options)
    caller = LocalUser(settings.owner)(None, values.pop("user"))
    with opened_memory(settings, background=False) as memory:
        answer: Any = search_conversation_history.handler(Call(memory, caller), **values).data
        empty = not answer.hits and say_if_empty(memory.store, settings)
    if as_json:
        echo_json(answer.model_dump(mode="json"))
        return
    for number, hit in enumerate(answer.hits, 1):
        said = f"{hit.speaker} ({hit.role})" if hit.speaker else hit.role
        place = clean(f"{hit.session_title or hit.session_id}, no. {hit.seq}")
        click.echo(f"{number}. " + click.style(f"{minute(hit.occurred_at)}  {clean(said)}", bold=True) + f"  {place}")
        click.echo("   " + clean(hit.content).replace("\n", "\n   ") + "\n")
    if not answer.hits and not empty:
        click.echo(NOTHING_FOUND, err=True)
