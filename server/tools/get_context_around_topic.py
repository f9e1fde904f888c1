"""The tool that finds stretches of conversation."""

from typing import Annotated

from pydantic import Field

from memory.model import NEIGHBOURS, MessageFilter
from memory.text.forms import RESULT_TOKENS
from server.calling import Call
from server.tools import parameters as p
from server.tools.toolbox import reads
from server.wire import answers
from server.wire.answers import Answer
from server.wire.schemas import TopicAnswer
from server.wire.values import NotBool, count

Window = Annotated[int, count(0, NEIGHBOURS), NotBool, Field(description="Messages each side")]


@reads("Get context around a topic")
def get_context_around_topic(
    call: Call,
    topic: str,
    max_tokens: p.MaxTokens = 1500,
    window: Window = 3,
    days_back: p.DaysBack = None,
    since: p.After = None,
    until: p.Before = None,
    project_id: p.InProject = None,
    scope: p.Scope = "all",
    session_id: p.InSession = None,
    role: p.OneRole = None,
    channel: p.OneChannel = None,
) -> Answer[TopicAnswer]:
    """Get the stretches of past conversation around a topic, in order and within a token budget. Call it when single
    hits are not enough: to take up a subject again, or to see how something was decided."""
    from memory.recall import TopicRequest

    if session_id is not None:
        call.session(session_id)
    where = MessageFilter(scope, project_id, session_id, role, channel, since, until)
    wanted = TopicRequest(topic, where, days_back, min(max_tokens, RESULT_TOKENS), window)
    return answers.topic(call.memory.recall.topic(call.owner, wanted), call.memory.counter)
