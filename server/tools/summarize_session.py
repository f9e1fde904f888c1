"""The tool that writes summaries."""

from typing import Annotated

from pydantic import Field

from server import answers
from server.answers import Answer
from server.calling import Call
from server.resources import addresses
from server.schemas import NotBool, SummaryAnswer, SummaryIn, count
from server.tools import parameters as p
from server.tools.toolbox import writes

Own = Annotated[SummaryIn | None, Field(description="Your own words, stored as they are; absent: made for you")]
Length = Annotated[int | None, count(50, 20_000), NotBool]


@writes("Summarize a session", idempotent=False)
def summarize_session(
    call: Call, session_id: p.Session = None, summary: Own = None, max_tokens: Length = None
) -> Answer[SummaryAnswer]:
    """Store a new version of a session's rolling summary, with decisions, commitments, open questions and
    facts. Call it when a conversation ends or grows long; best with your own `summary`."""
    began = call.memory.clock()
    made = call.memory.summarizing.summarize(
        call.owner, session_id, draft=summary.draft() if summary else None, max_tokens=max_tokens
    )
    if made.created_at >= began:
        call.changed += addresses.after_summary(call.session(made.session_id))
    return answers.summary(made)
