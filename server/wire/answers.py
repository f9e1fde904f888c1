"""From what memory returns to what a client gets: structured data beside the text that a model reads."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Generic, TypeVar

from memory.context.session_context import SessionContext
from memory.context.strategies import ResolvedStrategy
from memory.model import Hit, Interpreted, Json, Message, Session, Summary, UserContextEntry
from memory.ports import TokenCounter
from memory.record.recording import Recorded
from memory.record.sessions import SessionPage
from memory.text import forms, results
from memory.text.plain import plain
from memory.text.quoting import cut
from memory.text.tokens import json_text
from memory.text.wording import counted
from server.wire import fitting
from server.wire import schemas as wire
from server.wire.values import Outgoing

if TYPE_CHECKING:
    from memory.recall import SearchResult, TopicResult

T = TypeVar("T", bound=Outgoing, covariant=True)
CONTENT = 100_000
_DATES = 20


@dataclass(frozen=True, slots=True)
class Answer(Generic[T]):
    """One result in both of its forms."""

    data: T
    text: str


def recorded(done: Recorded, new: int, counter: TokenCounter) -> Answer[wire.Recorded]:
    """What was recorded where, `new` of it for the first time."""
    rows = [wire.RecordedOut(message_id=m.message_id, seq=m.seq) for m in done.messages]
    half = forms.RESULT_TOKENS // 2
    named = fitting.beginning(rows, lambda row: forms.cost(counter, row.model_dump()), half)
    repeated = fitting.beginning(done.duplicates, lambda name: forms.cost(counter, name), half - 1_000)
    left = len(rows) - named + len(done.duplicates) - repeated
    note = (
        f"All is recorded; {counted(left, 'id')} left out here, as they are too long for one answer." if left else None
    )
    data = wire.Recorded(
        session_id=done.session.session_id,
        recorded=rows[:named],
        duplicates=list(done.duplicates[:repeated]),
        note=note,
    )
    return Answer(data, results.recorded(done, new, note))


def found(result: "SearchResult", words: Sequence[str], counter: TokenCounter) -> Answer[wire.SearchAnswer]:
    """Hits, best first; long ones cut around the words asked for."""
    hits, note = fitting.hits(result.hits, words, counter)
    told = interpreted(result.interpreted)
    data = wire.SearchAnswer(hits=[_hit(hit) for hit in hits], interpreted=told, note=note)
    return Answer(data, results.found(replace(result, hits=hits), note))


def topic(result: "TopicResult", counter: TokenCounter) -> Answer[wire.TopicAnswer]:
    """Stretches of conversation, in order; its tokens are those of the larger form."""
    text = results.topic(result)
    data = wire.TopicAnswer(
        stretches=[
            wire.StretchOut(
                session_id=s.session_id,
                session_title=s.session_title,
                from_seq=s.from_seq,
                to_seq=s.to_seq,
                messages=[_among(m) for m in s.messages],
            )
            for s in result.stretches
        ],
        tokens=result.tokens,
    )
    data.tokens = larger(counter, data, text)
    return Answer(data, text)


def entries(rows: Sequence[UserContextEntry], counter: TokenCounter) -> Answer[wire.Entries]:
    """Entries of the user context."""
    rows, note = fitting.entries(rows, counter)
    return Answer(wire.Entries(entries=[entry(row) for row in rows], note=note), results.entries(rows, note))


def summary(made: Summary, counter: TokenCounter) -> Answer[wire.SummaryAnswer]:
    """One version of a session's summary."""
    made = fitting.summary(made, counter)
    return Answer(summary_data(made), results.summary(made))


def no_summary(session_id: str) -> wire.SummaryAnswer:
    """What stands where a session has no summary yet: version 0, which covers nothing."""
    return wire.SummaryAnswer(
        session_id=session_id,
        version=0,
        text="",
        decisions=[],
        commitments=[],
        open_questions=[],
        facts=[],
        covers_to_seq=0,
        producer="none",
        note=None,
    )


def session_context(given: SessionContext, counter: TokenCounter) -> Answer[wire.SessionContextAnswer]:
    """What a model should be given now; its tokens are those of the larger form."""
    nothing = results.NOTHING_FITS if given.left_out else results.NOTHING_KNOWN
    text = results.context(given.instructions, given.messages) or nothing
    data = wire.SessionContextAnswer(
        session_id=given.session_id,
        instructions=given.instructions,
        messages=[_among(m) for m in given.messages],
        recalled=[_hit(hit) for hit in given.recalled],
        user_context=[entry(row) for row in given.user_context],
        summary=summary_data(given.summary) if given.summary else None,
        tokens=given.tokens,
        strategy=_in_force(given.strategy, given.in_short),
        left_out=given.left_out,
        notes=list(given.notes),
    )
    data.tokens = larger(counter, data, text)
    return Answer(data, text)


def _in_force(resolved: ResolvedStrategy, in_short: bool) -> wire.StrategyInForce:
    """The strategy beside a context, with who decided what somebody decided."""
    told = _strategy_data(resolved).model_dump()
    if in_short:
        return wire.StrategyInForce(mode=told["mode"], decided_by=told["decided_by"])
    told["knobs_decided_by"] = {knob: layer for knob, layer in resolved.decided_by.items() if layer != "none"}
    return wire.StrategyInForce(**told)


def larger(counter: TokenCounter, data: Outgoing, text: str) -> int:
    """The tokens of the larger of a result's two forms."""
    return max(counter.count(text), counter.count(json_text(data.model_dump(mode="json"))))


def _strategy_data(resolved: ResolvedStrategy) -> wire.StrategyOut:
    """The strategy in force, who decided its mode, and who decided each of its knobs."""
    return wire.StrategyOut(
        mode=resolved.mode,
        decided_by=resolved.decided_by["mode"],
        keep_turns=resolved.keep_turns,
        summarize_after=resolved.summarize_after,
        max_tokens=resolved.max_tokens,
        keep_tool_results=resolved.keep_tool_results,
        knobs_decided_by=dict(resolved.decided_by),
    )


def strategy(resolved: ResolvedStrategy, level: str) -> Answer[wire.StrategyOut]:
    """The strategy that a level now has."""
    return Answer(_strategy_data(resolved), results.strategy(resolved, level))


def archived(
    one: Session | None, made: Summary | None, messages: Sequence[Message], counter: TokenCounter
) -> Answer[wire.ArchivedSession]:
    """The last archived conversation, with its summary and last turns."""
    half = forms.RESULT_TOKENS // 2
    made = fitting.summary(made, counter, half - 2_000) if made else None
    messages = fitting.last(messages, counter, half - 2_000)
    data = wire.ArchivedSession(
        session=session_data(one) if one else None,
        summary=summary_data(made) if made else None,
        messages=[_among(m) for m in messages],
    )
    return Answer(data, results.archived(one, made, messages))


def sessions(page: SessionPage, counter: TokenCounter) -> Answer[wire.Sessions]:
    """A page of sessions."""
    page = fitting.sessions(page, counter, lambda one: session_data(one).model_dump(mode="json"))
    data = wire.Sessions(sessions=[session_data(s) for s in page.sessions], next_cursor=page.next_cursor)
    return Answer(data, results.sessions(page))


def session(one: Session, what: str) -> Answer[wire.SessionAnswer]:
    """One session, and what was done with it."""
    return Answer(wire.SessionAnswer(**session_data(one).model_dump()), results.session(one, what))


def session_data(s: Session) -> wire.SessionOut:
    """A session on the wire."""
    return wire.SessionOut(**{name: getattr(s, name) for name in wire.SessionOut.model_fields})


def _among(m: Message) -> wire.MessageOut:
    """A message among others of its session, which is named once."""
    return message(m).model_copy(update={"session_id": None})


def message(m: Message, *, whole: bool = False) -> wire.MessageOut:
    """A message on the wire; `whole` adds what only the record's own view shows, and cuts nothing."""
    values = {name: getattr(m, name) for name in wire.MessageOut.model_fields if name in _IN_SHORT or whole}
    if whole:
        return wire.WholeMessageOut(**values)
    values["content"] = cut(m.content, CONTENT)
    values["status"] = None if m.status == "final" else m.status
    values["occurred_at"] = m.occurred_at.replace(microsecond=0)
    return wire.MessageOut(**values)


_IN_SHORT = frozenset({
    "message_id", "session_id", "seq", "role", "speaker", "occurred_at", "content", "status",
    "tool_name", "tool_call_id", "tool_arguments",
})  # fmt: skip


def entry(row: UserContextEntry) -> wire.EntryOut:
    """An entry of the user context on the wire."""
    return wire.EntryOut.model_validate(forms.entry(row))


def summary_data(made: Summary) -> wire.SummaryAnswer:
    """A summary on the wire."""
    return wire.SummaryAnswer.model_validate(forms.summary(made))


def interpreted(understood: Interpreted) -> dict[str, Json]:
    """The dates and filters that a query was understood to hold; only what there is."""
    values = {
        "filters": dict(understood.filters),
        "dates": [dict(d) for d in understood.dates[:_DATES]],
        "speaker": understood.speaker,
        "role": understood.role,
        "asks_when": understood.asks_when,
    }
    return {k: v for k, v in plain(values).items() if v not in (None, False) or k in ("filters", "dates")}


def _hit(hit: Hit) -> wire.HitOut:
    m = hit.message
    return wire.HitOut(
        message_id=m.message_id,
        session_id=m.session_id,
        session_title=hit.session_title,
        seq=m.seq,
        role=m.role,
        speaker=m.speaker,
        occurred_at=m.occurred_at.replace(microsecond=0),
        content=cut(m.content, CONTENT),
        score=forms.score(hit),
        superseded_by=hit.superseded_by,
    )
