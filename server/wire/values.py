"""The values of the wire format: times, ids, numbers, and the bases of what comes in and goes out."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from mcp.server.mcpserver.utilities.func_metadata import ArgModelBase
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    SerializerFunctionWrapHandler,
    WithJsonSchema,
    model_serializer,
    model_validator,
)
from pydantic_core import PydanticCustomError

from memory.model import NAME_BYTES
from memory.text.plain import iso
from server.wire.times import is_day, moment


def _absent_dropped(cls: type[BaseModel], data: Any) -> Any:
    """An optional value that is null, or blank where text is wanted, is the same as one that is not given."""
    if not isinstance(data, Mapping):
        return data
    optional = {name: f for name, f in cls.model_fields.items() if not f.is_required()}
    return {
        name: value
        for name, value in data.items()
        if name not in optional
        or not (value is None or (isinstance(value, str) and not value.strip() and not _takes_json(optional[name])))
    }


def _takes_json(field: Any) -> bool:
    return field.annotation is Any


class Arguments(ArgModelBase):
    """The base of every tool's arguments."""

    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True)

    @model_validator(mode="before")
    @classmethod
    def _drop_absent(cls, data: Any) -> Any:
        return _absent_dropped(cls, data)


class Incoming(BaseModel):
    """The base of every object inside a tool's arguments."""

    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _drop_absent(cls, data: Any) -> Any:
        return _absent_dropped(cls, data)


class Outgoing(BaseModel):
    """The base of every result."""


class Sparse(Outgoing):
    """Leaves out what is empty, except the fields that are always there."""

    @model_serializer(mode="wrap")
    def _without_empty(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        always = self._always()
        return {k: v for k, v in dump(self).items() if k in always or v is not None}

    @classmethod
    def _always(cls) -> frozenset[str]:
        return frozenset(cls.model_fields)


IF_ANY = Field(exclude_if=lambda value: value is None)


class Noted(Outgoing):
    """The base of results that may be cut; the note says what is left out, and how to get it."""

    note: Annotated[
        str | None,
        IF_ANY,
        WithJsonSchema({"type": "string"}, mode="serialization"),
    ] = None


def wrong_value(why: str, allowed: str) -> PydanticCustomError:
    """A value's problem and what is allowed, as the two halves of the sentence that the caller reads."""
    return PydanticCustomError("backstory", "value {why}", {"why": why, "allowed": allowed})


def checked_size(text: str) -> str:
    """An id no longer than ids may be. Errors: PydanticCustomError."""
    if (size := len(text.encode())) > NAME_BYTES:
        raise wrong_value(f"takes {size:,} bytes", f"at most {NAME_BYTES} are allowed")
    return text


def _checked_id(text: str) -> str:
    if not text.isprintable():
        raise wrong_value("holds a control character", "give printable characters only")
    return checked_size(text).strip()


def _not_bool(value: Any) -> Any:
    if isinstance(value, bool):
        raise wrong_value(f"is {str(value).lower()}", "give a number")
    return value


def _instant(value: Any, day_ends: bool = False) -> datetime:
    try:
        if isinstance(value, datetime):
            return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)
        if (at := moment(value)) is not None:
            return at + timedelta(days=day_ends and is_day(value))
    except OverflowError:
        raise wrong_value("is outside the years 1 to 9999", "give a time within them") from None
    raise wrong_value("is no time", "give ISO 8601 such as 2024-05-31 or 2024-05-31T12:00:00Z")


def _since(value: Any) -> datetime | None:
    return None if value is None else _instant(value)


def _until(value: Any) -> datetime | None:
    return None if value is None else _instant(value, day_ends=True)


_TIME = WithJsonSchema({"type": "string", "description": "ISO 8601"}, mode="validation")
_TIME_OUT = WithJsonSchema({"type": "string"}, mode="serialization")
Since = Annotated[datetime, BeforeValidator(_since), _TIME]
Until = Annotated[datetime, BeforeValidator(_until), _TIME]
Time = Annotated[datetime, PlainSerializer(iso, return_type=str, when_used="always"), _TIME_OUT]
Id = Annotated[str, AfterValidator(_checked_id)]
Json = Any


def count(least: int, most: int) -> Any:
    """Pydantic metadata of a whole number in these bounds."""
    return Field(ge=least, le=most)


NotBool = BeforeValidator(_not_bool)
