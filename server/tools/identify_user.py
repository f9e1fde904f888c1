"""The tool that recognises a caller."""

from typing import Annotated

from pydantic import Field

from memory.people.identities import Claims, Identified, identify, identify_self
from memory.text import results
from server.calling import Call
from server.tools.toolbox import writes
from server.wire.answers import Answer
from server.wire.values import Id, Outgoing


class UserOut(Outgoing):
    user: str
    display_name: str | None


class IdentifiedOut(Outgoing):
    user: str | None
    created: bool
    candidates: list[UserOut]
    display_name: str | None = None


@writes("Identify a caller", idempotent=True, right="read")
def identify_user(
    call: Call,
    phone: Annotated[str | None, Field(description="In any notation")] = None,
    email: str | None = None,
    voiceprint_id: Id | None = None,
    external_id: Annotated[Id | None, Field(description="Your own id for the person")] = None,
    display_name: str | None = None,
    call_id: Annotated[Id | None, Field(description="Remembers who it is for this call")] = None,
    new_person: Annotated[bool, Field(description="It is none of the candidates")] = False,
) -> Answer[IdentifiedOut]:
    """Find who is calling by what is known of them; pass the `user` it gives to the other tools. If it gives
    `candidates` instead, ask the caller, then call again with that one as `user`, or `new_person`, and `call_id`."""
    claims = Claims(phone, email, voiceprint_id, external_id, display_name, call_id, call.caller.chosen, new_person)
    directory, region = call.memory.directory, call.memory.settings.phone_region
    if "act-as" in call.caller.rights:
        may_write = "write" in call.caller.rights
        clock = call.memory.clock
        found = identify(directory, call.owner.tenant_id, claims, may_write=may_write, region=region, clock=clock)
    else:
        found = Identified(identify_self(directory, call.owner, claims, region))
    return _answer(found)


def _answer(found: Identified) -> Answer[IdentifiedOut]:
    user = found.user
    candidates = [UserOut(user=c.user_id, display_name=c.display_name) for c in found.candidates]
    data = IdentifiedOut(
        user=user.user_id if user else None,
        created=found.created,
        candidates=candidates,
        display_name=user.display_name if user else None,
    )
    return Answer(data, results.identified(found))
