"""Sessions as resources: the list, one of them, its messages, its summary, and what a model should be given of it."""

from memory.context.session_context import ContextRequest
from memory.model import SessionFilter
from memory.record.sessions import existing, list_page
from server.calling import Call
from server.protocol import addresses
from server.resources.table import Document, resource
from server.wire import answers

NEWEST = 100


@resource(addresses.SESSIONS, "Sessions", "Your conversations, newest first (up to 100)")
def sessions(call: Call) -> Document:
    page = list_page(call.memory.store, call.owner, SessionFilter(), NEWEST, None)
    return Document(answers.sessions(page).data)


@resource(addresses.SESSION, "Session", "A conversation: its title, project, times and number of messages")
def session(call: Call, session_id: str) -> Document:
    return Document(answers.session_data(call.session(session_id)))


@resource(addresses.MESSAGES, "Messages of a session", "All that was said in a conversation, word for word, in order")
def session_messages(call: Call, session_id: str) -> Document:
    with call.memory.store.read(call.owner) as records:
        existing(records, session_id)
        messages = records.transcript(session_id)
    rows = [answers.message(m, whole=True).model_dump(mode="json") for m in messages]
    return Document({"session_id": session_id, "messages": rows})


@resource(addresses.SUMMARY, "Summary of a session", "Its newest version; version 0 says there is none yet")
def session_summary(call: Call, session_id: str) -> Document:
    with call.memory.store.read(call.owner) as records:
        existing(records, session_id)
        summary = records.latest_summary(session_id)
    return Document(answers.summary_data(summary) if summary else answers.no_summary(session_id))


@resource(addresses.CONTEXT, "Context of a session", "What a model should be given of a conversation now, ready to use")
def session_context(call: Call, session_id: str) -> Document:
    wanted = ContextRequest(session_id=session_id, display_name=call.caller.display_name)
    given = call.memory.session_contexts.get(call.owner, wanted)
    answer = answers.session_context(given)
    return Document(answer.data, answer.text)
