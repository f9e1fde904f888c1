"""The last archived conversation, for taking it up again."""

from memory.model import Message, Session, Summary
from memory.text.order import as_said
from server.calling import Call
from server.protocol import addresses
from server.resources.table import Document, resource
from server.wire import answers

LAST_MESSAGES = 20


@resource(
    addresses.LATEST_ARCHIVED,
    "Last archived conversation",
    "Its summary and its last turns",
)
def latest_archived(call: Call) -> Document:
    with call.memory.store.read(call.owner) as records:
        session = records.latest_archived()
        if session is None:
            return _document(call, None, None, [])
        summary = records.latest_summary(session.session_id)
        messages = as_said(records.transcript(session.session_id, last=LAST_MESSAGES))
    return _document(call, session, summary, messages)


def _document(call: Call, session: Session | None, summary: Summary | None, messages: list[Message]) -> Document:
    answer = answers.archived(session, summary, messages, call.memory.counter)
    return Document(answer.data, answer.text)
