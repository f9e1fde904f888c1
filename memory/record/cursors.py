"""Where a page ended, as an opaque text that its reader brings back."""

import base64
import json
from typing import Any

from memory.errors import Invalid


def write_cursor(*place: str | int) -> str:
    """A cursor for this place."""
    return base64.urlsafe_b64encode(json.dumps(place).encode()).decode().rstrip("=")


def read_cursor(cursor: str) -> list[Any]:
    """The place, of which nothing is certain but that it is a list. Errors: Invalid."""
    try:
        place = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (ValueError, RecursionError):
        raise foreign_cursor() from None
    if not isinstance(place, list):
        raise foreign_cursor()
    return place


def foreign_cursor() -> Invalid:
    """The refusal of a cursor that is none of ours."""
    return Invalid("The cursor", "is not one that a list gave", "leave it out to start at the beginning")
