"""`backstory bench recall`."""

import sys
from pathlib import Path

import click

from server.commands.options import with_settings
from server.commands.output import echo_json, progress
from server.settings import Settings


@click.command()
@click.option(
    "--data",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    required=True,
    help="A LoCoMo file, or JSON lines of conversations with questions.",
)
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON, one row a question included.")
@click.option("--without", multiple=True, metavar="FEATURE", help="Switch a feature of the score off. Repeatable.")
@click.option("--ablate", is_flag=True, help="Compare with each feature switched off in turn.")
@click.option("--compare", is_flag=True, help="Compare with BM25 alone, the vector alone and their rank fusion.")
@click.option("--reworded", is_flag=True, help="Pass the questions' own rewordings on.")
@click.option("--store", "directory", type=click.Path(file_okay=False, path_type=Path), help="Keep the store there.")
@with_settings()
def recall(
    data: Path,
    as_json: bool,
    without: tuple[str, ...],
    ablate: bool,
    compare: bool,
    reworded: bool,
    directory: Path | None,
    settings: Settings,
) -> None:
    """Measure how well search finds evidence, over a real store filled with the data set."""
    from rich.console import Console

    from server.bench.report import show
    from server.bench.running import run_recall_bench
    from server.parts import embedder_of

    model = embedder_of(settings)
    with progress("preparing") as move:
        report = run_recall_bench(
            data,
            model,
            without=without,
            ablate=ablate,
            compare=compare,
            reworded=reworded,
            directory=directory,
            told=lambda what, done, total: move(done, total, what),
        )
    if as_json:
        echo_json(report.as_json())
    else:
        show(report, Console(file=sys.stdout, width=None if sys.stdout.isatty() else 140))
