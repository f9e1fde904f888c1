"""The last archived conversation, for taking it up again."""

from server import answers
from server.calling import Call
from server.resources import addresses
from server.resources.table import Document, resource

LAST_MESSAGES = 20


@resource(addresses.LATEST_ARCHIVED, "Last archived conversation", "The summary and the last turns of the conversation archived last")
def latest_archived(call: Call) -> Document:
    with call.memory.store.read(call.owner) as records:
        session = records.latest_archived()
        if session is None:
            return Document({"session": None, "summary": None, "messages": []}, "No conversation has been archived yet.")
        summary = records.latest_summary(session.session_id)
        messages = records.transcript(session.session_id, last=LAST_MESSAGES)
    data = {
        "session": answers.session_data(session).model_dump(mode="json"),
        "summary": answers.summary_data(summary).model_dump(mode="json") if summary else None,
        "messages": [answers.message(m).model_dump(mode="json") for m in messages],
    }
    return Document(data, answers.archived_text(session, summary, messages))
