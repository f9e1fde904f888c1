"""`backstory token`: who may use the HTTP server."""

import re
from datetime import timedelta
from typing import Any, get_args

import click

from memory.errors import Invalid, shown
from memory.model import ApiToken, Owner
from memory.people.api_tokens import issue
from memory.people.api_tokens import revoke as revoke_token
from memory.people.identities import register
from memory.text.plain import iso, minute
from server.commands.opening import opened_directory
from server.commands.options import with_settings
from server.commands.output import cell, echo_json
from server.identity import Right
from server.opening import utc_now
from server.settings import Settings

_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_LIFETIME = re.compile(r"(\d{1,5})([mhdw])")
RIGHTS = get_args(Right)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def token() -> None:
    """Create, list and revoke access tokens for the HTTP server."""


@token.command()
@click.option("--rights", metavar="LIST", default="read,write", show_default=True, help=f"Of {', '.join(RIGHTS)}.")
@click.option("--expires", metavar="TIME", default="90d", show_default=True, help="As in 90d, 12h, 4w, or never.")
@click.option("--json", "as_json", is_flag=True, help="The result for machines.")
@with_settings()
def create(rights: str, expires: str, as_json: bool, settings: Settings) -> None:
    """Create a token for --tenant and --user. It is shown once; only its hash is kept.

    \b
    Examples:
      backstory token create --tenant acme --user ann --rights read,write --expires 90d
      backstory token create --tenant acme --user bridge --rights read,write,act-as --json
    """
    wanted, lifetime = _read_rights(rights), _read_lifetime(expires)
    with opened_directory(settings) as directory:
        user = register(directory, settings.tenant, settings.user, clock=utc_now)
        owner = Owner(settings.tenant, user.user_id)
        text, made = issue(directory, owner, wanted, lifetime=lifetime, clock=utc_now)
    if as_json:
        echo_json({"token": text, **described(made)})
        return
    click.echo(f"Token {made.token_id} for {owner.user_id} of {owner.tenant_id} ({', '.join(wanted)}).", err=True)
    click.echo("It is not shown again:", err=True)
    click.echo(text)


@token.command(name="list")
@click.option("--json", "as_json", is_flag=True, help="The result for machines.")
@with_settings()
def list_(as_json: bool, settings: Settings) -> None:
    """List every tenant's tokens, oldest first; never the tokens themselves."""
    with opened_directory(settings) as directory:
        tokens = directory.tokens()
    if as_json:
        echo_json({"tokens": [described(one) for one in tokens]})
        return
    if not tokens:
        click.echo("There are no tokens yet; create one with `backstory token create`.", err=True)
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table("token", "tenant", "user", "rights", "expires (UTC)", "last used (UTC)", "", box=None, pad_edge=False)
    for one in tokens:
        state = "" if one.usable(utc_now()) else "revoked" if one.revoked_at else "expired"
        times = (
            minute(one.expires_at) if one.expires_at else "never",
            minute(one.last_used_at) if one.last_used_at else "",
        )
        cells = (one.token_id, one.owner.tenant_id, one.owner.user_id, ",".join(sorted(one.rights)), *times, state)
        table.add_row(*(Text(cell(value, 60)) for value in cells))
    console = Console(highlight=False)
    console.print(table) if console.is_terminal else Console(highlight=False, width=200).print(table)


@token.command()
@click.argument("token_id")
@click.option("--json", "as_json", is_flag=True, help="The result for machines.")
@with_settings()
def revoke(token_id: str, as_json: bool, settings: Settings) -> None:
    """Revoke a token by its id; from then on it is refused, and its streams are closed."""
    plain = token_id.split("_")[1] if token_id.startswith("bst_") else token_id
    with opened_directory(settings) as directory:
        gone = revoke_token(directory, plain, utc_now)
    if as_json:
        echo_json(described(gone))
        return
    click.echo(f"Token {gone.token_id} is revoked.", err=True)


def _read_rights(text: str) -> list[str]:
    """The rights in a list with commas, in their own order. Errors: Invalid."""
    wanted = {part.strip() for part in text.split(",") if part.strip()}
    unknown = sorted(wanted - set(RIGHTS))
    if unknown or not wanted:
        why = f"has {shown(unknown[0])}" if unknown else "is empty"
        raise Invalid("--rights", why, f"allowed are {', '.join(RIGHTS)}, separated by commas")
    return [right for right in RIGHTS if right in wanted]


def _read_lifetime(text: str) -> timedelta | None:
    """How long a token is good; None for ever. Errors: Invalid."""
    if text == "never":
        return None
    found = _LIFETIME.fullmatch(text)
    if found is None or int(found[1]) == 0:
        raise Invalid("--expires", f"is {shown(text)}", "give a time such as 90d, 12h or 4w, or never")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


def described(one: ApiToken) -> dict[str, Any]:
    """A token's record for machines, without its hash."""
    times = ("created_at", "expires_at", "revoked_at", "last_used_at")
    return {
        "token_id": one.token_id,
        "tenant": one.owner.tenant_id,
        "user": one.owner.user_id,
        "rights": [right for right in RIGHTS if right in one.rights],
        **{name: iso(moment) if (moment := getattr(one, name)) else None for name in times},
    }
