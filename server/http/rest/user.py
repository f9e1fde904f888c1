"""The user context, with the lost-update protection of HTTP, and the preamble."""

import hashlib
import json
from typing import Annotated, Any

from fastapi import APIRouter, Header
from fastapi import Query as InQuery
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.responses import Response

from memory.errors import Conflict
from memory.model import KEYS_IN_FORCE, Category
from server.calling import Call
from server.http.problems import problem
from server.http.rest.front import AtDesk, Body, Query
from server.http.rest.types import Days, Flag, Key, Name, Values
from server.resources.user import preamble
from server.schemas import Entries
from server.tools.get_user_context import get_user_context
from server.tools.upsert_user_context import upsert_user_context

routes = APIRouter(tags=["user"])
PRECONDITION: dict[int | str, dict[str, Any]] = {412: {"description": "It has changed since If-Match."}}
UNCHANGED: dict[int | str, dict[str, Any]] = {304: {"description": "It is as If-None-Match says."}}


class ContextQuery(Query):
    keys: Annotated[list[Key], Field(max_length=KEYS_IN_FORCE, default_factory=list)]
    project_id: Annotated[Name | None, Field(description="This project's values before the global ones")] = None
    include_history: Flag = False


class PutQuery(Query):
    project_id: Annotated[Name | None, Field(description="Absent: global")] = None


class ContextChange(Body):
    """The keys in `values` are set, null removes; others stay as they are."""

    values: Values
    category: Category | None = None
    expires_in_days: Days | None = None
    source_message_id: Name | None = None


class PreambleOut(BaseModel):
    text: str
    tokens: int


@routes.get("/user/context", responses=UNCHANGED)
async def get_context(
    at: AtDesk, query: Annotated[ContextQuery, InQuery()], if_none_match: Annotated[str | None, Header()] = None
) -> Entries:
    """What is known about the user. The ETag is that of the whole scope."""
    keys = query.keys or None
    values = {"keys": keys, "project_id": query.project_id, "include_history": query.include_history}

    def work(call: Call) -> tuple[str, Entries]:
        tag = _tag(_versions(call, query.project_id))
        return tag, Entries.model_validate(get_user_context.handler(call, **values).data)

    tag, entries = await at.run("read", query.user, work)
    if if_none_match is not None and _named(if_none_match, tag):
        return Response(status_code=304, headers={"ETag": tag})  # type: ignore[return-value]  # the framework passes answers through
    return _tagged(entries, tag)


@routes.put("/user/context", responses=PRECONDITION)
async def put_context(
    at: AtDesk,
    query: Annotated[PutQuery, InQuery()],
    body: ContextChange,
    if_match: Annotated[str | None, Header(include_in_schema=False)] = None,
) -> Entries:
    """Sets keys. With the header If-Match nothing is written, and the answer is 412, when the context has changed since
    that ETag was given."""
    project_id = query.project_id

    def work(call: Call) -> tuple[str, Entries] | None:
        versions = _versions(call, project_id)
        if if_match is not None and not _named(if_match, _tag(versions)):
            return None
        expected = {key: versions.get(key, 0) for key in body.values} if if_match is not None else None
        values = {**body.model_dump(), "expected_versions": expected, "project_id": project_id}
        try:
            entries = Entries.model_validate(upsert_user_context.handler(call, **values).data)
        except Conflict:
            if if_match is None:
                raise
            return None
        return _tag(_versions(call, project_id)), entries

    done = await at.run("write", query.user, work)
    if done is None:
        return problem(412, "The user context has changed since that ETag; read it again.")  # type: ignore[return-value]  # as above
    return _tagged(done[1], done[0])


@routes.get("/user/preamble")
async def get_preamble(at: AtDesk, query: Annotated[Query, InQuery()]) -> PreambleOut:
    """A short text to give a model before the first word."""
    document = await at.run("read", query.user, preamble.read)
    return PreambleOut.model_validate(document.data)


def _versions(call: Call, project_id: str | None) -> dict[str, int]:
    """Every key of exactly this scope, removed ones included, with its version."""
    with call.memory.store.read(call.owner) as records:
        return {entry.key: entry.version for entry in records.user_context(project_id)}


def _tag(versions: dict[str, int]) -> str:
    text = json.dumps(sorted(versions.items()))
    return f'"{hashlib.sha256(text.encode()).hexdigest()[:24]}"'


def _named(header: str, tag: str) -> bool:
    """Whether an If-Match or If-None-Match names the tag; a star names whatever there is."""
    return any(part.strip().removeprefix("W/") in (tag, "*") for part in header.split(","))


def _tagged(entries: Entries, tag: str) -> Entries:
    return JSONResponse(entries.model_dump(mode="json"), headers={"ETag": tag, "Cache-Control": "private, no-cache"})  # type: ignore[return-value]  # as above
