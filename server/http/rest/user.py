"""The user context, with the lost-update protection of HTTP, and the preamble."""

import hashlib
import json
from typing import Annotated, Any

from fastapi import APIRouter, Header
from fastapi import Query as InQuery
from pydantic import BaseModel, Field
from starlette.responses import Response

from memory.errors import Conflict
from memory.model import KEYS_IN_FORCE, Category
from memory.names import named
from memory.record.validation import check_project
from server.calling import Call
from server.http.problems import problem_response
from server.http.rest.requests import Rest, answer
from server.http.rest.types import Body, Days, Flag, Key, OptionalName, Query, Values
from server.resources.user import preamble, profile
from server.tools.get_user_context import get_user_context
from server.tools.upsert_user_context import upsert_user_context
from server.wire.schemas import Entries
from server.wire.values import Outgoing

routes = APIRouter(tags=["user"])
PRECONDITION: dict[int | str, dict[str, Any]] = {412: {"description": "It has changed since If-Match."}}
UNCHANGED: dict[int | str, dict[str, Any]] = {304: {"description": "It is as If-None-Match says."}}


class ContextQuery(Query):
    keys: Annotated[list[Key], Field(max_length=KEYS_IN_FORCE, default_factory=list)]
    project_id: Annotated[OptionalName, Field(description="This project's values before the global ones")] = None
    include_history: Flag = False


class PutQuery(Query):
    project_id: Annotated[OptionalName, Field(description="Absent: global")] = None


class ContextChange(Body):
    """The keys in `values` are set, null removes; others stay as they are."""

    values: Values
    category: Category | None = None
    expires_in_days: Days | None = None
    source_message_id: OptionalName = None


class PreambleOut(BaseModel):
    text: str
    tokens: int


class ProfileOut(BaseModel):
    summaries: list[dict[str, Any]]
    preferences: dict[str, Any]
    metadata: dict[str, Any]
    last_updated: str | None
    expires_at: str | None


@routes.get("/user/context", responses=UNCHANGED, response_model=Entries)
async def get_context(
    rest: Rest, query: Annotated[ContextQuery, InQuery()], if_none_match: Annotated[str | None, Header()] = None
) -> Response:
    """What is known about the user. The ETag is that of the whole scope."""
    keys = query.keys or None
    values = {"keys": keys, "project_id": query.project_id, "include_history": query.include_history}

    def work(call: Call) -> tuple[str, Outgoing]:
        tag = _tag(_versions(call, query.project_id))
        return tag, get_user_context.handler(call, **values).data

    tag, entries = await rest.run("read", query.user, work)
    if if_none_match is not None and _named(if_none_match, tag):
        return Response(status_code=304, headers={"ETag": tag})
    return _tagged(entries, tag)


@routes.put("/user/context", responses=PRECONDITION, response_model=Entries)
async def put_context(
    rest: Rest,
    query: Annotated[PutQuery, InQuery()],
    body: ContextChange,
    if_match: Annotated[str | None, Header(include_in_schema=False)] = None,
) -> Response:
    """Sets keys. With the header If-Match nothing is written, and the answer is 412, when the context has changed since
    that ETag was given."""
    project_id = query.project_id

    def work(call: Call) -> tuple[str, Outgoing] | None:
        versions = _versions(call, project_id)
        if if_match is not None and not _named(if_match, _tag(versions)):
            return None
        expected = {key: versions.get(named(key), 0) for key in body.values} if if_match is not None else None
        values = {**body.model_dump(), "expected_versions": expected, "project_id": project_id}
        try:
            entries = upsert_user_context.handler(call, **values).data
        except Conflict:
            if if_match is None:
                raise
            return None
        return _tag(_versions(call, project_id)), entries

    done = await rest.run("write", query.user, work)
    if done is None:
        return problem_response(412, "The user context has changed since that ETag; read it again.")
    return _tagged(done[1], done[0])


@routes.get("/user/preamble", response_model=PreambleOut)
async def get_preamble(rest: Rest, query: Annotated[Query, InQuery()]) -> Response:
    """A short text to give a model before the first word."""
    return answer(await rest.read(preamble, query.user))


@routes.get("/user/profile", response_model=ProfileOut)
async def get_profile(rest: Rest, query: Annotated[Query, InQuery()]) -> Response:
    """What the last sessions were about, what the user stated, and what their own words let infer."""
    return answer(await rest.read(profile, query.user))


def _versions(call: Call, project_id: str | None) -> dict[str, int]:
    """Every key of exactly this scope, removed ones included, with its version."""
    with call.memory.store.read(call.owner) as records:
        return {entry.key: entry.version for entry in records.user_context(check_project(project_id))}


def _tag(versions: dict[str, int]) -> str:
    text = json.dumps(sorted(versions.items()))
    return f'"{hashlib.sha256(text.encode()).hexdigest()[:24]}"'


def _named(header: str, tag: str) -> bool:
    """Whether an If-Match or If-None-Match names the tag; a star names whatever there is."""
    return any(part.strip().removeprefix("W/") in (tag, "*") for part in header.split(","))


def _tagged(entries: Outgoing, tag: str) -> Response:
    return answer(entries, headers={"ETag": tag, "Cache-Control": "private, no-cache"})
