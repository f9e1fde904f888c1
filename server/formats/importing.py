"""An import: items of a file into the record, in batches, recording nothing twice."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import islice

from memory.errors import BackstoryError, StorageFailed
from memory.model import Owner, Summary
from memory.ports import Clock, RecordStore
from memory.record.recording import record
from memory.record.restoring import restore_session, restore_summary, restore_user_context
from memory.record.sessions import Target
from server.formats.items import Extra, Item, Skipped, Thread, Turn

BATCH = 500


@dataclass
class Tally:
    """What an import has done so far. `sessions` are those that its messages belong to; `refused` says why others
    cannot take any."""

    new: int = 0
    duplicates: int = 0
    skipped: list[Skipped] = field(default_factory=list)
    refused: dict[tuple[str | None, str | None], str] = field(default_factory=dict)
    sessions: dict[tuple[str | None, str | None], str] = field(default_factory=dict)


class BadSession(BackstoryError):
    """A session that was refused before."""


@dataclass(frozen=True, slots=True)
class Importing:
    """Where one file's items go."""

    store: RecordStore
    owner: Owner
    clock: Clock
    tally: Tally

    def run(self, items: Iterable[Item], done: Callable[[Tally], None]) -> None:
        """Records all items that can be; `done` is called after each batch, which is then durable.

        Errors: BadFile for what makes all of the file useless, StorageFailed. What came before is kept; running it
        again goes on.
        """
        for batch in batches(items):
            groups: dict[str, list[Turn]] = {}
            for item in batch:
                if isinstance(item, Skipped):
                    self.tally.skipped.append(item)
                elif isinstance(item, Turn):
                    with self.or_skipped(item.where):
                        groups.setdefault(self.session_id(item.thread, item), []).append(item)
            for session_id, turns in groups.items():
                self.record(session_id, turns)
            for item in batch:
                if isinstance(item, Extra):
                    with self.or_skipped(item.where):
                        self.restore(item)
            done(self.tally)

    @contextmanager
    def or_skipped(self, where: str) -> Iterator[None]:
        """What is refused inside is skipped, and named."""
        try:
            yield
        except StorageFailed:
            raise
        except BackstoryError as error:
            self.tally.skipped.append(Skipped(where, str(error)))

    def session_id(self, thread: Thread, item: Turn | Extra) -> str:
        key = (thread.session_id, thread.external_id)
        if key in self.tally.refused:
            raise BadSession(self.tally.refused[key])
        if key not in self.tally.sessions:
            first = item.message.occurred_at if isinstance(item, Turn) else None
            target = Target(
                session_id=thread.session_id,
                external_id=thread.external_id,
                project_id=thread.project_id,
                channel=thread.channel,
                agent=thread.agent,
                title=thread.title,
            )
            try:
                session = restore_session(
                    self.store,
                    self.owner,
                    target,
                    started_at=thread.started_at or first,
                    metadata=thread.metadata,
                    clock=self.clock,
                )
            except StorageFailed:
                raise
            except BackstoryError as error:
                self.tally.refused[key] = str(error)
                raise
            self.tally.sessions[key] = session.session_id
        return self.tally.sessions[key]

    def record(self, session_id: str, turns: list[Turn]) -> None:
        """One transaction; where it is refused, one for each message, to find out which one it was."""
        try:
            self.append(session_id, turns)
        except StorageFailed:
            raise
        except BackstoryError:
            for turn in turns:
                with self.or_skipped(turn.where):
                    self.append(session_id, [turn])

    def append(self, session_id: str, turns: list[Turn]) -> None:
        target = Target(session_id=session_id)
        recorded = record(self.store, self.owner, [turn.message for turn in turns], target, self.clock)
        self.tally.duplicates += len(recorded.duplicates)
        self.tally.new += len(turns) - len(recorded.duplicates)

    def restore(self, item: Extra) -> None:
        if isinstance(item.value, Summary):
            assert item.thread is not None
            session_id = self.session_id(item.thread, item)
            restore_summary(self.store, self.owner, replace(item.value, session_id=session_id))
        else:
            restore_user_context(self.store, self.owner, item.value)


def batches(items: Iterable[Item]) -> Iterator[list[Item]]:
    rest = iter(items)
    while batch := list(islice(rest, BATCH)):
        yield batch
