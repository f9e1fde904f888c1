"""JSON that is nested too deeply to be read: told apart from what is no JSON at all, and whose answer it is."""

import json
import re
from collections.abc import Iterator
from typing import Any, Final

LEVELS: Final = 200
"""How deep the protocol's own reader goes, lists and objects counted alike."""
TOO_DEEP: Final = f"The JSON is nested too deeply; at most {LEVELS} levels of lists and objects are allowed."
# A string is left out whole, with the brackets in it; one without an end reaches to the end of the text.
_PART = re.compile(r'"(?:[^"\\]|\\.)*+"?|[\[{]|[\]}]', re.DOTALL)


def too_deep(text: str) -> bool:
    """Whether there are more than LEVELS open brackets at any point. Linear."""
    return any(depth > LEVELS for depth, _, _ in _levels(text))


def outline(text: str) -> Any:
    """The outermost list or object, with null for each list or object in it. Errors: ValueError."""
    pieces, since = [], 0
    for depth, start, end in _levels(text):
        if depth == 2 and text[start] in "[{":
            pieces.append(text[since:start] + "null")
        elif depth == 1 and text[start] in "]}":
            since = end
    return json.loads("".join([*pieces, text[since:]]))


def _levels(text: str) -> Iterator[tuple[int, int, int]]:
    """How many brackets are open after each bracket, and where it stands, from and to."""
    depth = 0
    for found in _PART.finditer(text):
        if (part := found[0])[0] == '"':
            continue
        depth += 1 if part in "[{" else -1
        yield depth, found.start(), found.end()
