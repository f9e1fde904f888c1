"""Recording: append turns, recognise what was recorded before, never half a batch."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import datetime

from memory.errors import Conflict, Invalid, shown
from memory.ids import new_id
from memory.model import CONTENT_BYTES, Message, NewMessage, Owner, Session, digest_of
from memory.names import named
from memory.ports import Clock, RecordStore, WritableRecords
from memory.record.sessions import Target, check_target, find_session, new_session
from memory.record.validation import check_message

_TITLE_LENGTH = 60
_GIVEN = tuple(f.name for f in fields(NewMessage))

# What makes a message another one under the same id. The rest counts where the repeat gives it; its time never does,
# since a client that sends again may stamp again.
_SAID = ("role", "content", "tool_name", "tool_call_id", "tool_arguments")
_ADDED = tuple(name for name in _GIVEN if name not in (*_SAID, "client_id", "occurred_at", "status"))


@dataclass(frozen=True, slots=True)
class Recorded:
    """The session, each message handed in as it now stands (in order), and the ids that were recorded before."""

    session: Session
    messages: tuple[Message, ...]
    duplicates: tuple[str, ...]


def record(
    store: RecordStore,
    owner: Owner,
    messages: Sequence[NewMessage],
    target: Target,
    clock: Clock,
    *,
    content_limit: int = CONTENT_BYTES,
) -> Recorded:
    """Appends `messages` in one transaction; on return they are on disk.

    The session is the one given, else the one that `external_id` names (started where it is new), else the scope's
    open one (started where there is none). A message whose id is known is not recorded again: it is a duplicate when
    it says the same, and refused when it does not, unless the recorded one is partial, which it then replaces, or final
    and this one interrupted: what was heard takes the place of what was meant. Where no session is named, an id that
    says the same in another session of the scope is a duplicate of that.

    `content_limit` is how many bytes of UTF-8 a message's content may take.

    Errors: Invalid (a message that cannot be accepted; none is recorded), TooLarge, NotFound (unknown session_id),
    Conflict (an id that was recorded with other content, a session of another project), StorageFailed.
    """
    if not messages:
        raise Invalid("messages", "is empty", "give at least one message")
    check_target(target)
    messages = [check_message(message, f"messages[{index}]", content_limit) for index, message in enumerate(messages)]
    now = clock()
    with store.write(owner) as db:
        batch = begin(db, messages, target, now)
        batch.recognise(messages)
        taken = [batch.take(message) for message in messages]
        session = _with_title(db, batch.finish(taken), batch.current.values())
    return Recorded(session, tuple(batch.latest(m) for m in taken), tuple(dict.fromkeys(batch.duplicates)))


def begin(db: WritableRecords, messages: Sequence[NewMessage], target: Target, now: datetime) -> "Batch":
    """A batch on its way to the session that `target` means."""
    found = find_session(db, target)
    session = found or new_session(target, now, messages[0].occurred_at if target.historical else None)
    return Batch(
        db=db,
        now=now,
        named=target.session_id is not None or target.external_id is not None,
        stored=found is not None,
        session=session,
        origin=Target(channel=target.channel or session.channel, agent=target.agent or session.agent),
    )


@dataclass
class Batch:
    """One call's messages on their way into one transaction. The session is stored with its first new message."""

    db: WritableRecords
    now: datetime
    named: bool
    stored: bool
    session: Session
    origin: Target
    here: dict[str, Message] = field(default_factory=dict)
    elsewhere: dict[str, Message] = field(default_factory=dict)
    taken_ids: set[str] = field(default_factory=set)
    pending: list[Message] = field(default_factory=list)
    current: dict[str, Message] = field(default_factory=dict)
    duplicates: list[str] = field(default_factory=list)

    def recognise(self, messages: Sequence[NewMessage]) -> None:
        """Looks up which ids are recorded, here and in the owner's other sessions."""
        client_ids = list(dict.fromkeys(m.client_id for m in messages if m.client_id is not None))
        if not client_ids:
            return
        if self.stored:
            self.here = self.db.messages_by_client_id(client_ids, self.session.session_id)
        if not self.named:
            self.elsewhere = self.db.messages_by_client_id_in_scope(client_ids, self.session.project_id)
        self.taken_ids = set(self.db.messages(client_ids))

    def take(self, new: NewMessage) -> Message:
        """The message as it is recorded now: appended, put in a partial one's place, or what was there before."""
        earlier = self.earlier(new)
        if earlier is None:
            return self.append(new)
        if _supersedes(new, earlier):
            return self.replace(new, earlier)
        if not (_says_the_same(new, earlier) or _comes_late(new, earlier) or self.was_said(new, earlier)):
            raise Conflict(
                f"Message id {shown(str(new.client_id))} was recorded in session {shown(earlier.session_id)} with "
                "other content; recorded messages do not change, so send it under a new id."
            )
        self.duplicates.append(str(new.client_id))
        return earlier

    def earlier(self, new: NewMessage) -> Message | None:
        """What was recorded under the same id: in this session, or, where none was named, the same in another one."""
        if new.client_id is None:
            return None
        here = self.here.get(new.client_id)
        other = self.elsewhere.get(new.client_id)
        if here is not None or other is None:
            return here
        return other if _says_the_same(new, other) and not _goes_on(new, other) else None

    def was_said(self, new: NewMessage, earlier: Message) -> bool:
        """Whether it is what was corrected since, sent again."""
        return earlier.status == "interrupted" and any(
            old.status == new.status and _says_the_same(new, old) for old in self.db.replaced(earlier.message_id)
        )

    def append(self, new: NewMessage) -> Message:
        seq = self.session.last_seq + len(self.pending) + 1
        message = self.message(new, seq, self.message_id(new.client_id))
        self.pending.append(message)
        self.remember(message)
        return message

    def message_id(self, client_id: str | None) -> str:
        """The client's own id, unless another session of the owner uses it."""
        if client_id is None:
            return new_id("msg")
        free = client_id
        while free in self.taken_ids or (free != client_id and self.db.message(free) is not None):
            free = f"{self.session.session_id}/{free}"
        return free

    def remember(self, message: Message) -> None:
        self.current[message.message_id] = message
        if message.client_id is not None:
            self.here[message.client_id] = message
            self.taken_ids.add(message.message_id)

    def replace(self, new: NewMessage, earlier: Message) -> Message:
        self.flush()
        # A correction speaks of the words alone; a partial message may have been wrong in all but who spoke and when.
        kept = ("occurred_at", *(_ADDED if earlier.status == "final" else ("speaker",)))
        same = {name: getattr(earlier, name) for name in kept if getattr(new, name) is None}
        given = self.message(replace(new, **same), earlier.seq, earlier.message_id)
        self.db.replace_message(given)
        self.remember(given)
        return given

    def message(self, new: NewMessage, seq: int, message_id: str) -> Message:
        given = {name: getattr(new, name) for name in _GIVEN}
        given["occurred_at"] = new.occurred_at or self.now
        message = Message(
            message_id=message_id,
            session_id=self.session.session_id,
            seq=seq,
            recorded_at=self.now,
            project_id=self.session.project_id,
            channel=self.origin.channel,
            agent=self.origin.agent,
            **given,
        )
        return replace(message, digest=digest_of(message))

    def flush(self) -> None:
        """Writes what is pending; a session that would stay empty is not stored."""
        if not self.pending:
            return
        if not self.stored:
            self.db.add_session(self.session)
        self.session, self.stored = self.db.add_messages(self.session.session_id, self.pending), True
        self.pending = []

    def finish(self, taken: Sequence[Message]) -> Session:
        """The session that the batch is in now; an earlier one, where all of it was recorded there before."""
        self.flush()
        home = self.session.session_id if self.current else taken[-1].session_id
        return self.db.session(home) or self.session

    def latest(self, message: Message) -> Message:
        return self.current.get(message.message_id, message)


def _says_the_same(new: NewMessage, earlier: Message) -> bool:
    return all(getattr(new, name) == _kept(earlier, name) for name in _SAID) and all(
        getattr(new, name) in (None, _kept(earlier, name)) for name in _ADDED
    )


def _kept(earlier: Message, name: str) -> object:
    """What `earlier` has there; its names may be older than their one form."""
    value = getattr(earlier, name)
    return named(value) if name in ("speaker", "tool_name") and value is not None else value


def _supersedes(new: NewMessage, earlier: Message) -> bool:
    return _goes_on(new, earlier) or _corrects(new, earlier)


def _goes_on(new: NewMessage, earlier: Message) -> bool:
    """A partial gives way to whatever is not the same partial again."""
    return earlier.status == "partial" and not (new.status == "partial" and _says_the_same(new, earlier))


def _corrects(new: NewMessage, earlier: Message) -> bool:
    """What was meant to be said gives way to what was heard of it."""
    return (new.status, earlier.status, new.role) == ("interrupted", "final", earlier.role)


def _comes_late(new: NewMessage, earlier: Message) -> bool:
    """A partial that arrives after what it led to has nothing to add."""
    return new.status == "partial" and earlier.status != "partial"


def _with_title(db: WritableRecords, session: Session, written: Iterable[Message]) -> Session:
    """The session, titled by the first thing its user says where nobody gave it a title."""
    said = (m.content for m in written if m.role == "user" and m.status != "partial")
    title = next(filter(None, map(_title_of, said)), None)
    if session.title is not None or title is None:
        return session
    return db.update_session(session.session_id, title=title)


def _title_of(content: str) -> str:
    """One line of at most _TITLE_LENGTH characters, cut between words where there are any; empty for nothing."""
    visible = named(content[: _TITLE_LENGTH * 4])
    line = " ".join("".join(c if c.isprintable() else " " for c in visible).split())
    if len(line) <= _TITLE_LENGTH:
        return line
    cut = line[:_TITLE_LENGTH]
    words = cut[: max(cut.rfind(" "), 0)]
    return (words if len(words) > _TITLE_LENGTH // 2 else cut[: _TITLE_LENGTH - 1]).rstrip(" ,;:") + "…"
