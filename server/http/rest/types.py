"""The values of REST requests, which hold what the tools' arguments hold. What a type's schema says is what is accepted
(clients are generated from it), save what no schema can say: that refuses the use case, in its own words."""

import re
from contextlib import suppress
from typing import Annotated, Any, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    WithJsonSchema,
    model_validator,
)

from memory.model import DAYS, KEY_LENGTH, KEYS_AT_ONCE, KNOBS, NAME_BYTES, SUMMARY_NOTES, Status
from server.wire.normalising import normalised
from server.wire.schemas import CommitmentIn, MessageFields, NoteIn, StrategyFields, SummaryFields
from server.wire.values import Since, Until, checked_size, count, wrong_value

_CONTROL = r"\x00-\x1f\x7f-\x9f"
_CONTROLS = re.compile(f"[{_CONTROL}]")
_INNER = rf"[^{_CONTROL}]*"
_EDGE = rf"[^\s{_CONTROL}]"
NAME_PATTERN = rf"^{_INNER}$"
_LETTERS = "\x21-\x7e¡-¬®-ͷА-ԯא-תء-يऄ-हกขฃคฅ-ฺぁ-ゖァ-ヺ一-鿿가-힣Ḁ-ỹ"
KEY_PATTERN = rf"^[{_LETTERS}]([ {_LETTERS}]*[{_LETTERS}])?$"
_NAME_SCHEMA = {"type": "string", "pattern": NAME_PATTERN, "maxLength": NAME_BYTES}
_WORDS_SCHEMA = {"type": "string", "pattern": _EDGE}


def _checked_name(text: str) -> str:
    if _CONTROLS.search(text):
        raise wrong_value("holds a control character", "give printable characters only")
    return checked_size(text).strip()


def _blank_is_absent(text: str | None) -> str | None:
    return text if text and text.strip() else None


Name = Annotated[str, AfterValidator(_checked_name), WithJsonSchema(_NAME_SCHEMA)]
OptionalName = Annotated[Name | None, AfterValidator(_blank_is_absent)]
OptionalText = Annotated[str | None, AfterValidator(_blank_is_absent)]
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
Words = Annotated[str, WithJsonSchema(_WORDS_SCHEMA)]
DaysBack = Annotated[float, Field(gt=0, le=DAYS, allow_inf_nan=False)]
Days = Annotated[float, Field(ge=0.001, le=DAYS, allow_inf_nan=False)]


def _whole(value: Any) -> Any:
    """JSON has one kind of number: 50.0 is 50."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Whole = BeforeValidator(_whole)


def _figure(value: Any) -> Any:
    for number in (int, float):
        with suppress(TypeError, ValueError):
            return number(value)
    return value


Figure = BeforeValidator(_figure)
"""A number in an address, where all is text."""


def _flag(value: Any) -> Any:
    return {"true": True, "false": False}.get(value, value) if isinstance(value, str) else value


Flag = Annotated[bool, Field(strict=True), BeforeValidator(_flag)]

_MOMENT = {"type": "string", "format": "date-time"}
_MOMENT_OR_DAY = {"anyOf": [_MOMENT, {"type": "string", "format": "date"}]}
After = Annotated[Since, WithJsonSchema({**_MOMENT_OR_DAY, "description": "ISO 8601"})]
Before = Annotated[Until, WithJsonSchema({**_MOMENT_OR_DAY, "description": "Exclusive; a bare date counts whole"})]


class Query(BaseModel):
    """The base of every route's query parameters; what is unknown is refused rather than ignored."""

    model_config = ConfigDict(extra="forbid")
    user: Annotated[
        OptionalName, Field(description="Whose memory, with the right act-as: an id, phone number, e-mail…")
    ] = None

    @model_validator(mode="before")
    @classmethod
    def _shaped(cls, data: Any) -> Any:
        return normalised(cls, data)


class Part(BaseModel):
    """The base of every object inside a body; a null is the same as an absent value."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Body(Part):
    """The base of every body."""

    @model_validator(mode="before")
    @classmethod
    def _shaped(cls, data: Any) -> Any:
        return normalised(cls, data)


def _items(what: str, others: tuple[str, ...]) -> WithJsonSchema:
    """A list of texts, or of objects with the text and more."""
    optional = {name: {"anyOf": [_WORDS_SCHEMA, {"type": "null"}]} for name in others}
    properties = {what: _WORDS_SCHEMA, **optional, "message_id": {"anyOf": [_NAME_SCHEMA, {"type": "null"}]}}
    whole = {"type": "object", "properties": properties, "required": [what], "additionalProperties": False}
    return WithJsonSchema({"type": "array", "items": {"anyOf": [_WORDS_SCHEMA, whole]}, "maxItems": SUMMARY_NOTES})


_NOTES = _items("text", ())
_PROMISES = _items("what", ("who", "by_when"))


_STATUS = WithJsonSchema({"anyOf": [{"type": "string", "enum": list(get_args(Status))}, {"type": "null"}]})


class Message(Part, MessageFields):
    """A message to record."""

    id: Annotated[OptionalName, Field(description="Your own id: repeating it records nothing twice")] = None
    occurred_at: Annotated[
        Since | None, WithJsonSchema({"anyOf": [_MOMENT, {"type": "null"}], "description": "Now if absent"})
    ] = None
    status: Annotated[Status, BeforeValidator(lambda value: "final" if value is None else value), _STATUS] = "final"
    speaker: OptionalName = None
    tool_name: OptionalName = None
    tool_call_id: OptionalName = None
    intent: OptionalName = None
    intent_confidence: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] | None = None


class Summary(Part, SummaryFields):
    """A summary in the caller's own words."""

    text: Words
    decisions: Annotated[list[NoteIn], _NOTES] = Field(default_factory=list)
    commitments: Annotated[list[CommitmentIn], _PROMISES] = Field(default_factory=list)
    open_questions: Annotated[list[NoteIn], _NOTES] = Field(default_factory=list)
    facts: Annotated[list[NoteIn], _NOTES] = Field(default_factory=list)


class Strategy(Part, StrategyFields):
    """What of a strategy is to change."""

    keep_turns: Annotated[int, count(*KNOBS["keep_turns"]), Whole] | None = None
    summarize_after: Annotated[int, count(*KNOBS["summarize_after"]), Whole] | None = None
    max_tokens: Annotated[int, count(*KNOBS["max_tokens"]), Whole] | None = None
    keep_tool_results: Annotated[int, count(*KNOBS["keep_tool_results"]), Whole] | None = None
