"""The resources, one file a family of addresses."""

from server.resources.archive import latest_archived
from server.resources.sessions import (
    session,
    session_context,
    session_messages,
    session_messages_from,
    session_summary,
    sessions,
)
from server.resources.table import Family
from server.resources.user import preamble, profile, user_context

RESOURCES: tuple[Family, ...] = (
    sessions,
    user_context,
    preamble,
    profile,
    latest_archived,
    session,
    session_messages,
    session_messages_from,
    session_summary,
    session_context,
)


def family_of(uri: str) -> tuple[Family, dict[str, str]] | None:
    """The family that `uri` belongs to, with the varying parts of the address."""
    for family in RESOURCES:
        if (parts := family.match(uri)) is not None:
            return family, parts
    return None
