"""The wire format: what comes in and goes out, field names exactly as outsiders see them. Times are ISO 8601 UTC."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    WithJsonSchema,
    model_validator,
)

from memory.model import (
    KNOBS,
    Category,
    Channel,
    Commitment,
    Fact,
    Mode,
    NewMessage,
    Role,
    Source,
    Status,
    Strategy,
    SummaryDraft,
)
from server.wire.values import (
    IF_ANY,
    Id,
    Incoming,
    Json,
    NotBool,
    Noted,
    Outgoing,
    Since,
    Sparse,
    Time,
    count,
    wrong_value,
)


class MessageFields(BaseModel):
    """What a message has, at whatever door it comes in. What each door takes is said by a class of its own."""

    role: Role
    content: str
    id: str | None = None
    occurred_at: datetime | None = None
    speaker: str | None = None
    tool_name: str | None = None
    tool_call_id: str | None = None
    tool_arguments: Json = None
    intent: str | None = None
    intent_confidence: float | None = None
    entities: Json = None
    metadata: dict[str, Json] | None = None
    status: Status = "final"

    def new(self) -> NewMessage:
        """The message, to be recorded."""
        given = {name: getattr(self, name) for name in MessageFields.model_fields if name != "id"}
        return NewMessage(client_id=self.id, **given)


# Any JSON is taken; what hosts send is an object, and several refuse a parameter without a type.
_AnyObject = Annotated[Json, WithJsonSchema({"type": "object"}, mode="validation")]


class MessageIn(Incoming, MessageFields):
    id: Annotated[Id | None, Field(description="Your own id: repeating it records nothing twice")] = None
    occurred_at: Annotated[Since | None, Field(description="ISO 8601; now if absent")] = None
    tool_arguments: _AnyObject = None
    entities: _AnyObject = None
    intent_confidence: Annotated[float | None, Field(ge=0, le=1, allow_inf_nan=False), NotBool] = None


def _worded(data: Any, name: str) -> Any:
    if isinstance(data, str):
        return {name: data}
    if not isinstance(data, Mapping):
        raise wrong_value("is neither text nor an object", "give one of them")
    return data


class NoteIn(Incoming):
    """A decision, open question or fact; plain text is enough."""

    shorthand: ClassVar = "text"
    text: str
    message_id: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, data: Any) -> Any:
        return _worded(data, "text")


class CommitmentIn(Incoming):
    """Something promised; plain text is enough."""

    shorthand: ClassVar = "what"
    what: str
    who: str | None = None
    by_when: str | None = None
    message_id: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, data: Any) -> Any:
        return _worded(data, "what")


# Said in the one form that serves best; text or an object with `message_id` is taken for each of them.
_NOTES = WithJsonSchema({"type": "array", "items": {"type": "string"}}, mode="validation")
Notes = Annotated[list[NoteIn], _NOTES]


class SummaryFields(BaseModel):
    """What a summary in the caller's own words has, at whatever door it comes in; plain text is enough."""

    shorthand: ClassVar = "text"
    text: str
    decisions: list[NoteIn] = Field(default_factory=list)
    commitments: list[CommitmentIn] = Field(default_factory=list)
    open_questions: list[NoteIn] = Field(default_factory=list)
    facts: list[NoteIn] = Field(default_factory=list)

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, data: Any) -> Any:
        return _worded(data, "text")

    def draft(self) -> SummaryDraft:
        """The caller's own words, as they are stored."""
        return SummaryDraft(
            text=self.text,
            decisions=_facts(self.decisions),
            commitments=tuple(Commitment(c.what, c.who, c.by_when, c.message_id) for c in self.commitments),
            open_questions=_facts(self.open_questions),
            facts=_facts(self.facts),
        )


class SummaryIn(Incoming, SummaryFields):
    decisions: Notes = Field(default_factory=list)
    commitments: list[CommitmentIn] = Field(default_factory=list)
    open_questions: Notes = Field(default_factory=list)
    facts: Notes = Field(default_factory=list)


def _facts(notes: list[NoteIn]) -> tuple[Fact, ...]:
    return tuple(Fact(note.text, note.message_id) for note in notes)


class StrategyFields(BaseModel):
    """What a strategy has, at whatever door it comes in. A null knob is cleared, and inherits again."""

    shorthand: ClassVar = "mode"
    mode: Mode | None = None
    keep_turns: int | None = None
    summarize_after: int | None = None
    max_tokens: int | None = None
    keep_tool_results: int | None = None

    @model_validator(mode="before")
    @classmethod
    def _from_mode(cls, data: Any) -> Any:
        return _worded(data, "mode")

    def value(self) -> Strategy:
        """The strategy, with None for what the next level decides."""
        return Strategy(**self.model_dump())

    def patch(self) -> dict[str, Json]:
        """The knobs that were given, null ones included."""
        return self.model_dump(exclude_unset=True)


class StrategyIn(StrategyFields):
    model_config = ConfigDict(extra="forbid")
    keep_turns: Annotated[int | None, count(*KNOBS["keep_turns"]), NotBool] = None
    summarize_after: Annotated[int | None, count(*KNOBS["summarize_after"]), NotBool] = None
    max_tokens: Annotated[int | None, count(*KNOBS["max_tokens"]), NotBool] = None
    keep_tool_results: Annotated[int | None, count(*KNOBS["keep_tool_results"]), NotBool] = None


NESTED_INPUTS: Mapping[str, type[BaseModel]] = {
    "messages": MessageIn,
    "summary": SummaryIn,
    "strategy": StrategyIn,
    "decisions": NoteIn,
    "commitments": CommitmentIn,
    "open_questions": NoteIn,
    "facts": NoteIn,
}


class RecordedOut(Outgoing):
    message_id: str
    seq: int


class Recorded(Noted):
    session_id: str
    recorded: list[RecordedOut]
    duplicates: list[str]


class HitOut(Outgoing):
    message_id: str
    session_id: str
    session_title: str | None
    seq: int
    role: Role
    speaker: str | None
    occurred_at: Time
    content: str
    score: float
    superseded_by: Annotated[str | None, IF_ANY, WithJsonSchema({"type": "string"}, mode="serialization")] = None


class SearchAnswer(Noted):
    hits: list[HitOut]
    interpreted: dict[str, Json]


class MessageOut(Sparse):
    """A message as recorded; of the optional fields only those that were given."""

    message_id: str
    seq: int
    role: Role
    occurred_at: Time
    content: str
    session_id: str | None = None
    speaker: str | None = None
    status: Status | None = None
    tool_name: str | None = None
    tool_call_id: str | None = None
    tool_arguments: Json = None
    intent: str | None = None
    intent_confidence: float | None = None
    entities: Json = None
    metadata: dict[str, Json] | None = None
    channel: Channel | None = None
    agent: str | None = None
    recorded_at: Time | None = None

    @classmethod
    def _always(cls) -> frozenset[str]:
        return frozenset({"message_id", "seq", "role", "occurred_at", "content"})


class WholeMessageOut(MessageOut):
    """A message in the record's own view."""

    @classmethod
    def _always(cls) -> frozenset[str]:
        return super()._always() | {"speaker"}


class MessagePart(Outgoing):
    """Which characters of a message's content an answer holds, where one answer cannot hold all of them."""

    seq: int
    from_character: int
    to_character: int
    of: int


class StretchOut(Outgoing):
    session_id: str
    session_title: str | None
    from_seq: int
    to_seq: int
    messages: list[MessageOut]


class TopicAnswer(Outgoing):
    stretches: list[StretchOut]
    tokens: int


class EntryOut(Sparse):
    key: str
    value: Json
    category: Category
    version: int
    updated_at: Time
    expires_at: Time | None
    project_id: str | None = None
    source_message_id: str | None = None
    source: Source | None = None
    confidence: float | None = None
    removed: Literal[True] | None = None

    @classmethod
    def _always(cls) -> frozenset[str]:
        return frozenset({"key", "value", "category", "version", "updated_at", "expires_at"})


class Entries(Noted):
    entries: list[EntryOut]


class SummaryAnswer(Outgoing):
    session_id: str
    version: int
    text: str
    decisions: list[Json]
    commitments: list[Json]
    open_questions: list[Json]
    facts: list[Json]
    covers_to_seq: int
    producer: str
    note: str | None


class StrategyOut(Outgoing):
    mode: Mode
    decided_by: str
    keep_turns: int
    summarize_after: int
    max_tokens: int | None
    keep_tool_results: int
    knobs_decided_by: dict[str, str]


class StrategyInForce(Outgoing):
    """The strategy beside what it shows; in a small context only its mode."""

    mode: Mode
    decided_by: str
    keep_turns: Annotated[int | None, IF_ANY] = None
    summarize_after: Annotated[int | None, IF_ANY] = None
    max_tokens: Annotated[int | None, IF_ANY] = None
    keep_tool_results: Annotated[int | None, IF_ANY] = None
    knobs_decided_by: Annotated[dict[str, str] | None, IF_ANY] = None


# Described by the tools that return nothing else; said again, they would make the tool list long.
_OBJECTS = WithJsonSchema({"type": "array", "items": {"type": "object"}}, mode="serialization")
_STRATEGY = WithJsonSchema(
    {"type": "object", "properties": {"mode": {"type": "string"}, "decided_by": {"type": "string"}}},
    mode="serialization",
)


class SessionContextAnswer(Outgoing):
    session_id: str | None
    instructions: str
    messages: Annotated[list[MessageOut], _OBJECTS]
    recalled: Annotated[list[HitOut], _OBJECTS]
    user_context: Annotated[list[EntryOut], _OBJECTS]
    summary: SummaryAnswer | None
    tokens: int
    strategy: Annotated[StrategyInForce, _STRATEGY]
    left_out: int
    notes: list[str]


class SessionOut(Outgoing):
    session_id: str
    title: str | None
    project_id: str | None
    channel: Channel | None
    agent: str | None
    external_id: str | None
    started_at: Time
    last_activity_at: Time
    archived_at: Time | None
    message_count: int


class SessionAnswer(SessionOut):
    """One session, of which the list of tools shows but the id."""

    model_config = ConfigDict(
        json_schema_extra=lambda schema: schema.update(
            properties={"session_id": schema["properties"]["session_id"]}, required=["session_id"]
        )
    )


class Sessions(Outgoing):
    sessions: list[SessionOut]
    next_cursor: str | None


class ArchivedSession(Outgoing):
    session: SessionOut | None
    summary: SummaryAnswer | None
    messages: list[MessageOut]
