"""`backstory search`: the search that agents use, from a shell."""

from datetime import UTC, datetime, timedelta
from typing import Any, get_args

import click

from memory.errors import Invalid
from memory.model import HITS, Channel, MessageFilter, Role, ScopeFilter
from memory.plain import minute
from memory.results import NOTHING_FOUND
from server.commands.opening import opened_memory
from server.commands.options import with_settings
from server.commands.output import clean, echo_json
from server.settings import Settings

DATE = click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%dT%H:%M:%S%z"])


@click.command()
@click.argument("words", nargs=-1, required=True, metavar="QUERY…")
@click.option("--limit", type=click.IntRange(1, HITS), default=10, show_default=True, help="How many messages.")
@click.option("--days-back", type=click.IntRange(1), help="Only the last N days.")
@click.option("--since", type=DATE, help="Only from this time on (UTC).")
@click.option("--until", type=DATE, help="Only before this time (UTC); a bare date counts whole.")
@click.option("--project", "project_id", help="Only this project.")
@click.option("--scope", type=click.Choice(get_args(ScopeFilter)), default="all", show_default=True)
@click.option("--session", "session_id", help="Only this session.")
@click.option("--role", type=click.Choice(get_args(Role)), help="Only what this role said.")
@click.option("--channel", type=click.Choice(get_args(Channel)))
@click.option("--json", "as_json", is_flag=True, help="The result for machines, as the tool returns it.")
@with_settings()
def search(
    words: tuple[str, ...], limit: int, days_back: int | None, as_json: bool, settings: Settings, **filters: Any
) -> None:
    """Search every conversation for the messages that fit QUERY best.

    \b
    Examples:
      backstory search "which hotel did I like in Porto"
      backstory search viewing appointment --project flat-hunt --days-back 30
      backstory search "what did you recommend last week" --json | jq .hits[0]
    """
    from memory.recall import SearchRequest
    from server import answers

    query = " ".join(words).strip()
    if not query:
        raise click.UsageError("QUERY is empty; give a question or some words.")
    where = MessageFilter(**{**filters, "since": utc(filters["since"]), "until": end(filters["until"])})
    with opened_memory(settings, background=False) as memory:
        request = SearchRequest(query, (), where, days_back, limit)
        answer = answers.found(memory.recall.search(settings.owner, request)).data
    if as_json:
        echo_json(answer.model_dump(mode="json"))
        return
    for number, hit in enumerate(answer.hits, 1):
        said = f"{hit.speaker} ({hit.role})" if hit.speaker else hit.role
        place = clean(f"{hit.session_title or hit.session_id}, no. {hit.seq}")
        click.echo(f"{number}. " + click.style(f"{minute(hit.occurred_at)}  {clean(said)}", bold=True) + f"  {place}")
        click.echo("   " + clean(hit.content).replace("\n", "\n   ") + "\n")
    if not answer.hits:
        click.echo(NOTHING_FOUND, err=True)


def utc(at: datetime | None) -> datetime | None:
    return None if at is None else at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


def end(until: datetime | None) -> datetime | None:
    """The bound above: midnight stands for the whole day that a bare date names."""
    try:
        bare = until is not None and until.tzinfo is None and until == until.replace(hour=0, minute=0, second=0)
        return utc(until + timedelta(days=1) if until is not None and bare else until)
    except OverflowError:
        raise Invalid("--until", "is beyond the year 9999", "give an earlier date") from None
