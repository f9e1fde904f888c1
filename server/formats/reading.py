"""File formats that can be imported. Another one is a module with `detects` and `read`, and a line here."""

from pathlib import Path

from server.formats import locomo
from server.formats.items import BadFile, Format
from server.formats.jsonl import reading as jsonl

FORMATS: tuple[Format, ...] = (
    Format("jsonl", jsonl.detects, jsonl.read),
    Format("locomo", locomo.detects, locomo.read),
)
HEAD = 64 * 1024


def format_of(path: Path, name: str) -> Format:
    """The format called `name`, or the one that the file's beginning shows when it is 'auto'. Errors: BadFile."""
    if name != "auto":
        return next(form for form in FORMATS if form.name == name)
    try:
        with path.open("rb") as file:
            head = file.read(HEAD)
    except OSError as error:
        raise BadFile(path, None, f"it cannot be read ({error.strerror}).") from error
    for form in FORMATS:
        if form.detects(head):
            return form
    names = ", ".join(form.name for form in FORMATS)
    raise BadFile(path, None, f"its format is not recognised; formats are {names}, and --format names one.")
