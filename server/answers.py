"""From what memory returns to what a client gets: structured data, and a text that a model reads well.

Recalled words stand in the text as quoted data with their role, speaker and date, never as instructions.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Generic, TypeVar

from memory.model import Commitment, Fact, Hit, Interpreted, Json, Message, Session, Summary, UserContextEntry
from memory.plain import iso, plain
from server import schemas as wire

if TYPE_CHECKING:
    from memory.recall import SearchResult, TopicResult
    from memory.recording import Recorded
    from memory.session_context import SessionContext
    from memory.sessions import SessionPage
    from memory.strategies import ResolvedStrategy

T = TypeVar("T", bound=wire.Outgoing, covariant=True)
EXCERPT = 4_000
CONTENT = 100_000


@dataclass(frozen=True, slots=True)
class Answer(Generic[T]):
    """One result in both of its forms."""

    data: T
    text: str


def recorded(done: "Recorded", new: int) -> Answer[wire.Recorded]:
    """What was recorded where, `new` of it for the first time."""
    data = wire.Recorded(
        session_id=done.session.session_id,
        recorded=[wire.RecordedOut(message_id=m.message_id, seq=m.seq) for m in done.messages],
        duplicates=list(done.duplicates),
    )
    text = f"Recorded {counted(new, 'message')} in session {data.session_id}."
    if data.duplicates:
        text += f" Already recorded, and left as they were: {counted(len(data.duplicates), 'message')}."
    return Answer(data, text)


def found(result: "SearchResult") -> Answer[wire.SearchAnswer]:
    """Hits, best first."""
    data = wire.SearchAnswer(hits=[_hit(hit) for hit in result.hits], interpreted=interpreted(result.interpreted))
    if not result.hits:
        return Answer(data, "Nothing was found. Other words, fewer filters or a longer time may find more.")
    parts = []
    for hit in result.hits:
        m = hit.message
        parts += [_place(m.session_id, hit.session_title, m.seq, m.seq), quotation(m)]
    return Answer(data, f"{counted(len(result.hits), 'message')} found, best first.\n{framed(parts)}")


def topic(result: "TopicResult") -> Answer[wire.TopicAnswer]:
    """Stretches of conversation, in order."""
    data = wire.TopicAnswer(
        stretches=[
            wire.StretchOut(
                session_id=s.session_id,
                session_title=s.session_title,
                from_seq=s.from_seq,
                to_seq=s.to_seq,
                messages=[message(m) for m in s.messages],
            )
            for s in result.stretches
        ],
        tokens=result.tokens,
    )
    if not result.stretches:
        return Answer(data, "Nothing was found around this topic.")
    places = [_place(s.session_id, s.session_title, s.from_seq, s.to_seq) for s in result.stretches]
    parts = ["\n".join([place, *map(quotation, s.messages)]) for place, s in zip(places, result.stretches, strict=True)]
    return Answer(data, f"{counted(len(parts), 'stretch', 'stretches')} of conversation found.\n{framed(parts)}")


def entries(rows: Sequence[UserContextEntry]) -> Answer[wire.Entries]:
    """Entries of the user context."""
    data = wire.Entries(entries=[entry(row) for row in rows])
    return Answer(data, "\n".join(map(_entry_line, rows)) or "Nothing is known yet.")


def summary(made: Summary) -> Answer[wire.SummaryAnswer]:
    """One version of a session's summary."""
    from memory.quoting import label

    which = f"Session {label(made.session_id)}, summary version {made.version}, up to message {made.covers_to_seq}"
    note = f" ({label(made.note, 200)})" if made.note else ""
    return Answer(summary_data(made), f"{which}{note}:\n{framed([summary_text(made)])}")


def summary_text(made: Summary) -> str:
    """The summary's words and lists, one thing a line."""
    from memory.quoting import quoted

    draft = made.draft
    lines = [draft.text]
    for title, items in (
        ("Decisions", [f.text for f in draft.decisions]),
        ("Commitments", [_promise(c) for c in draft.commitments]),
        ("Open questions", [f.text for f in draft.open_questions]),
        ("Facts", [f.text for f in draft.facts]),
    ):
        if items:
            lines += [f"{title}:", *(f"- {' '.join(item.split())}" for item in items)]
    return quoted("\n".join(lines))


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


def session_context(given: "SessionContext") -> Answer[wire.SessionContextAnswer]:
    """What a model should be given now; the text is the one whose tokens were counted."""
    from memory.session_context import as_text

    data = wire.SessionContextAnswer(
        session_id=given.session_id,
        instructions=given.instructions,
        messages=[message(m) for m in given.messages],
        recalled=[_hit(hit) for hit in given.recalled],
        user_context=[entry(row) for row in given.user_context],
        summary=summary_data(given.summary) if given.summary else None,
        tokens=given.tokens,
        strategy=strategy_data(given.strategy),
        left_out=given.left_out,
        notes=list(given.notes),
    )
    return Answer(data, as_text(given.instructions, given.messages) or "Nothing is known yet.")


def strategy_data(resolved: "ResolvedStrategy") -> wire.StrategyOut:
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


def strategy(resolved: "ResolvedStrategy", level: str) -> Answer[wire.StrategyOut]:
    """The strategy that a level now has."""
    data = strategy_data(resolved)
    return Answer(data, f"In force for this {level}: {data.mode} (decided by: {data.decided_by}).")


def archived(one: Session | None, made: Summary | None, messages: Sequence[Message]) -> Answer[wire.ArchivedSession]:
    """The last archived conversation, with its summary and last turns."""
    data = wire.ArchivedSession(
        session=session_data(one) if one else None,
        summary=summary_data(made) if made else None,
        messages=[message(m) for m in messages],
    )
    if one is None:
        return Answer(data, "No conversation has been archived yet.")
    parts = [f"The last archived conversation: {session_line(one)}."]
    parts += [framed([summary_text(made)])] if made else []
    parts += [f"Its last turns:\n{framed(map(quotation, messages))}"] if messages else []
    return Answer(data, "\n\n".join(parts))


def session_line(session: Session) -> str:
    """A session in one line."""
    from memory.quoting import label

    facts = [f"last active {_minute(iso(session.last_activity_at))}", counted(session.message_count, "message")]
    facts += [f"project {label(session.project_id)}"] if session.project_id else []
    facts += [session.channel] if session.channel else []
    facts += ["archived"] if session.archived_at else []
    return f"{_name(session.session_id, session.title)}: {', '.join(facts)}"


def sessions(page: "SessionPage") -> Answer[wire.Sessions]:
    """A page of sessions."""
    data = wire.Sessions(sessions=[session_data(s) for s in page.sessions], next_cursor=page.next_cursor)
    lines = [f"- {session_line(s)}" for s in page.sessions] or ["There are no such sessions."]
    return Answer(data, "\n".join([*lines, *([f"More with cursor {page.next_cursor}."] if page.next_cursor else [])]))


def session(one: Session, what: str) -> Answer[wire.SessionAnswer]:
    """One session, and what was done with it."""
    return Answer(wire.SessionAnswer(**session_data(one).model_dump()), f"{what}: {session_line(one)}.")


def session_data(s: Session) -> wire.SessionOut:
    """A session on the wire."""
    return wire.SessionOut(**{name: getattr(s, name) for name in wire.SessionOut.model_fields})


def message(m: Message, *, whole: bool = False) -> wire.MessageOut:
    """A message on the wire; `whole` adds what only the record's own view shows, and cuts nothing."""
    values = {name: getattr(m, name) for name in wire.MessageOut.model_fields if name not in _RECORD_ONLY or whole}
    if not whole:
        values["content"] = cut(m.content)
        values["status"] = None if m.status == "final" else m.status
    return wire.MessageOut(**values)


_RECORD_ONLY = frozenset({"channel", "agent", "recorded_at", "intent", "intent_confidence", "entities", "metadata"})


def entry(row: UserContextEntry) -> wire.EntryOut:
    """An entry of the user context on the wire."""
    return wire.EntryOut(
        key=row.key,
        value=None if row.deleted else row.value,
        category=row.category,
        version=row.version,
        updated_at=row.updated_at,
        expires_at=row.expires_at,
        project_id=row.project_id,
        source_message_id=row.source_message_id,
        source="inferred" if row.source == "inferred" else None,
        confidence=row.confidence,
        removed=True if row.deleted else None,
    )


def summary_data(made: Summary) -> wire.SummaryAnswer:
    """A summary on the wire. A note of which nothing but its words is known is plain text, as it was handed in."""
    return wire.SummaryAnswer(
        session_id=made.session_id,
        version=made.version,
        text=made.draft.text,
        decisions=[_note(f) for f in made.draft.decisions],
        commitments=[_commitment(c) for c in made.draft.commitments],
        open_questions=[_note(f) for f in made.draft.open_questions],
        facts=[_note(f) for f in made.draft.facts],
        covers_to_seq=made.covers_to_seq,
        producer=made.producer,
        note=made.note,
    )


def interpreted(understood: Interpreted) -> dict[str, Json]:
    """The dates and filters that a query was understood to hold; only what there is."""
    values = {
        "filters": dict(understood.filters),
        "dates": [dict(d) for d in understood.dates],
        "speaker": understood.speaker,
        "role": understood.role,
        "asks_when": understood.asks_when,
    }
    return {k: v for k, v in plain(values).items() if v not in (None, False) or k in ("filters", "dates")}


def cut(text: str, limit: int = CONTENT) -> str:
    """`text` up to `limit` characters, with a note where the rest is missing."""
    if len(text) <= limit:
        return text
    return f"{text[:limit]} […{len(text) - limit:,} more characters in the session's messages]"


def quotation(m: Message) -> str:
    """A message as quoted data, a very long one shortened."""
    from memory import quoting
    from memory.tokens import json_text

    arguments = m.tool_arguments
    if arguments is not None and len(text := json_text(arguments)) > EXCERPT:
        arguments = cut(text, EXCERPT)
    return quoting.quotation(replace(m, content=cut(m.content, EXCERPT), tool_arguments=arguments))


def framed(quotations: Iterable[str]) -> str:
    """Quotations inside the frame that says what they are."""
    from memory import quoting

    return "\n".join([quoting.OPEN, *quotations, quoting.CLOSE])


def counted(number: int, one: str, many: str | None = None) -> str:
    """'1 message', '2 messages'."""
    return f"{number} {one if number == 1 else many or one + 's'}"


def _hit(hit: Hit) -> wire.HitOut:
    m = hit.message
    return wire.HitOut(
        message_id=m.message_id,
        session_id=m.session_id,
        session_title=hit.session_title,
        seq=m.seq,
        role=m.role,
        speaker=m.speaker,
        occurred_at=m.occurred_at,
        content=cut(m.content),
        score=round(hit.score, 6),
    )


def _place(session_id: str, title: str | None, first: int, last: int) -> str:
    span = f"no. {first}" if first == last else f"no. {first} to {last}"
    return f"Session {_name(session_id, title)}, {span}:"


def _name(session_id: str, title: str | None) -> str:
    from memory.quoting import label

    return f"{label(session_id)} “{label(title)}”" if title else label(session_id)


def _minute(text: str) -> str:
    return f"{text[:10]} {text[11:16]} UTC"


def _entry_line(row: UserContextEntry) -> str:
    from memory.quoting import label, value_text

    value = "removed" if row.deleted else value_text(row.value, 2_000)
    notes = [row.category, f"version {row.version}"]
    notes += ["inferred"] if row.source == "inferred" else []
    notes += [f"until {_minute(iso(row.expires_at))}"] if row.expires_at else []
    return f"- {label(row.key, 128)}: {value} ({', '.join(notes)})"


def _note(fact: Fact) -> Json:
    return fact.text if fact.message_id is None else {"text": fact.text, "message_id": fact.message_id}


def _commitment(c: Commitment) -> Json:
    known = {"who": c.who, "by_when": c.by_when, "message_id": c.message_id}
    rest = {name: value for name, value in known.items() if value is not None}
    return {"what": c.what, **rest} if rest else c.what


def _promise(c: Commitment) -> str:
    known = [f"promised by {c.who}"] if c.who else []
    known += [f"due {c.by_when}"] if c.by_when else []
    return f"{c.what} ({', '.join(known)})" if known else c.what
