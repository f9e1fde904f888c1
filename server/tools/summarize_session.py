"""The tool that writes summaries."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field

from inference.summarizers.prompting import prompt_for
from inference.summarizers.sampling import AskedSummarizer, answered
from memory.model import SUMMARY_TOKENS
from memory.ports import Summarizer
from server.calling import Call
from server.protocol import addresses
from server.protocol.sampling import Question
from server.tools import parameters as p
from server.tools.toolbox import writes
from server.wire import answers
from server.wire.answers import Answer
from server.wire.schemas import SummaryAnswer, SummaryIn
from server.wire.values import NotBool, count

Own = Annotated[SummaryIn | None, Field(description="Your own words, stored as they are; absent: made for you")]
Length = Annotated[int | None, count(*SUMMARY_TOKENS), NotBool]


def _question(call: Call, values: Mapping[str, Any], asked_up_to: int | None) -> Question | None:
    """What the client's model is to fold, where the settings choose it and the agent brings no words of its own."""
    if call.memory.settings.summarizer != "client" or values["summary"] is not None:
        return None
    pending = call.memory.summarizing.pending(
        call.owner, values["session_id"], max_tokens=values["max_tokens"], to_seq=asked_up_to
    )
    if pending is None:
        return None
    return Question(prompt_for(pending.previous, pending.messages, pending.max_tokens), pending.to_seq)


def _client(call: Call) -> tuple[Summarizer, ...]:
    if call.model_answer is None:
        return ()
    words, question = call.model_answer.words, call.model_answer.question
    if isinstance(words, str):
        return (answered(question.prompt, words),)

    def fail(_: object) -> str:
        raise words

    return (AskedSummarizer(fail),)


@writes("Summarize a session", idempotent=False, asks=_question)
def summarize_session(
    call: Call, session_id: p.Session = None, summary: Own = None, max_tokens: Length = None
) -> Answer[SummaryAnswer]:
    """Store a new version of a session's rolling summary, with decisions, commitments, open questions and
    facts. Call it when a conversation ends or grows long; best with your own `summary`."""
    began = call.memory.clock()
    made = call.memory.summarizing.summarize(
        call.owner,
        session_id,
        draft=summary.draft() if summary else None,
        max_tokens=max_tokens,
        to_seq=call.model_answer.question.to_seq if call.model_answer else None,
        first=_client(call),
    )
    if made.created_at >= began:
        call.changed += addresses.after_summary(call.session(made.session_id))
    return answers.summary(made, call.memory.counter)
