"""Every failure as one sentence: what was wrong, and what would be right."""

from collections.abc import Iterable, Mapping
from typing import Any

from mcp.server.mcpserver.exceptions import ResourceError, ResourceNotFoundError, ToolError
from pydantic import ValidationError

from memory.errors import BackstoryError, NotFound, shown
from server.wire.schemas import NESTED_INPUTS


def tool_error(error: BackstoryError) -> ToolError:
    """What a tool's caller is told."""
    return ToolError(str(error))


def resource_error(error: BackstoryError) -> ResourceError:
    """What a resource's reader is told; a missing one in the protocol's own way."""
    return ResourceNotFoundError(str(error)) if isinstance(error, NotFound) else ResourceError(str(error))


def argument_error(tool: str, error: ValidationError, parameters: Iterable[str]) -> ToolError:
    """The first thing wrong with a tool's arguments, as a sentence without the validator's own words."""
    first = min(error.errors(include_url=False), key=lambda found: found["type"] != "extra_forbidden")
    where = path_of(first["loc"]) or "The arguments"
    if first["type"] == "extra_forbidden":
        names = ", ".join(parameters) if len(first["loc"]) == 1 else ", ".join(_siblings(first))
        holder = tool if len(first["loc"]) == 1 else path_of(first["loc"][:-1])
        return ToolError(f"{holder} has no {shown(str(first['loc'][-1]))}; it takes {names or 'other names'}.")
    if first["type"] == "missing":
        return ToolError(f"{where} is missing; {tool} needs it.")
    why, allowed = explained(first)
    return ToolError(f"{where} {why}; {allowed}.")


def path_of(loc: Iterable[int | str]) -> str:
    """Where in a request a value stands; '' for the whole of it."""
    path = ""
    for part in loc:
        if isinstance(part, int):
            path += f"[{part}]"
        elif part.isidentifier():
            path += f".{part}" if path else part
    return path


def _siblings(found: Mapping[str, Any]) -> list[str]:
    container = next((str(part) for part in reversed(found["loc"][:-1]) if isinstance(part, str)), "")
    model = NESTED_INPUTS.get(container)
    return list(model.model_fields) if model else []


_KINDS = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "list_type": "a list",
    "dict_type": "an object",
    "model_type": "an object",
    "model_attributes_type": "an object",
}


def explained(found: Mapping[str, Any]) -> tuple[str, str]:
    """One of a validator's errors as the two halves of a sentence: what is wrong with the value, what is allowed."""
    kind, value, ctx = found["type"], found.get("input"), found.get("ctx") or {}
    match kind:
        case "literal_error" | "enum":
            return (
                f"is {_value(value)}",
                f"allowed are {str(ctx['expected']).replace(chr(39), '').replace(' or ', ', ')}",
            )
        case "greater_than_equal":
            return f"is {_value(value)}", f"at least {ctx['ge']:g} is allowed"
        case "less_than_equal":
            return f"is {_value(value)}", f"at most {ctx['le']:g} is allowed"
        case "greater_than":
            return f"is {_value(value)}", f"more than {ctx['gt']:g} is wanted"
        case "int_parsing_size":
            return "is too large", "give a smaller whole number"
        case "too_short":
            return "is empty", f"give at least {ctx['min_length']}"
        case "too_long":
            return f"has {ctx['actual_length']} items", f"at most {ctx['max_length']} are allowed"
        case "string_too_short":
            return "is empty", "give some text"
        case "string_too_long":
            return "is too long", f"at most {ctx['max_length']} characters are allowed"
        case "string_unicode":
            return "holds half of a surrogate pair, which is no character", "send whole characters"
        case "string_pattern_mismatch":
            return f"is {_value(value)}", "give text without control characters and spaces at its ends"
        case "backstory":
            return ctx["why"], ctx["allowed"]
        case _ if kind in _KINDS:
            return f"is {_value(value)}", f"give {_KINDS[kind]}"
        case _:
            return "cannot be used", "look at the tool's schema"


def _value(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case str():
            return shown(value, 60)
        case int() | float():
            return shown(str(value)[:60])[1:-1]
        case list():
            return "a list"
        case dict():
            return "an object"
        case _:
            return "something else"
