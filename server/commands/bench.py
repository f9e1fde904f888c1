"""`backstory bench`: numbers that anyone can make again."""

from collections.abc import Mapping
from typing import ClassVar

import click

from memory.errors import Invalid
from server.commands.lazy import LazyGroup
from server.commands.options import with_settings
from server.commands.output import echo_json, progress
from server.latency.figures import markdown
from server.settings import Settings


class Benchmarks(LazyGroup):
    table: ClassVar[Mapping[str, tuple[str, str]]] = {
        "recall": ("server.bench.command:recall", "How often search finds the evidence."),
        "latency": ("server.commands.bench:latency", "How long searching and recording take."),
    }


@click.group(cls=Benchmarks)
def bench() -> None:
    """Measure recall and latency on this machine. Your own memory is not touched."""


@click.command()
@click.option("--messages", type=click.IntRange(1_000), default=100_000, show_default=True, help="In the whole store.")
@click.option("--mine", type=click.IntRange(100), default=1_000, show_default=True, help="Of the measured user.")
@click.option("--json", "as_json", is_flag=True, help="The figures for machines.")
@with_settings()
def latency(messages: int, mine: int, as_json: bool, settings: Settings) -> None:
    """Time searching and recording in process, beside what the bare database and index need in the same run.

    A scratch store is filled with generated conversation first: about two minutes for 100,000 messages.

    \b
    Examples:
      backstory bench latency
      backstory bench latency --messages 1000000 --json
    """
    from server.latency.measuring import measure
    from server.parts import embedder_of

    model = embedder_of(settings)
    if model is None:
        raise Invalid("--embedder", "is none", "name one: searching with a model is what is timed here")
    with progress("preparing") as move:
        figures = list(measure(model, messages, min(mine, messages), lambda text, done, all_: move(done, all_, text)))
    if as_json:
        echo_json({"messages": messages, "mine": mine, "figures": [figure.as_json() for figure in figures]})
    else:
        click.echo(f"{messages:,} messages, {mine:,} of them the user's; milliseconds:\n")
        click.echo(markdown(figures))
