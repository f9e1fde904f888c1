"""`backstory bench recall`."""

import json
import sys
from pathlib import Path

import click


@click.command()
@click.option(
    "--data",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    required=True,
    help="A LoCoMo file, or JSON lines of conversations with questions.",
)
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON, one row a question included.")
@click.option("--embedder", default="bundled", show_default=True, help="bundled, multilingual, none, …")
@click.option("--without", multiple=True, metavar="FEATURE", help="Switch a feature of the score off. Repeatable.")
@click.option("--ablate", is_flag=True, help="Compare with each feature switched off in turn.")
@click.option("--compare", is_flag=True, help="Compare with BM25 alone, the vector alone and their rank fusion.")
@click.option("--reworded", is_flag=True, help="Pass the questions' own rewordings on.")
@click.option("--store", "directory", type=click.Path(file_okay=False, path_type=Path), help="Keep the store there.")
def recall(
    data: Path,
    as_json: bool,
    embedder: str,
    without: tuple[str, ...],
    ablate: bool,
    compare: bool,
    reworded: bool,
    directory: Path | None,
) -> None:
    """Measure how well search finds evidence, over a real store filled with the data set."""
    from rich.console import Console

    from memory.errors import BackstoryError
    from server.bench.report import show
    from server.bench.running import recall_command_result

    try:
        report = recall_command_result(
            data,
            embedder=embedder,
            without=without,
            ablate=ablate,
            compare=compare,
            reworded=reworded,
            directory=directory,
        )
    except BackstoryError as error:
        raise click.ClickException(str(error)) from error
    if as_json:
        click.echo(json.dumps(report.as_json(), ensure_ascii=False, indent=1))
    else:
        show(report, Console(file=sys.stdout, width=None if sys.stdout.isatty() else 140))
