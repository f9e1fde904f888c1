"""The settings that every subcommand takes as flags."""

from collections.abc import Callable
from functools import wraps
from typing import Any

import click

from memory.errors import Invalid
from server.settings import Settings

FLAGS = (
    ("--data-dir", "DIR", "Where everything is kept."),
    ("--database-url", "URL", "PostgreSQL instead of SQLite."),
    ("--embedder", "NAME", "bundled, multilingual, fastembed:MODEL, openai:MODEL or none."),
    ("--user", "ID", "Whose memory (default: local)."),
    ("--tenant", "ID", "The user's tenant."),
    ("--log-level", "LEVEL", "DEBUG, INFO, WARNING, ERROR or CRITICAL."),
)


def with_settings(*also: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Adds the flags of the settings; the function gets the loaded `settings` instead of them.

    `also` names parameters of the command's own that are settings, too.
    """
    names = [flag.removeprefix("--").replace("-", "_") for flag, _, _ in FLAGS]

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def wrapped(*args: Any, **values: Any) -> Any:
            flags = {name: values.pop(name) for name in (*names, *also)}
            try:
                settings = Settings.load(flags)
            except Invalid as error:
                click.echo(f"Error: {error}", err=True)
                raise click.exceptions.Exit(2) from error
            return function(*args, settings=settings, **values)

        for flag, metavar, text in reversed(FLAGS):
            wrapped = click.option(flag, metavar=metavar, help=text)(wrapped)
        return wrapped

    return decorate
