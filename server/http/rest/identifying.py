"""Recognising a caller, for bridges that speak REST."""

from typing import Annotated

from fastapi import APIRouter
from fastapi import Query as InQuery
from pydantic import Field

from server.http.rest.front import AtDesk, Body, Query
from server.schemas import Id
from server.tools.identify_user import IdentifiedOut, identify_user

routes = APIRouter(tags=["identities"])


class Shown(Body):
    phone: Annotated[str | None, Field(description="In any notation")] = None
    email: str | None = None
    voiceprint_id: Id | None = None
    external_id: Annotated[Id | None, Field(description="Your own id for the person")] = None
    display_name: str | None = None
    call_id: Annotated[Id | None, Field(description="Remembers who it is for this call")] = None
    new_person: Annotated[bool, Field(description="It is none of the candidates")] = False


@routes.post("/identify")
async def post_identify(at: AtDesk, query: Annotated[Query, InQuery()], body: Shown) -> IdentifiedOut:
    """Finds who is calling; `user` in the address settles on one of the candidates."""
    return IdentifiedOut.model_validate(await at.perform(identify_user, query.user, **body.model_dump()))
