"""How results and progress are shown: results on standard output, all else on standard error."""

import json
import sys
from collections.abc import Generator
from contextlib import contextmanager
from time import monotonic
from typing import Any, Protocol

import click

from memory.text.plain import one_line

SECONDS_BETWEEN_LINES = 10.0


class Progress(Protocol):
    """Moves a progress bar to `done` of `total`; both may be given late, and `text` may change."""

    def __call__(self, done: float, total: float | None = None, text: str | None = None) -> None: ...


def echo_json(value: Any) -> None:
    """One JSON document on standard output; escaped where the encoding is not UTF-8, so that nothing is lost."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=not _speaks_utf8()))


def _speaks_utf8() -> bool:
    return (getattr(sys.stdout, "encoding", None) or "").lower().replace("-", "") == "utf8"


def clean(text: str) -> str:
    """Text for a terminal: recorded words cannot move its cursor, colour it or hide in it."""
    return "".join(char if char.isprintable() or char == "\n" else ascii(char)[1:-1] for char in text)


def cell(text: str, limit: int) -> str:
    """Text for one line of a terminal."""
    return one_line(clean(text), limit)


@contextmanager
def progress(text: str) -> Generator[Progress, None, None]:
    """A progress bar on standard error; in a log or pipe, a line now and then instead."""
    from rich.console import Console
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    console = Console(stderr=True, highlight=False)
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Bars(*columns, console=console, disable=not console.is_terminal) as bars:
        task = bars.add_task(text, total=None)
        told = monotonic()

        def move(done: float, total: float | None = None, text: str | None = None) -> None:
            nonlocal told
            bars.update(task, completed=done, total=total, description=text)
            if not console.is_terminal and monotonic() - told > SECONDS_BETWEEN_LINES:
                told = monotonic()
                share = f" ({done / total:.0%})" if total else ""
                click.echo(f"{bars.tasks[0].description}{share}", err=True)

        yield move
