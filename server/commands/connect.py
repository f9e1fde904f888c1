"""`backstory connect`: the entry that makes an MCP host start this server."""

import sys
from pathlib import Path

import click

from server.commands.hosts import HOSTS, entry, merge, rendered
from server.commands.options import with_settings
from server.settings import Settings


@click.command()
@click.argument("host", type=click.Choice(sorted(HOSTS)))
@click.option("--write", is_flag=True, help="Merge the entry into the host's own file; a backup is kept beside it.")
@click.option(
    "--file",
    "path",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The host's file, if not at its usual place.",
)
@click.option("--name", default="backstory", show_default=True, help="What the host calls the server.")
@with_settings()
def connect(host: str, write: bool, path: Path | None, name: str, settings: Settings) -> None:
    """Print the configuration that connects HOST, or merge it into the host's file.

    \b
    Examples:
      backstory connect claude-desktop            # look first
      backstory connect claude-desktop --write    # then restart Claude Desktop
      backstory connect cursor --write --file ./.cursor/mcp.json
    """
    known = HOSTS[host]
    place = path or known.path(sys.platform)
    added = entry(known, settings)
    if not write:
        click.echo(f"Add this to {place} (or run again with --write):", err=True)
        click.echo(rendered({"mcpServers": {name: added}}))
        return
    outcome = merge(place, name, added)
    if outcome.changed:
        kept = f" The old file is kept as {outcome.backup}." if outcome.backup else ""
        click.echo(f"Wrote '{name}' into {place}.{kept} Restart {known.title} to connect.", err=True)
    else:
        click.echo(f"{place} already has this entry; nothing was changed.", err=True)
