"""`backstory user`: the people of a tenant, and what they are recognised by."""

from typing import Any, cast

import click

from memory.people.identities import link as link_identity
from memory.people.identities import merge as merge_users
from memory.people.identities import resolve
from memory.people.identities import unlink as unlink_identity
from memory.people.identity_values import normalise
from memory.text.plain import iso, minute
from server.commands.opening import opened_directory
from server.commands.options import with_settings
from server.commands.output import cell, echo_json
from server.opening import utc_now
from server.settings import Settings

KINDS = ("phone", "email", "voiceprint", "external")
PAGE = 1000


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def user() -> None:
    """List users, link what they are recognised by, merge two that are one person."""


@user.command(name="list")
@click.option("--json", "as_json", is_flag=True, help="The result for machines.")
@with_settings()
def list_(as_json: bool, settings: Settings) -> None:
    """List the users of --tenant."""
    with opened_directory(settings) as directory, directory.read(settings.tenant) as people:
        found = people.users(PAGE)
        while found and len(found) % PAGE == 0 and (page := people.users(PAGE, found[-1].user_id)):
            found += page
    if as_json:
        echo_json({"users": [{"user": u.user_id, "display_name": u.display_name} for u in found]})
        return
    for one in found:
        name = f"  {cell(one.display_name, 60)}" if one.display_name else ""
        click.echo(f"{cell(one.user_id, 80)}{name}")


@user.command()
@click.argument("user_id")
@click.option("--json", "as_json", is_flag=True, help="The result for machines.")
@with_settings()
def show(user_id: str, as_json: bool, settings: Settings) -> None:
    """Show a user of --tenant, by id or by anything they are known by, with the history of links and merges."""
    with opened_directory(settings) as directory:
        found = resolve(directory, settings.tenant, user_id, settings.phone_region)
        with directory.read(settings.tenant) as people:
            identities, history = people.identities(found.user_id), people.history(found.user_id)
    if as_json:
        events: list[dict[str, Any]] = [
            {
                "action": event.action,
                "user": event.user_id,
                "at": iso(event.at),
                "kind": event.identity.kind if event.identity else None,
                "value": event.identity.value if event.identity else None,
                "merged_user": event.other_user_id,
            }
            for event in history
        ]
        known = [{"kind": i.kind, "value": i.value} for i in identities]
        echo_json({"user": found.user_id, "display_name": found.display_name, "identities": known, "history": events})
        return
    click.echo(f"{cell(found.user_id, 80)}  {cell(found.display_name or '', 60)}".rstrip())
    for identity in identities:
        click.echo(f"  {identity.kind}: {cell(identity.value, 80)}")
    for event in history:
        what = f"{event.identity.kind} {event.identity.value}" if event.identity else event.other_user_id or ""
        click.echo(f"  {minute(event.at)}  {event.action} {cell(what, 80)}".rstrip())


@user.command()
@click.argument("user_id")
@click.argument("kind", type=click.Choice(KINDS))
@click.argument("value")
@with_settings()
def link(user_id: str, kind: str, value: str, settings: Settings) -> None:
    """Recognise a user of --tenant by one thing more."""
    identity = normalise(cast(Any, kind), value, settings.phone_region)
    with opened_directory(settings) as directory:
        link_identity(directory, settings.tenant, user_id, identity, utc_now)
    click.echo(f"{kind} {identity.value} is linked.", err=True)


@user.command()
@click.argument("user_id")
@click.argument("kind", type=click.Choice(KINDS))
@click.argument("value")
@with_settings()
def unlink(user_id: str, kind: str, value: str, settings: Settings) -> None:
    """Recognise a user of --tenant by one thing less."""
    identity = normalise(cast(Any, kind), value, settings.phone_region)
    with opened_directory(settings) as directory:
        unlink_identity(directory, settings.tenant, user_id, identity, utc_now)
    click.echo(f"{kind} {identity.value} is no longer linked.", err=True)


@user.command()
@click.argument("user_id")
@click.option("--into", required=True, metavar="USER", help="The user who remains.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@with_settings()
def merge(user_id: str, into: str, yes: bool, settings: Settings) -> None:
    """Make two users of --tenant one: identities, tokens and everything recorded go over, and the old id stands for the
    one who remains. This cannot be taken back."""
    if not yes:
        click.confirm(f"Everything of {user_id} becomes {into}'s, for good. Go on?", abort=True, err=True)
    with opened_directory(settings) as directory:
        merged = merge_users(directory, settings.tenant, user_id, into, utc_now)
    click.echo(f"{user_id} is {merged.user_id} from now on.", err=True)
