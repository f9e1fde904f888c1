"""The parameters that several tools share, described once."""

from typing import Annotated

from pydantic import Field

from memory.model import CONTEXT_TOKENS, DAYS, HITS, KEYS_IN_FORCE, Channel, Role, ScopeFilter
from server.wire.values import Id, NotBool, Since, Until, count

InSession = Id | None
Session = Annotated[Id | None, Field(description="Default: the open session")]
Project = Annotated[Id | None, Field(description="Absent: global memory")]
InProject = Id | None
ExternalId = Annotated[Id | None, Field(description="Your call's or thread's id")]
Scope = Annotated[ScopeFilter, Field(description="global: outside projects; project: inside any")]
DaysBack = Annotated[float | None, Field(gt=0, le=DAYS, allow_inf_nan=False), NotBool]
After = Annotated[Since | None, Field(description="ISO 8601")]
Before = Annotated[Until | None, Field(description="Exclusive; a bare date counts whole")]
OneRole = Role | None
OneChannel = Channel | None
Agent = Annotated[Id | None, Field(description="Your own name")]
Limit = Annotated[int, count(1, HITS), NotBool]
MaxTokens = Annotated[int, count(*CONTEXT_TOKENS), NotBool]
Keys = Annotated[list[Id] | None, Field(max_length=KEYS_IN_FORCE)]
