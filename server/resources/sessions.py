"""Sessions as resources: the list, one of them, its messages, its summary, and what a model should be given of it."""

from collections.abc import Mapping
from typing import Any

from memory.context.session_context import ContextRequest
from memory.errors import Invalid, shown
from memory.model import SessionFilter
from memory.record.sessions import existing, list_page
from server.calling import Call
from server.protocol import addresses
from server.resources.message_pages import Place, read_page
from server.resources.table import Document, resource
from server.wire import answers

NEWEST = 100


@resource(addresses.SESSIONS, "Sessions", "Your conversations, newest first (up to 100)")
def sessions(call: Call) -> Document:
    page = list_page(call.memory.store, call.owner, SessionFilter(), NEWEST, None)
    return Document(answers.sessions(page, call.memory.counter).data)


@resource(addresses.SESSION, "Session", "A conversation: its title, project, times and number of messages")
def session(call: Call, session_id: str) -> Document:
    return Document(answers.session_data(call.session(session_id)))


@resource(
    addresses.MESSAGES,
    "Messages of a session",
    "All that was said in a conversation, word for word, in order; of a long one the beginning, and in `next` the "
    "address of what follows",
)
def session_messages(call: Call, session_id: str) -> Document:
    return _messages(call, session_id, Place(1), None)


@resource(
    addresses.MESSAGES_FROM,
    "A part of a session's messages",
    "From one message number on, to another; `offset` is the character at which to begin in a very long message",
)
def session_messages_from(call: Call, session_id: str, **asked: str) -> Document:
    first, last, offset = (_number(asked, name) for name in ("from", "to", "offset"))
    return _messages(call, session_id, Place(first or 1, offset or 0), last)


def _messages(call: Call, session_id: str, start: Place, to_seq: int | None) -> Document:
    page = read_page(call.memory.store, call.owner, session_id, start, to_seq=to_seq, counter=call.memory.counter)
    data: dict[str, Any] = {
        "session_id": session_id,
        "messages": [row.model_dump(mode="json") for row in page.rows],
    }
    if page.part is not None:
        data["part"] = page.part.model_dump(mode="json")
    if page.next is not None:
        data["next"] = addresses.messages_from(session_id, page.next.seq, to_seq, page.next.offset)
        data["note"] = "This is not all: read the resource that `next` names to go on."
    return Document(data)


def _number(asked: Mapping[str, str], name: str) -> int | None:
    text = asked.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise Invalid(name, f"is {shown(text)}", "give a whole number")
    return int(text)


@resource(addresses.SUMMARY, "Summary of a session", "Its newest version; version 0 says there is none yet")
def session_summary(call: Call, session_id: str) -> Document:
    with call.memory.store.read(call.owner) as records:
        session_id = existing(records, session_id).session_id
        summary = records.latest_summary(session_id)
    return Document(answers.summary(summary, call.memory.counter).data if summary else answers.no_summary(session_id))


@resource(addresses.CONTEXT, "Context of a session", "What a model should be given of a conversation now, ready to use")
def session_context(call: Call, session_id: str) -> Document:
    wanted = ContextRequest(session_id=session_id, display_name=call.caller.display_name)
    given = call.memory.session_contexts.get(call.owner, wanted)
    answer = answers.session_context(given, call.memory.counter)
    return Document(answer.data, answer.text)
