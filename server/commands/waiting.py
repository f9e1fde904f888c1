"""Waiting for the index, with a progress bar."""

import time
from typing import TYPE_CHECKING

import click

from server.commands.output import progress

if TYPE_CHECKING:
    from server.parts import Parts

STEP_SECONDS = 0.05
STUCK_SECONDS = 60.0


def wait_for_index(memory: "Parts", vectors: bool) -> bool:
    """Waits until the keywords, and with `vectors` the vectors too, are caught up; whether all of both is now.

    Gives up, and says so, when nothing moves for a minute.
    """
    writer = memory.writer
    with progress("Indexing") as move:
        behind, start = -1, 0
        moved = time.monotonic()
        while True:
            lag = writer.lag()
            left = lag.keywords + (lag.vectors or 0 if vectors else 0)
            if left == 0 and (not vectors or writer.wait_until_caught_up(STEP_SECONDS)):
                return not lag.vectors
            start = max(left, start)
            if left != behind:
                behind, moved = left, time.monotonic()
            elif time.monotonic() - moved > STUCK_SECONDS:
                click.echo(f"The index does not move: {left:,} changes wait; `backstory doctor` says why.", err=True)
                return False
            move(start - left, start or 1)
            time.sleep(STEP_SECONDS)
