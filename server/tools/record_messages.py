"""The tool that writes the record."""

from typing import Annotated

from pydantic import Field

from memory.model import MESSAGES_AT_ONCE
from memory.record.recording import record
from memory.record.sessions import Target
from server.calling import Call
from server.protocol import addresses
from server.tools import parameters as p
from server.tools.toolbox import writes
from server.wire import answers
from server.wire.answers import Answer
from server.wire.schemas import MessageIn, Recorded

Messages = Annotated[list[MessageIn], Field(min_length=1, max_length=MESSAGES_AT_ONCE)]


@writes("Record messages", idempotent=False)
def record_messages(
    call: Call,
    messages: Messages,
    session_id: p.Session = None,
    project_id: p.Project = None,
    channel: p.OneChannel = None,
    agent: p.Agent = None,
    external_id: p.ExternalId = None,
) -> Answer[Recorded]:
    """Record what was said, word for word, so that later conversations can recall it. Call it after each turn
    with the user's message, your answer, and tool calls with arguments and results. Give each message an `id`
    to make repeating safe."""
    began = call.memory.clock()
    target = Target(session_id=session_id, external_id=external_id, project_id=project_id, channel=channel, agent=agent)
    done = record(
        call.memory.store,
        call.owner,
        [m.new() for m in messages],
        target,
        call.memory.clock,
        content_limit=call.memory.settings.max_message,
    )
    new = len({m.message_id for m in done.messages if m.recorded_at >= began})
    if new:
        call.changed += addresses.after_recording(done.session)
        call.memory.triggers.recorded(call.owner, done.session.session_id)
    return answers.recorded(done, new, call.memory.counter)
