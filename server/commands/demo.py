"""`backstory demo`: the main job in seconds, on a scratch store."""

import shutil
import tempfile
from time import perf_counter
from typing import IO, TYPE_CHECKING

import anyio
import click

from memory.errors import BackstoryError

if TYPE_CHECKING:
    from rich.console import Console

    from server.demo.scenario import Step

INDENT = "      "


@click.command()
@click.option("--keep", is_flag=True, help="Keep the scratch store afterwards, and say where it is.")
def demo(keep: bool) -> None:
    """See it remember: record a conversation, kill the server, start it again, and ask.

    A real server runs over stdio on a scratch store; your own memory is not touched.
    """
    scratch = tempfile.mkdtemp(prefix="backstory-demo-")
    try:
        right = show(scratch)
    finally:
        if keep:
            click.echo(f"The store is kept in {scratch}", err=True)
        else:
            shutil.rmtree(scratch, ignore_errors=True)
    if not right:
        raise click.exceptions.Exit(1)


def show(scratch: str) -> bool:
    """Prints each step as it is done; returns whether all came back as it should."""
    from rich.console import Console

    from server.demo.scenario import Step, demonstrate

    console = Console(highlight=False)
    steps: list[Step] = []

    def tell(step: Step) -> None:
        steps.append(step)
        _print_step(console, step)

    started = perf_counter()
    with tempfile.TemporaryFile() as errors:
        try:
            anyio.run(demonstrate, scratch, errors, tell)
        except Exception as error:
            raise Failed(_first_cause(error), said(errors)) from error
    took = f"{perf_counter() - started:.1f} s"
    right = all(step.right for step in steps)
    if right:
        console.print(f"\nEverything came back from a server that was killed, in {took}.", style="bold")
        console.print("Next: `backstory connect claude-desktop --write`, or `backstory serve` for any MCP host.")
    else:
        console.print(f"\nNot everything came back as it was recorded ({took}).", style="bold red")
    return right


class Failed(BackstoryError):
    """The demonstration could not be finished."""

    def __init__(self, cause: BaseException, server_said: str) -> None:
        super().__init__(
            f"The demonstration stopped: {cause}." + (f" The server said: {server_said}" if server_said else "")
        )


def _first_cause(error: BaseException) -> BaseException:
    """The error inside the groups that task groups wrap it in."""
    return _first_cause(error.exceptions[0]) if isinstance(error, BaseExceptionGroup) else error


def said(errors: IO[bytes]) -> str:
    """The last line that a server wrote to standard error."""
    errors.seek(0)
    lines = errors.read().decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else ""


def _print_step(console: "Console", step: "Step") -> None:
    from rich.text import Text

    mark = Text("ok    " if step.right else "WRONG ", style="bold green" if step.right else "bold red")
    console.print(mark + Text(step.title, style="bold") + Text(f"  {step.seconds * 1000:.0f} ms", style="dim"))
    for line in step.lines:
        for row in Text(line).wrap(console, max(20, console.width - len(INDENT))):
            row.rstrip()
            console.print(Text(INDENT) + row)
