"""Domain errors. Each composes its own sentence: what was wrong, and what would be right."""

from collections.abc import Sequence


class BackstoryError(Exception):
    """Base of every error that a caller may see; its text is safe to show."""


class NotFound(BackstoryError):
    """Nothing by that id belongs to this owner (another owner's id reads the same)."""

    def __init__(self, kind: str, value: str) -> None:
        super().__init__(f"No {kind} {shown(value)} was found; check the id, or list what there is first.")
        self.kind = kind
        self.value = value


class Invalid(BackstoryError):
    """A value that cannot be accepted."""

    def __init__(self, what: str, why: str, allowed: str) -> None:
        super().__init__(f"{what} {why}; {allowed}.")


class NoSessionOpen(Invalid):
    """A session that is open is meant, and none is in that scope; `elsewhere` tells of those of other scopes."""

    def __init__(self, where: str, elsewhere: Sequence[str]) -> None:
        allowed = f"open is {', '.join(elsewhere)}: give its id" if elsewhere else "give the id of a session"
        super().__init__("session_id", f"is missing, and no session is open {where}", allowed)


class TooLarge(Invalid):
    """A message of more bytes than are accepted."""


class Conflict(BackstoryError):
    """The request contradicts what is recorded."""


class Denied(BackstoryError):
    """The caller lacks a right."""


class StorageFailed(BackstoryError):
    """The record could not be written or read; nothing is half written."""


class Unavailable(BackstoryError):
    """A part that this request needs is not there (yet)."""


def shown(value: str, limit: int = 80) -> str:
    """`value` quoted for a one-line error: control characters escaped, cut at `limit` characters."""
    short = value if len(value) <= limit else value[: limit - 1] + "…"
    return "'" + "".join(c if c.isprintable() else ascii(c)[1:-1] for c in short) + "'"
