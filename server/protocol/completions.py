"""What an argument could become: session ids (found by id or title), topics, projects."""

from collections.abc import Iterable

from mcp.types import PromptReference, ResourceTemplateReference

from memory.model import Session, SessionFilter
from memory.names import named
from server.calling import Call
from server.protocol import addresses

MOST = 100
_LOOKED_AT = 500
_TEMPLATES = (addresses.SESSION, addresses.MESSAGES, addresses.MESSAGES_FROM, addresses.SUMMARY, addresses.CONTEXT)


def suggestions(
    call: Call, reference: PromptReference | ResourceTemplateReference, argument: str, typed: str
) -> list[str]:
    """Values with a word that begins with `typed` (of a session: its id or title), newest first.

    One more than MOST says that there are more.
    """
    if isinstance(reference, ResourceTemplateReference):
        if reference.uri in _TEMPLATES and argument == "session_id":
            return _first(
                s.session_id for s in _newest(call) if _begins(s.session_id, typed) or _begins(s.title, typed)
            )
        return []
    if argument == "project_id":
        return _first(s.project_id for s in _newest(call) if s.project_id and _begins(s.project_id, typed))
    if argument in ("topic", "query"):
        return _first(s.title for s in _newest(call) if s.title and _begins(s.title, typed))
    return []


def _newest(call: Call) -> list[Session]:
    with call.memory.store.read(call.owner) as records:
        return records.sessions(SessionFilter(), _LOOKED_AT)


def _begins(text: str | None, typed: str) -> bool:
    start = named(typed).casefold()
    folded = named(text or "").casefold()
    return folded.startswith(start) or any(word.startswith(start) for word in folded.split())


def _first(values: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(values))[: MOST + 1]
