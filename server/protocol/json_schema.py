"""JSON Schemas as short as they can be said: a model reads them with every request, and pays for each character."""

from typing import Any

from pydantic import BaseModel, TypeAdapter

Schema = dict[str, Any]


def input_schema(model: type[BaseModel]) -> Schema:
    """The schema of a tool's arguments; what is not required may also be null."""
    return _slim(_inlined(model.model_json_schema(by_alias=True)), nullable=True)


def output_schema(model: type[BaseModel]) -> Schema:
    """The schema of a tool's structured result; what is required is said of the outermost object alone, and of a word
    from a fixed set only that it is text (the parameters name the sets)."""
    schema = _slim(_inlined(TypeAdapter(model).json_schema(mode="serialization")), nullable=False)
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


def _slim(node: Schema, nullable: bool) -> Schema:
    slim: Schema = {}
    for key, value in node.items():
        if key in ("title", "additionalProperties") and not (key == "additionalProperties" and value is False):
            continue
        if key == "properties":
            required = node.get("required", []) if nullable else list(value)
            slim[key] = {name: _property(item, nullable, name in required) for name, item in value.items()}
        elif key == "items":
            slim[key] = _slim(value, nullable)
        elif key == "anyOf":
            slim.update(_choice([_slim(option, nullable) for option in value]))
        elif not (key == "default" and value in (None, [])) and not (key == "description" and "properties" in node):
            slim[key] = value
    return slim


def _property(item: Schema, nullable: bool, required: bool) -> Schema:
    slim = _slim(item, nullable)
    return slim if required else _or_null(slim)


def _choice(options: list[Schema]) -> Schema:
    rest = [option for option in options if option != {"type": "null"}]
    if len(rest) == len(options):
        return {"anyOf": options}
    return _or_null(rest[0] if len(rest) == 1 else {"anyOf": rest})


def _or_null(schema: Schema) -> Schema:
    if isinstance(schema.get("type"), str):
        schema = {**schema, "type": [schema["type"], "null"]}
    elif "anyOf" in schema and {"type": "null"} not in schema["anyOf"]:
        schema = {**schema, "anyOf": [*schema["anyOf"], {"type": "null"}]}
    if "enum" in schema and None not in schema["enum"]:
        schema = {**schema, "enum": [*schema["enum"], None]}
    return schema
