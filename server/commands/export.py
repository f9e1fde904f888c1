"""`backstory export`: all that is remembered, to take along."""

import os
import sys
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

import click

from server.commands.beginning import say_if_empty
from server.commands.opening import opened_record
from server.commands.options import with_settings
from server.formats.portions import portions
from server.formats.writing import FORMATS
from server.settings import Settings


@click.command()
@click.option(
    "--format", "form", type=click.Choice(["json", "jsonl", "markdown"]), default="json", show_default=True,
    help="jsonl is what `backstory import` reads.",
)  # fmt: skip
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path, allow_dash=True),
    help="Instead of standard output.",
)
@with_settings()
def export(form: str, output: Path | None, settings: Settings) -> None:
    """Export every session with its messages and summaries, and the user context.

    \b
    Examples:
      backstory export -o memory.json
      backstory export --format jsonl | gzip > memory.jsonl.gz
    """
    with opened_record(settings) as store:
        say_if_empty(store, settings)
        pieces = FORMATS[form](portions(store, settings.owner))
        with _destination(output) as file:
            for piece in pieces:
                file.write(piece)
    if output is not None and str(output) != "-":
        click.echo(f"Exported to {output}.", err=True)


@contextmanager
def _destination(output: Path | None) -> Generator[TextIO, None, None]:
    """Standard output in UTF-8 whatever the terminal's encoding; or a file, which appears once it is whole."""
    if output is None or str(output) == "-":
        if hasattr(sys.stdout, "reconfigure"):
            sys.stdout.reconfigure(encoding="utf-8", newline="\n")
        yield sys.stdout
        return
    handle, draft = tempfile.mkstemp(dir=output.parent, prefix=f".{output.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            yield file
        Path(draft).replace(output)
    except BaseException:
        Path(draft).unlink(missing_ok=True)
        raise
