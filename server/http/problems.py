"""Refusals over HTTP: RFC 9457 problems, and the 401 and 403 of RFC 6750."""

import json
from collections.abc import Mapping
from http import HTTPStatus

from starlette.responses import Response

from memory.errors import BackstoryError, Conflict, Denied, Invalid, NotFound, StorageFailed, TooLarge, Unavailable

MEDIA_TYPE = "application/problem+json"
_STATUS: tuple[tuple[type[BackstoryError], int], ...] = (
    (NotFound, 404),
    (Conflict, 409),
    (Denied, 403),
    (TooLarge, 413),
    (Invalid, 422),
    (StorageFailed, 503),
    (Unavailable, 503),
)
RETRY_SECONDS = "2"


def problem_response(status: int, detail: str, headers: Mapping[str, str] | None = None) -> Response:
    """One problem document; its title is the status's own phrase."""
    body = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail}
    return Response(json.dumps(body, ensure_ascii=False), status, dict(headers or {}), MEDIA_TYPE)


def problem_of(error: BackstoryError) -> Response:
    """The problem that a domain error is over HTTP."""
    status = next((code for kind, code in _STATUS if isinstance(error, kind)), 400)
    return problem_response(status, str(error), {"Retry-After": RETRY_SECONDS} if status == 503 else None)


def unauthorized(metadata_url: str | None, invalid: bool) -> Response:
    """401. Without a token no error code is given (RFC 6750, 3.1); `metadata_url` leads OAuth clients on (RFC 9728)."""
    parts = ['realm="backstory"']
    if invalid:
        parts += ['error="invalid_token"', 'error_description="The token is unknown, expired or revoked"']
    if metadata_url:
        parts.append(f'resource_metadata="{metadata_url}"')
    detail = (
        "The token is unknown, expired or revoked; use a valid one."
        if invalid
        else "This needs a token; send one as 'Authorization: Bearer …'."
    )
    return problem_response(401, detail, {"WWW-Authenticate": "Bearer " + ", ".join(parts)})
