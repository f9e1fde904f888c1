"""The tool that writes the user context."""

from datetime import timedelta
from typing import Annotated

from pydantic import Field

from memory.model import DAYS, Category, Source
from memory.record import user_context
from server.calling import Call
from server.protocol import addresses
from server.tools import parameters as p
from server.tools.toolbox import writes
from server.wire import answers
from server.wire.answers import Answer
from server.wire.schemas import Entries
from server.wire.values import Id, Json, NotBool

Values = Annotated[dict[str, Json], Field(description="JSON by key; null removes")]
Days = Annotated[float | None, Field(gt=0, le=DAYS, allow_inf_nan=False), NotBool]
OneSource = Annotated[Source, Field(description="inferred never replaces what was stated")]
Confidence = Annotated[float | None, Field(ge=0, le=1, allow_inf_nan=False), NotBool]
Versions = Annotated[dict[str, int] | None, Field(description="Refuse if a key has moved on from this version")]


@writes("Remember about the user", idempotent=True, destructive=True)
def upsert_user_context(
    call: Call,
    values: Values,
    category: Category | None = None,
    expires_in_days: Days = None,
    source_message_id: Id | None = None,
    expected_versions: Versions = None,
    project_id: p.Project = None,
    source: OneSource = "stated",
    confidence: Confidence = None,
) -> Answer[Entries]:
    """Keep what the user stated (facts, preferences, current state) by key (`diet`, `currentPropertyId`), so
    that every later conversation knows them. Store nothing that was not said. Older values stay in the history."""
    now = call.memory.clock()
    entries = user_context.upsert(
        call.memory.store,
        call.owner,
        values,
        category=category,
        expires_at=None if expires_in_days is None else now + timedelta(days=expires_in_days),
        source_message_id=source_message_id,
        expected_versions=expected_versions,
        project_id=project_id,
        source=source,
        confidence=confidence,
        clock=call.memory.clock,
    )
    call.changed += addresses.after_upsert(project_id)
    return answers.entries(entries, call.memory.counter)
