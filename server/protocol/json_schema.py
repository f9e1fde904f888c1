"""JSON Schemas that every client accepts, as short as they can be said: a model reads them with every request, and pays
for each character.

Each value has one type and none is null: several clients refuse a list of types, a null among the words of a set, an
open bound, or the word that unknown names are refused. What is accepted is more than what is advertised (a null is as
good as an absent value), and what is refused is said when a tool is called.
"""

from typing import Any

from pydantic import BaseModel, TypeAdapter

Schema = dict[str, Any]

_NULL = {"type": "null"}
_LEFT_OUT = ("title", "additionalProperties")
_JUST_INSIDE = 0.001
"""How far inside an open bound the closed one lies that is advertised instead."""


def input_schema(model: type[BaseModel]) -> Schema:
    """The schema of a tool's arguments; what is optional is not required, and not more."""
    return _slim(_inlined(model.model_json_schema(by_alias=True)))


def output_schema(model: type[BaseModel]) -> Schema:
    """The schema of a tool's structured result. Clients check results against it, so that what has no one type (it may
    be null, or text or an object) is left out. What is always there is said of the outermost object alone, and of a
    word from a fixed set only that it is text (the parameters name the sets)."""
    schema = _slim(_single_typed(_inlined(TypeAdapter(model).json_schema(mode="serialization"))))
    for part in schema["properties"].values():
        _loosen(part)
    return schema


def _loosen(node: Any) -> None:
    if isinstance(node, dict):
        node.pop("required", None)
        if "type" in node:
            node.pop("enum", None)
        for value in node.values():
            _loosen(value)
    elif isinstance(node, list):
        for value in node:
            _loosen(value)


def _inlined(schema: Schema) -> Schema:
    definitions = schema.pop("$defs", {})

    def resolve(node: Any) -> Any:
        if isinstance(node, list):
            return [resolve(item) for item in node]
        if not isinstance(node, dict):
            return node
        if "$ref" in node:
            target = definitions[node["$ref"].rpartition("/")[2]]
            return resolve({**target, **{k: v for k, v in node.items() if k != "$ref"}})
        return {key: resolve(value) for key, value in node.items()}

    return dict(resolve(schema))


def _single_typed(node: Any) -> Any:
    """The schema without the properties that have no one type, at any depth."""
    if isinstance(node, list):
        return [_single_typed(item) for item in node]
    if not isinstance(node, dict):
        return node
    kept = {key: _single_typed(value) for key, value in node.items()}
    if "properties" in node:
        kept["properties"] = {name: item for name, item in kept["properties"].items() if _has_one_type(item)}
        kept["required"] = [name for name in kept.get("required", []) if name in kept["properties"]]
    return kept


def _has_one_type(item: Schema) -> bool:
    return "type" in item and "type" in item.get("items", item)


def _slim(node: Schema) -> Schema:
    slim: Schema = {}
    for key, value in node.items():
        if key in _LEFT_OUT or (key == "default" and value in (None, [])):
            continue
        if key == "properties":
            slim[key] = {name: _slim(item) for name, item in value.items()}
        elif key == "items":
            slim[key] = _slim(value)
        elif key == "anyOf":
            slim.update(_slim(_only(value)))
        elif key == "exclusiveMinimum":
            slim["minimum"] = value + _JUST_INSIDE
        elif not (key == "description" and "properties" in node):
            slim[key] = value
    return slim


def _only(options: list[Schema]) -> Schema:
    """The one option that is not null. Errors: ValueError where there are several."""
    (option,) = (option for option in options if option != _NULL)
    return option
