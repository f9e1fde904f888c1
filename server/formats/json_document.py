"""Portions as one JSON document."""

import json
from collections.abc import Iterable, Iterator
from typing import Any

from server.formats.jsonl.writing import line
from server.formats.portions import Portion


def to_json(parts: Iterable[Portion]) -> Iterator[str]:
    """One document: `sessions`, each with `messages` and `summaries`, and `user_context`."""
    yield '{"sessions": ['
    open_session, first, inner = False, True, True
    summaries: list[Any] = []
    entries: list[Any] = []

    def closed() -> str:
        told = json.dumps(summaries, ensure_ascii=False)
        summaries.clear()
        return f'\n  ], "summaries": {told}}}'

    for part in parts:
        told = line(part)
        kind = told.pop("type")
        if kind == "session":
            yield (closed() if open_session else "") + ("" if first else ",")
            yield "\n " + json.dumps(told, ensure_ascii=False)[:-1] + ', "messages": ['
            open_session, first, inner = True, False, True
        elif kind == "message":
            yield ("" if inner else ",") + "\n  " + json.dumps(told, ensure_ascii=False)
            inner = False
        else:
            (summaries if kind == "summary" else entries).append(told)
    yield closed() if open_session else ""
    yield '\n], "user_context": ' + json.dumps(entries, ensure_ascii=False) + "}\n"
