"""Recording: append turns, recognise what was recorded before, never half a batch."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from memory.errors import Conflict, Invalid, shown
from memory.model import Message, NewMessage, Owner, Session, digest_of
from memory.ports import Clock, RecordStore, WritableRecords
from memory.sessions import Target, check_target, find_session, new_session
from memory.validation import check_message, check_moment

TITLE_LENGTH = 60
SAID = ("role", "content", "tool_name", "tool_call_id", "tool_arguments")


@dataclass(frozen=True, slots=True)
class Recorded:
    """The session, each message handed in as it now stands (in order), and the ids that were recorded before."""

    session: Session
    messages: tuple[Message, ...]
    duplicates: tuple[str, ...]


def record(store: RecordStore, owner: Owner, messages: Sequence[NewMessage], target: Target, clock: Clock) -> Recorded:
    """Appends `messages` in one transaction; on return they are on disk.

    Errors: Invalid (a message that cannot be accepted; none is recorded), NotFound (unknown session_id), Conflict (an
    id that was recorded with other content, a session of another project), StorageFailed.
    """
    if not messages:
        raise Invalid("messages", "is empty", "give at least one message")
    check_target(target)
    for index, message in enumerate(messages):
        check_message(message, f"messages[{index}]")
    now = clock()
    with store.write(owner) as db:
        stored, session = session_of(db, messages, target, now)
        named = target.session_id is not None or target.external_id is not None
        batch = Batch(db, now, named, stored, session)
        batch.recognise(messages)
        taken = [batch.take(message) for message in messages]
        session = with_title(db, batch.finish(taken), taken)
    return Recorded(session, tuple(batch.latest(m) for m in taken), tuple(dict.fromkeys(batch.duplicates)))


def session_of(
    db: WritableRecords, messages: Sequence[NewMessage], target: Target, now: datetime
) -> tuple[Session | None, Session]:
    """(the stored session or None, the session that the batch goes to)."""
    found = find_session(db, target)
    if found is not None:
        return found, found
    first = check_moment("occurred_at", messages[0].occurred_at) if target.historical else None
    return None, new_session(target, now, first)


@dataclass
class Batch:
    """One call's messages on their way into one transaction. The session is stored with its first new message."""

    db: WritableRecords
    now: datetime
    named: bool
    stored: Session | None
    session: Session
    known: dict[str, Message] = field(default_factory=dict)
    elsewhere: dict[str, Message] = field(default_factory=dict)
    taken_ids: set[str] = field(default_factory=set)
    pending: list[Message] = field(default_factory=list)
    current: dict[str, Message] = field(default_factory=dict)
    duplicates: list[str] = field(default_factory=list)

    def recognise(self, messages: Sequence[NewMessage]) -> None:
        """Looks up which ids are known, here and in the owner's other sessions."""
        client_ids = list(dict.fromkeys(m.client_id for m in messages if m.client_id is not None))
        if not client_ids:
            return
        if self.stored is not None:
            self.known = self.db.messages_by_client_id(client_ids, self.session.session_id)
        self.elsewhere = self.db.messages_by_client_id_in_scope(client_ids, self.session.project_id)
        self.taken_ids = set(self.db.messages(client_ids))

    def take(self, new: NewMessage) -> Message:
        earlier = self.earlier(new)
        if earlier is None:
            return self.append(new)
        if supersedes(new, earlier):
            return self.replace(new, earlier)
        if not says_the_same(new, earlier) and not (new.status == "partial" and earlier.status != "partial"):
            raise Conflict(
                f"Message id {shown(str(new.client_id))} was recorded in session {shown(earlier.session_id)} with "
                "other content; recorded messages do not change, so send it under a new id."
            )
        self.duplicates.append(str(new.client_id))
        return earlier

    def earlier(self, new: NewMessage) -> Message | None:
        """What was recorded under the same id: in this session, or, where none was named, in another of the scope."""
        if new.client_id is None:
            return None
        here = self.known.get(new.client_id)
        if here is not None or self.named:
            return here
        other = self.elsewhere.get(new.client_id)
        return other if other is not None and (says_the_same(new, other) or supersedes(new, other)) else None

    def append(self, new: NewMessage) -> Message:
        message = to_message(new, self.session, self.next_seq(), self.new_id(new.client_id), self.now)
        self.pending.append(message)
        self.remember(message)
        return message

    def next_seq(self) -> int:
        return self.session.last_seq + len(self.pending) + 1

    def new_id(self, client_id: str | None) -> str:
        if client_id is None:
            return f"msg_{secrets.token_hex(12)}"
        return f"{self.session.session_id}/{client_id}" if client_id in self.taken_ids else client_id

    def remember(self, message: Message) -> None:
        self.current[message.message_id] = message
        if message.client_id is not None:
            self.known[message.client_id] = message
            self.taken_ids.add(message.message_id)

    def replace(self, new: NewMessage, partial: Message) -> Message:
        self.flush()
        session = replace(self.session, channel=partial.channel, agent=partial.agent)
        final = to_message(new, session, partial.seq, partial.message_id, self.now)
        final = replace(
            final,
            session_id=partial.session_id,
            occurred_at=final.occurred_at if new.occurred_at else partial.occurred_at,
            speaker=new.speaker or partial.speaker,
        )
        final = replace(final, digest=digest_of(final))
        self.db.replace_message(final)
        self.remember(final)
        return final

    def flush(self) -> None:
        """Writes what is pending; a session that would stay empty is not stored."""
        if not self.pending:
            return
        if self.stored is None:
            self.db.add_session(self.session)
        self.session = self.stored = self.db.add_messages(self.session.session_id, self.pending)
        self.pending = []

    def finish(self, taken: Sequence[Message]) -> Session:
        """The session that the batch is in now; the earlier one, where all of it was recorded before."""
        self.flush()
        home = taken[-1].session_id
        if home == self.session.session_id and not self.duplicates:
            return self.session
        return self.db.session(home) or self.session

    def latest(self, message: Message) -> Message:
        return self.current.get(message.message_id, message)


def to_message(new: NewMessage, session: Session, seq: int, message_id: str, now: datetime) -> Message:
    message = Message(
        message_id=message_id,
        session_id=session.session_id,
        seq=seq,
        role=new.role,
        content=new.content,
        occurred_at=check_moment("occurred_at", new.occurred_at) or now,
        recorded_at=now,
        client_id=new.client_id,
        project_id=session.project_id,
        channel=session.channel,
        agent=session.agent,
        speaker=new.speaker,
        tool_name=new.tool_name,
        tool_call_id=new.tool_call_id,
        tool_arguments=new.tool_arguments,
        intent=new.intent,
        intent_confidence=new.intent_confidence,
        entities=new.entities,
        metadata=new.metadata,
        status=new.status,
    )
    return replace(message, digest=digest_of(message))


def says_the_same(new: NewMessage, earlier: Message) -> bool:
    return all(getattr(new, name) == getattr(earlier, name) for name in SAID)


def supersedes(new: NewMessage, earlier: Message) -> bool:
    """A partial gives way to whatever is not the same partial again."""
    return earlier.status == "partial" and not (new.status == "partial" and says_the_same(new, earlier))


def with_title(db: WritableRecords, session: Session, taken: Sequence[Message]) -> Session:
    """The session, titled by the first thing its user says where nobody gave it a title."""
    first = next((m.content for m in taken if m.role == "user" and m.content.strip()), None)
    if session.title is not None or first is None:
        return session
    return db.update_session(session.session_id, title=title_of(first))


def title_of(content: str) -> str:
    """One line of at most TITLE_LENGTH characters."""
    line = " ".join("".join(c if c.isprintable() else " " for c in content[: TITLE_LENGTH * 4]).split())
    return line if len(line) <= TITLE_LENGTH else line[: TITLE_LENGTH - 1].rstrip() + "…"
