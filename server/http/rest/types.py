"""The values of REST requests. What a type's schema says is exactly what is accepted: clients are generated from it."""

from typing import Annotated, Any

from pydantic import BeforeValidator, ConfigDict, Field, StringConstraints, WithJsonSchema, model_validator

from memory.model import DAYS, KEY_LENGTH, KEYS_AT_ONCE, KNOBS, NAME_BYTES, SUMMARY_NOTES
from server.schemas import CommitmentIn, MessageIn, NoteIn, StrategyIn, SummaryIn
from server.wire_values import Since, Until, count

_CONTROL = r"\x00-\x1f\x7f-\x9f"
_INNER = rf"[^{_CONTROL}]*"
_EDGE = rf"[^\s{_CONTROL}]"
NAME_PATTERN = rf"^{_EDGE}({_INNER}{_EDGE})?$"
_LETTERS = "\x21-\x7e¡-¬®-ͷА-ԯא-תء-يऄ-हกขฃคฅ-ฺぁ-ゖァ-ヺ一-鿿가-힣Ḁ-ỹ"
KEY_PATTERN = rf"^[{_LETTERS}]([ {_LETTERS}]*[{_LETTERS}])?$"
_WORDS = _EDGE

Name = Annotated[str, StringConstraints(pattern=NAME_PATTERN, min_length=1, max_length=NAME_BYTES)]
Key = Annotated[str, StringConstraints(pattern=KEY_PATTERN, min_length=1, max_length=KEY_LENGTH)]
Values = Annotated[
    dict[Key, Any],
    Field(min_length=1, max_length=KEYS_AT_ONCE),
    WithJsonSchema(
        {
            "type": "object",
            "patternProperties": {KEY_PATTERN: {}},
            "additionalProperties": False,
            "propertyNames": {"minLength": 1, "maxLength": KEY_LENGTH},
            "minProperties": 1,
            "maxProperties": KEYS_AT_ONCE,
        }
    ),
]
Words = Annotated[str, StringConstraints(pattern=_WORDS, min_length=1, max_length=10_000)]
Days = Annotated[float, Field(ge=0.001, le=DAYS, allow_inf_nan=False)]


def _whole(value: Any) -> Any:
    """JSON has one kind of number: 50.0 is 50."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Whole = BeforeValidator(_whole)


def _flag(value: Any) -> Any:
    return {"true": True, "false": False}.get(value, value) if isinstance(value, str) else value


Flag = Annotated[bool, Field(strict=True), BeforeValidator(_flag)]

_MOMENT = {"type": "string", "format": "date-time"}
_MOMENT_OR_DAY = {"anyOf": [_MOMENT, {"type": "string", "format": "date"}]}
After = Annotated[Since, WithJsonSchema({**_MOMENT_OR_DAY, "description": "ISO 8601"})]
Before = Annotated[Until, WithJsonSchema({**_MOMENT_OR_DAY, "description": "Exclusive; a bare date counts whole"})]

_NAME_SCHEMA = {"type": "string", "pattern": NAME_PATTERN, "maxLength": NAME_BYTES}
_WORDS_SCHEMA = {"type": "string", "pattern": _WORDS, "minLength": 1, "maxLength": 10_000}


def _items(what: str, others: tuple[str, ...]) -> WithJsonSchema:
    """A list of texts, or of objects with the text and more."""
    optional = {name: {"anyOf": [_WORDS_SCHEMA, {"type": "null"}]} for name in others}
    properties = {what: _WORDS_SCHEMA, **optional, "message_id": {"anyOf": [_NAME_SCHEMA, {"type": "null"}]}}
    whole = {"type": "object", "properties": properties, "required": [what], "additionalProperties": False}
    return WithJsonSchema({"type": "array", "items": {"anyOf": [_WORDS_SCHEMA, whole]}, "maxItems": SUMMARY_NOTES})


_NOTES = _items("text", ())
_PROMISES = _items("what", ("who", "by_when"))


class Message(MessageIn):
    """A message to record."""

    model_config = ConfigDict(extra="forbid", strict=True)
    id: Annotated[Name | None, Field(description="Your own id: repeating it records nothing twice")] = None
    occurred_at: Annotated[
        Since | None, WithJsonSchema({"anyOf": [_MOMENT, {"type": "null"}], "description": "Now if absent"})
    ] = None
    speaker: Name | None = None
    tool_name: Name | None = None
    tool_call_id: Name | None = None
    intent: Name | None = None
    intent_confidence: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] | None = None

    @model_validator(mode="before")
    @classmethod
    def _drop_absent(cls, data: Any) -> Any:
        return data


class Summary(SummaryIn):
    """A summary in the caller's own words."""

    model_config = ConfigDict(extra="forbid", strict=True)
    text: Words
    decisions: Annotated[list[NoteIn], _NOTES] = Field(default_factory=list)
    commitments: Annotated[list[CommitmentIn], _PROMISES] = Field(default_factory=list)
    open_questions: Annotated[list[NoteIn], _NOTES] = Field(default_factory=list)
    facts: Annotated[list[NoteIn], _NOTES] = Field(default_factory=list)

    @model_validator(mode="before")
    @classmethod
    def _drop_absent(cls, data: Any) -> Any:
        return data


class Strategy(StrategyIn):
    """What of a strategy is to change."""

    model_config = ConfigDict(extra="forbid", strict=True)
    keep_turns: Annotated[int, count(*KNOBS["keep_turns"]), Whole] | None = None
    summarize_after: Annotated[int, count(*KNOBS["summarize_after"]), Whole] | None = None
    max_tokens: Annotated[int, count(*KNOBS["max_tokens"]), Whole] | None = None
    keep_tool_results: Annotated[int, count(*KNOBS["keep_tool_results"]), Whole] | None = None

    @model_validator(mode="before")
    @classmethod
    def _drop_absent(cls, data: Any) -> Any:
        return data
