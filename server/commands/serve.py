"""`backstory serve`: the MCP server. Over stdio nothing is imported here that the first answer does not need."""

import click

from server.commands.options import with_settings
from server.settings import Settings
from server.stdio.serving import serve as serve_stdio


@click.command()
@click.option("--transport", type=click.Choice(["stdio", "http", "sse"]), default="stdio", show_default=True,
    help="stdio for one local user; http serves Streamable HTTP, SSE and REST at once (sse is an alias).")  # fmt: skip
@click.option("--host", metavar="HOST", help="http: the address to listen on.  [default: 127.0.0.1]")
@click.option("--port", metavar="PORT", help="http: the port to listen on.  [default: 8765]")
@click.option("--tools", metavar="SET", help="Which tools are offered: recall, agent or full.  [default: agent]")
@click.option("--no-auth", "auth", flag_value="none", default=None, help="http: ask for no token (127.0.0.1 alone).")
@click.option("--tls-certificate", metavar="FILE", help="http: PEM certificate chain.")
@click.option("--tls-key", metavar="FILE", help="http: its private key.")
@with_settings("host", "port", "tools", "auth", "tls_certificate", "tls_key")
def serve(transport: str, settings: Settings) -> None:
    """Run the MCP server.

    \b
    Examples:
      backstory serve                                   # for a host that starts it
      backstory serve --tools recall                    # reading only
      backstory serve --transport http --port 8765      # for many users, with tokens
    """
    if transport == "stdio":
        serve_stdio(settings)
    from server.http.serving import serve as serve_http

    serve_http(settings)
