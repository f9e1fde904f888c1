"""The tool that opens a session."""

from memory.record.sessions import Target, start
from server.calling import Call
from server.protocol import addresses
from server.tools import parameters as p
from server.tools.toolbox import writes
from server.wire import answers
from server.wire.answers import Answer
from server.wire.schemas import SessionAnswer


@writes("Start a session", idempotent=False)
def start_session(
    call: Call,
    title: str | None = None,
    project_id: p.Project = None,
    channel: p.OneChannel = None,
    external_id: p.ExternalId = None,
    agent: p.Agent = None,
) -> Answer[SessionAnswer]:
    """Open a new conversation, which messages without a `session_id` then go to. An `external_id` that exists gives its
    session again."""
    began = call.memory.clock()

    target = Target(external_id=external_id, project_id=project_id, channel=channel, agent=agent, title=title)
    session = start(call.memory.store, call.owner, target, call.memory.clock)
    new = session.started_at >= began
    if new:
        call.changed += addresses.after_session_change(session.session_id)
    return answers.session(session, "Started" if new else "Found again")
