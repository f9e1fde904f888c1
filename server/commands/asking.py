"""The options of a command as the tool of the same purpose takes them: the same parsers, the same refusals."""

from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from server.tools.toolbox import Spec


def checked(spec: "Spec", **options: Any) -> dict[str, Any]:
    """The tool's arguments from options of the same names. Errors: UsageError, naming the option."""
    from pydantic import ValidationError

    from server.errors import explained

    try:
        return spec.checked(options)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        why, allowed = explained(first)
        raise click.UsageError(f"{_option(str(first['loc'][0]))} {why}; {allowed}.") from None


def _option(name: str) -> str:
    """How the running command calls the parameter of this name."""
    params = click.get_current_context().command.params
    return next((max(p.opts, key=len) for p in params if p.name == name), name)
