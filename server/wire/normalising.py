"""What hosts send, as what a door's model takes: shapes alone are changed, never what is meant.

Plain JSON in, plain JSON out; a value of no shape that is known stays as it is, for validation to refuse.
"""

import json
from collections.abc import Callable, Mapping
from functools import cache
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel

from server.wire.parts import ToolCall, call_of, call_text, result_text, told

_Take = Callable[[Any], Any]
_WRAPPED = 4
"""How often a value may be JSON in text in JSON."""
_IDS = frozenset({"id", "user", "phone", "keys"})
_ROLES_OF_PARTS = {"model": "assistant", "function": "tool"}


def normalised(model: type[BaseModel], value: Any) -> Any:
    """`value` in the shape that `model` takes. Doing it again changes nothing."""
    value = _as_json(value, Mapping)
    shorthand = getattr(model, "shorthand", None)
    if isinstance(value, str) and shorthand is not None:
        value = {shorthand: value}
    if not isinstance(value, Mapping):
        return value
    fields = model.model_fields
    if "role" in fields and "content" in fields:
        value = _message(value, fields)
    takers = _takers(model)
    return {
        name: takers[name](given) if name in takers else given
        for name, given in value.items()
        if name in fields or given not in (None, [], {})
    }


@cache
def _takers(model: type[BaseModel]) -> Mapping[str, _Take]:
    return {name: take for name, field in model.model_fields.items() if (take := _taker(name, field.annotation))}


def _taker(name: str, annotation: Any) -> _Take | None:
    """How a field's value is brought into shape; None where it is left alone."""
    origin, inside = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _taker(name, inside[0])
    if origin in (Union, UnionType):
        options = [option for option in inside if option is not type(None)]
        return _taker(name, options[0]) if len(options) == 1 else None
    if origin is Literal:
        return lambda value: _word(value, inside)
    if origin in (list, tuple):
        return _list_of(inside[0], _taker(name, inside[0]))
    if origin is dict:
        return lambda value: _as_json(value, Mapping)
    if annotation is bool:
        return lambda value: {"true": True, "false": False}.get(_plain(value), value)
    if annotation is str and (name in _IDS or name.endswith("_id")):
        return _id
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return lambda value: normalised(annotation, value)
    return None


def _list_of(item: Any, take: _Take | None) -> _Take:
    inner = get_args(item)[0] if get_origin(item) is Annotated else item
    # An object is needed where a text cannot stand for one.
    wants_object = isinstance(inner, type) and issubclass(inner, BaseModel) and not hasattr(inner, "shorthand")

    def taken(value: Any) -> Any:
        value = _as_json(value, list | Mapping)
        if isinstance(value, Mapping) or (isinstance(value, str) and value.strip() and not wants_object):
            value = [value]
        return [take(one) for one in value] if isinstance(value, list) and take else value

    return taken


def _as_json(value: Any, kind: Any) -> Any:
    """A text that holds JSON of that kind, as what it holds."""
    inner = value
    for _ in range(_WRAPPED):
        if not isinstance(inner, str) or inner.lstrip("\ufeff \t\r\n")[:1] not in ("{", "[", '"'):
            return value
        try:
            inner = json.loads(inner.lstrip("\ufeff"))
        except (ValueError, RecursionError):
            return value
        if isinstance(inner, kind):
            return inner
    return value


def _plain(value: Any) -> str:
    return value.strip().casefold() if isinstance(value, str) else ""


def _word(value: Any, words: tuple[Any, ...]) -> Any:
    plain = _plain(value)
    return plain if plain in words else value


def _id(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        value = int(value)
    return str(value) if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**40 else value


def _message(given: Mapping[str, Any], fields: Mapping[str, Any]) -> dict[str, Any]:
    """A message with its content as text, and the call that it makes in fields of its own."""
    message = dict(given)
    calls = _calls(message)
    content = message.get("content")
    if content is None and isinstance(message.get("parts"), list):
        content = {"parts": message.pop("parts")}
    if isinstance(content, Mapping) and isinstance(content.get("parts"), list):
        message["role"] = _ROLES_OF_PARTS.get(_plain(message.get("role")), message.get("role"))
    said = _said_beside(message, fields)
    if content not in (None, [], {}) and not isinstance(content, str):
        content, more = _from_parts(message, content)
        calls += more
    elif content is None or content == []:
        calls = calls or _listed(_as_json(message.get("metadata"), Mapping))
        uses_tool = calls or any(message.get(name) is not None for name in ("tool_name", "tool_call_id"))
        content = "" if said or uses_tool or message.get("tool_arguments") is not None else content
    if isinstance(content, str):
        others = [] if _plain(message.get("role")) == "tool" else map(call_text, calls[1:])
        message["content"] = "\n".join(part for part in (content, *said, *others) if part)
    if calls and _plain(message.get("role")) != "tool":
        _note_call(message, calls)
    if "type" not in fields and _plain(message.get("type")) == "message":
        del message["type"]
    return message


def _calls(message: dict[str, Any]) -> list[ToolCall]:
    """The calls that stand beside the content, taken from there."""
    listed = _as_json(message.pop("tool_calls", None), list)
    single = message.pop("function_call", None)
    found = _listed({"tool_calls": listed}) + [call for call in (call_of(single),) if call]
    if not found:
        # Nothing that is known: validation says so.
        message |= {name: value for name, value in (("tool_calls", listed), ("function_call", single)) if value}
    return found


def _listed(metadata: Any) -> list[ToolCall]:
    listed = metadata.get("tool_calls") if isinstance(metadata, Mapping) else None
    return [call for call in map(call_of, listed if isinstance(listed, list) else []) if call]


def _said_beside(message: dict[str, Any], fields: Mapping[str, Any]) -> list[str]:
    """What was said in fields beside the content: a refusal, or what a recording says."""
    said = []
    if isinstance(message.get("refusal"), str) and "refusal" not in fields:
        said.append(message.pop("refusal"))
    if isinstance(message.get("audio"), Mapping) and "audio" not in fields:
        heard = told({"type": "audio", "audio": message.pop("audio")})
        said += heard.texts if heard else []
    return said


def _from_parts(message: dict[str, Any], content: Any) -> tuple[Any, list[ToolCall]]:
    """(the content as text, the calls among its parts). A message of results alone is the tool's."""
    by_tool = _plain(message.get("role")) == "tool"
    found = told(content, exact=by_tool)
    if found is None:
        return (result_text(content) if by_tool and isinstance(content, list | Mapping) else content), []
    if found.results and not found.others:
        message["role"] = "tool"
        for name, value in zip(("tool_name", "tool_call_id"), found.results[0], strict=True):
            if message.get(name) is None and value is not None:
                message[name] = value
    return found.text, found.calls


def _note_call(message: dict[str, Any], calls: list[ToolCall]) -> None:
    """The first call in the fields that a message has for one, as far as they are free; all of several as metadata."""
    first = calls[0]
    if message.get("tool_name") in (None, first.name):
        for name, value in (
            ("tool_name", first.name),
            ("tool_call_id", first.call_id),
            ("tool_arguments", first.arguments),
        ):
            if message.get(name) is None and value is not None:
                message[name] = value
    if len(calls) > 1:
        metadata = _as_json(message.get("metadata"), Mapping)
        listed = [{"id": call.call_id, "name": call.name, "arguments": call.arguments} for call in calls]
        if metadata is None or isinstance(metadata, Mapping):
            message["metadata"] = {"tool_calls": listed, **(metadata or {})}
