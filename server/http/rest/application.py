"""The FastAPI application below /api/v1, and how it refuses."""

from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from memory.errors import BackstoryError, shown
from server import __version__
from server.calling import Calls
from server.errors import explained, path_of
from server.http.problems import problem_of, problem_response
from server.http.rest import finding, sessions, user
from server.http.rest.documents import complete

PREFIX = "/api/v1"
ROUTERS = (sessions.routes, finding.routes, user.routes)


def build_api(calls: Calls) -> FastAPI:
    """The REST application over `calls`; what stands before it has already asked for a token."""
    api = FastAPI(
        title="Backstory",
        version=__version__,
        summary="Durable memory for agents: sessions, messages, search, user context.",
        openapi_url=f"{PREFIX}/openapi.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    api.state.calls = calls
    for routes in ROUTERS:
        api.include_router(routes, prefix=PREFIX)
    api.add_exception_handler(BackstoryError, _domain)
    api.add_exception_handler(RequestValidationError, _unreadable)
    api.add_exception_handler(HTTPException, _http)
    api.add_exception_handler(Exception, _unforeseen)
    complete(api)
    return api


def _domain(_: Request, error: Exception) -> Response:
    assert isinstance(error, BackstoryError)
    return problem_of(error)


def _unreadable(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return problem_response(422, describe(error.errors()))


def describe(errors: Sequence[Any]) -> str:
    """The first thing wrong with a request, in the words in which a tool refuses it."""
    if errors[0]["type"] == "json_invalid":
        return "The body is not JSON."
    first = min(errors, key=lambda found: found["type"] != "extra_forbidden")
    where = path_of(first["loc"][1:]) or f"The {first['loc'][0]}"
    if first["type"] == "extra_forbidden":
        return f"{shown(str(first['loc'][-1]))} is not known here; {PREFIX}/openapi.json lists what is."
    if first["type"] == "missing":
        return f"{where} is missing; {PREFIX}/openapi.json lists what is needed."
    why, allowed = explained(first)
    if first["loc"][-1] == "[key]":
        where = f"The key {shown(str(first['loc'][-2]))}"
    return f"{where} {why}; {allowed}."


def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 405:
        allowed = ", ".join(sorted(allowed_methods(request)))
        return problem_response(405, f"This address takes {allowed}.", {"Allow": allowed})
    detail = {404: "There is no such address; /api/v1/openapi.json lists them.", 400: "The body cannot be read."}
    return problem_response(error.status_code, detail.get(error.status_code, str(error.detail)), error.headers)


def allowed_methods(request: Request) -> set[str]:
    """The methods of every route at the request's address, as the document has them."""
    path = request.scope["path"]
    matching = (operations for template, operations in request.app.openapi()["paths"].items() if _fits(template, path))
    return {method.upper() for operations in matching for method in operations}


def _fits(template: str, path: str) -> bool:
    """Whether `path` has the template's parts, anything in the place of a parameter."""
    wanted, given = template.split("/"), path.split("/", template.count("/") + 1)
    return len(wanted) == len(given) and all(
        part == other or (part.startswith("{") and other != "") for part, other in zip(wanted, given, strict=True)
    )


def _unforeseen(_: Request, __: Exception) -> Response:
    return problem_response(
        500, "The server failed; its log on standard error says why, under this answer's X-Request-Id."
    )
