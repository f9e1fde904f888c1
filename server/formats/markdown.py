"""Portions as Markdown, for reading."""

import json
from collections.abc import Iterable, Iterator

from memory.model import Message, Session, Summary, UserContextEntry
from memory.text.plain import minute, plain
from server.formats.portions import Portion


def to_markdown(parts: Iterable[Portion]) -> Iterator[str]:
    """For reading; not everything is in it."""
    yield "# What Backstory remembers\n"
    listing = False
    for part in parts:
        match part:
            case Session():
                place = f" · {part.project_id}" if part.project_id else ""
                title = part.title or part.external_id or part.session_id
                yield f"\n## {title}{place}\n\n{minute(part.started_at)} UTC, session `{part.session_id}`\n"
            case Message():
                name = part.speaker or part.tool_name or part.role
                yield f"\n**{name}** ({part.role}, {minute(part.occurred_at)}):\n\n"
                yield "".join(f"> {text}\n" for text in part.content.splitlines() or [""])
            case Summary():
                yield f"\n*Summary, version {part.version}:* {part.draft.text}\n"
            case UserContextEntry():
                yield "" if listing else "\n## User context\n\n"
                listing = True
                place = f" ({part.project_id})" if part.project_id else ""
                yield f"- `{part.key}`{place}: {json.dumps(plain(part.value), ensure_ascii=False)}\n"
