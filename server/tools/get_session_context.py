"""The tool that hands a model its starting point."""

from typing import Annotated

from pydantic import Field, WithJsonSchema

from memory.context.session_context import ContextRequest
from memory.model import Purpose
from memory.text.forms import RESULT_TOKENS
from server.calling import Call
from server.tools import parameters as p
from server.tools.toolbox import reads
from server.wire import answers
from server.wire.answers import Answer
from server.wire.schemas import SessionContextAnswer, StrategyIn

_KNOBS = "{mode: none|trim|summarize|compact, keep_turns, summarize_after, max_tokens, keep_tool_results}, all optional"
Strategy = Annotated[StrategyIn | None, WithJsonSchema({"type": "object", "description": _KNOBS})]
Query = Annotated[str | None, Field(description="What the user wants now: adds recalled messages")]


@reads("Get session context")
def get_session_context(
    call: Call,
    session_id: p.Session = None,
    project_id: p.Project = None,
    query: Query = None,
    max_tokens: p.MaxTokens = 4000,
    strategy: Strategy = None,
    purpose: Purpose = "chat",
) -> Answer[SessionContextAnswer]:
    """Get what you should know now, ready to use: user context, summary, the last turns and recalled messages, within a
    token budget. Call it first in a new conversation, or after losing your context."""
    wanted = ContextRequest(
        session_id=session_id,
        project_id=project_id,
        query=query,
        max_tokens=min(max_tokens, RESULT_TOKENS),
        strategy=strategy.value() if strategy else None,
        purpose=purpose,
        agent=call.caller.agent,
        display_name=call.caller.display_name,
    )
    call.given = call.memory.session_contexts.get(call.owner, wanted)
    return answers.session_context(call.given, call.memory.counter)
