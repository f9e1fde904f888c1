"""What an empty memory says: what to do first."""

from typing import TYPE_CHECKING

import click

from memory.model import SessionFilter
from server.settings import Settings

if TYPE_CHECKING:
    from storage.sql import SqlRecordStore

FIRST_STEPS = (
    "`backstory connect HOST --write` has a host record from now on, `backstory import FILE` brings earlier "
    "conversations in, `backstory demo` shows what comes of it."
)


def is_empty(store: "SqlRecordStore", settings: Settings) -> bool:
    """Whether the user has no session yet."""
    with store.read(settings.owner) as records:
        return not records.sessions(SessionFilter(), 1)


def say_if_empty(store: "SqlRecordStore", settings: Settings) -> bool:
    """Says on standard error that nothing is there yet, and what to do first, where that is so; tells whether it is."""
    empty = is_empty(store, settings)
    if empty:
        where = f"user {settings.user} in {settings.database_label}"
        click.echo(f"Nothing is recorded yet for {where}. {FIRST_STEPS}", err=True)
    return empty
