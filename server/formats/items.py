"""What reading a file hands over: messages with the session they belong to, and the place in the file for errors."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from memory.errors import BackstoryError
from memory.model import Channel, Json, NewMessage, Summary, UserContextEntry


@dataclass(frozen=True, slots=True)
class Thread:
    """The session of imported messages. `external_id` finds it again when the file is imported once more.

    `session_id` is the id that a new session should get if nobody has it yet; times are for a new session.
    """

    external_id: str | None = None
    session_id: str | None = None
    project_id: str | None = None
    title: str | None = None
    channel: Channel | None = None
    agent: str | None = None
    started_at: datetime | None = None
    metadata: Mapping[str, Json] | None = None


@dataclass(frozen=True, slots=True)
class Turn:
    """One message of a file. `where` names its place, such as 'line 12'."""

    thread: Thread
    message: NewMessage
    where: str


@dataclass(frozen=True, slots=True)
class Extra:
    """What an export holds besides messages."""

    thread: Thread | None
    value: Summary | UserContextEntry
    where: str


@dataclass(frozen=True, slots=True)
class Skipped:
    """A place in a file that cannot be imported, and why; the rest of the file can."""

    where: str
    why: str


Item = Turn | Extra | Skipped


class BadFile(BackstoryError):
    """A file that cannot be imported, or the place in it that cannot."""

    def __init__(self, path: Path, where: str | None, why: str) -> None:
        place = f"{path}, {where}" if where else f"{path}"
        super().__init__(f"{place}: {why}")
        self.where = where
        self.why = why

    def skipped(self) -> Skipped:
        """The place alone, where the rest of the file is none the worse for it."""
        return Skipped(self.where or "the file", self.why)


@dataclass(frozen=True, slots=True)
class Format:
    """A file format. `detects` sees the first 64 KiB; `read` yields items in the file's order, and reports how many
    bytes of the file it has taken in."""

    name: str
    detects: Callable[[bytes], bool]
    read: Callable[[Path, str | None, Callable[[int], None]], Iterator[Item]]
