"""The OpenAPI document: what every route has in common, said once."""

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from server.http.problems import MEDIA_TYPE

PROBLEM: Mapping[str, Any] = {
    "type": "object",
    "description": "RFC 9457",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "One sentence: what was wrong, and what would be right."},
    },
}
REFUSALS: Mapping[str, str] = {
    "400": "The request cannot be read.",
    "401": "No token, or one that is not good.",
    "403": "The token lacks a right.",
    "404": "Nothing by that id belongs to this user.",
    "409": "It contradicts what is recorded.",
    "413": "Body or message too large.",
    "422": "A value cannot be accepted.",
    "429": "Too many requests.",
    "503": "Stopping, or the database cannot be reached.",
}
RETRY = {"Retry-After": {"schema": {"type": "string"}, "description": "Seconds"}}


def complete(api: FastAPI) -> None:
    """Makes the document say how requests are authenticated and refused."""

    def document() -> dict[str, Any]:
        if api.openapi_schema is None:
            api.openapi_schema = _completed(
                get_openapi(title=api.title, version=api.version, summary=api.summary, routes=api.routes)
            )
        return api.openapi_schema

    api.openapi = document  # type: ignore[method-assign]  # the framework's own way to extend its document


def _completed(schema: dict[str, Any]) -> dict[str, Any]:
    components = schema.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    schemas["Problem"] = dict(PROBLEM)
    components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    schema["security"] = [{"token": []}]
    for path in schema["paths"].values():
        for operation in path.values():
            _refusals(operation)
    return schema


def _refusals(operation: dict[str, Any]) -> None:
    responses = operation["responses"]
    responses.pop("422", None)
    for status, text in REFUSALS.items():
        answer: dict[str, Any] = {
            "description": text,
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        if status in ("429", "503"):
            answer["headers"] = RETRY
        if status == "401":
            answer["headers"] = {"WWW-Authenticate": {"schema": {"type": "string"}}}
        responses.setdefault(status, answer)
