"""Everything that is remembered of one owner, written out as a stream: json, jsonl or markdown.

The jsonl form is what `backstory import` reads; nothing of a message is lost on the way (see docs/import-jsonl.md).
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict
from typing import Any

from memory.model import Message, Owner, Session, SessionFilter, Summary, UserContextEntry
from memory.ports import Records, RecordStore
from memory.text.plain import minute, plain

_PAGE = 500
Portion = Session | Message | Summary | UserContextEntry


def portions(store: RecordStore, owner: Owner) -> Iterator[Portion]:
    """The oldest session first, each followed by its messages in order and its summaries; then the user context.

    All from one snapshot, a page in memory at a time.
    """
    with store.read(owner) as records:
        sessions = sorted(_all_sessions(records), key=lambda session: (session.started_at, session.session_id))
        for session in sessions:
            yield session
            yield from transcript(records, session)
            yield from records.summaries(session.session_id)
        for project_id in (None, *records.projects()):
            for entry in records.user_context(project_id):
                if not entry.deleted:
                    yield entry


def _all_sessions(records: Records) -> Iterator[Session]:
    before = None
    while page := records.sessions(SessionFilter(), _PAGE, before):
        yield from page
        before = (page[-1].last_activity_at, page[-1].session_id)


def transcript(records: Records, session: Session) -> Iterator[Message]:
    for first in range(1, session.last_seq + 1, _PAGE):
        yield from records.transcript(session.session_id, first, first + _PAGE - 1)


def line(portion: Portion) -> dict[str, Any]:
    """One portion as an object with a `type`, without what is empty."""
    match portion:
        case Session():
            told = asdict(portion)
            for name in ("last_seq", "message_digest"):
                del told[name]
            return {"type": "session", **present(told)}
        case Message():
            told = asdict(portion)
            told["id"] = told.pop("client_id")
            for name in ("project_id", "channel", "digest"):  # the session's own line says the first two
                del told[name]
            return {"type": "message", **present(told)}
        case Summary():
            told = asdict(portion)
            draft = told.pop("draft")
            return {"type": "summary", **present({**told, **draft})}
        case UserContextEntry():
            told = asdict(portion)
            del told["deleted"]
            return {"type": "user_context", **present(told), "value": portion.value}


def present(told: Mapping[str, Any]) -> dict[str, Any]:
    return {name: plain(value) for name, value in told.items() if value is not None and value != ()}


def _to_jsonl(parts: Iterable[Portion]) -> Iterator[str]:
    for part in parts:
        yield json.dumps(line(part), ensure_ascii=False) + "\n"


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


def _to_markdown(parts: Iterable[Portion]) -> Iterator[str]:
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


FORMATS: Mapping[str, Callable[[Iterable[Portion]], Iterator[str]]] = {
    "json": to_json,
    "jsonl": _to_jsonl,
    "markdown": _to_markdown,
}
