"""The contracts between memory and what it stands on. Documented once, here.

All calls are synchronous and safe from several threads; callers on an event loop use a worker thread.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, Protocol

from memory.model import (
    ApiToken,
    Change,
    Identity,
    Message,
    MessageFilter,
    Owner,
    Passage,
    Position,
    Session,
    SessionFilter,
    Strategy,
    Summary,
    SummaryDraft,
    User,
    UserContextEntry,
    UserEvent,
)

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Vector = npt.NDArray[np.float32]
else:
    # A server that has yet to answer its first request loads no arrays for the sake of a name.
    Vector = Any

Clock = Callable[[], datetime]
Replica = Literal["keywords", "vectors"]


class Records(Protocol):
    """One owner's record inside one read transaction (a consistent snapshot). Nobody else's rows can be reached."""

    owner: Owner

    def session(self, session_id: str) -> Session | None: ...
    def session_by_external_id(self, external_id: str) -> Session | None: ...
    def open_session(self, project_id: str | None) -> Session | None:
        """The most recently active session of exactly this scope that is not archived."""
        ...

    def sessions(self, where: SessionFilter, limit: int, before: tuple[datetime, str] | None = None) -> list[Session]:
        """Newest activity first, ties by id descending; `before` is the last row's (last_activity_at, session_id)."""
        ...

    def latest_archived(self) -> Session | None: ...

    def message(self, message_id: str) -> Message | None: ...
    def messages(self, message_ids: Sequence[str]) -> dict[str, Message]:
        """By id; ids that are unknown are absent."""
        ...

    def messages_by_client_id(self, client_ids: Sequence[str], session_id: str) -> dict[str, Message]: ...
    def messages_by_client_id_in_scope(self, client_ids: Sequence[str], project_id: str | None) -> dict[str, Message]:
        """In any session of exactly this scope; the latest where several sessions use one id."""
        ...

    def transcript(
        self, session_id: str, from_seq: int = 1, to_seq: int | None = None, last: int | None = None
    ) -> list[Message]:
        """By seq ascending; `last` keeps only the final n of the range."""
        ...

    def read_on(self, session_id: str, from_seq: int) -> Iterator[Message]:
        """By seq ascending from `from_seq` on; no more rows are read than are asked for, but for a few."""
        ...

    def windows(self, spans: Sequence[tuple[str, int, int]]) -> list[Message]:
        """Messages of all (session_id, from_seq, to_seq) spans, both ends included, once each, by (session_id, seq)."""
        ...

    def all_messages(self, where: MessageFilter, after: tuple[str, int] | None, limit: int) -> list[Message]:
        """By (session_id, seq); pages with `after` = the last row's pair."""
        ...

    def participants(self, project_id: str | None) -> list[str]:
        """Distinct speaker names; of every scope when `project_id` is None."""
        ...

    def projects(self) -> list[str]:
        """The ids of all projects that have sessions or user context, in order."""
        ...

    def message_count(self, where: SessionFilter | None = None) -> int: ...

    def changes_after(self, position: Position, limit: int) -> list[Change]:
        """This owner's part of the feed, in order, only rows that no uncommitted row can still precede."""
        ...

    def unsettled_messages(self, position: Position, limit: int) -> list[Message]:
        """The owner's newest messages whose change lies after `position`, committed though perhaps not yet in
        `changes_after` (an older transaction is open): what search must still find. Newest first."""
        ...

    def latest_summary(self, session_id: str) -> Summary | None: ...
    def summary_due(self, session_id: str) -> int | None:
        """The seq up to which a summary is owed that could not be folded whole at once; None when none is."""
        ...

    def summaries(self, session_id: str) -> list[Summary]: ...
    def latest_summaries(self, limit: int) -> list[tuple[Session, Summary]]:
        """The newest version for each of the `limit` most recently active sessions that have one, newest first."""
        ...

    def user_context(self, project_id: str | None, keys: Sequence[str] | None = None) -> list[UserContextEntry]:
        """Current entries of exactly this scope by key, deleted and expired ones included (callers filter)."""
        ...

    def user_context_history(self, project_id: str | None, keys: Sequence[str] | None = None) -> list[UserContextEntry]:
        """Every version of exactly this scope, by (key, version)."""
        ...

    def strategy(self, level: Literal["session", "agent"], name: str) -> Strategy | None: ...
    def revision(self) -> int:
        """A number that grows with every write to this owner's record; for caches."""
        ...


class WritableRecords(Records, Protocol):
    """The same inside one write transaction, serialised for the owner across processes; all or nothing."""

    def add_session(self, session: Session) -> None: ...
    def update_session(
        self,
        session_id: str,
        *,
        title: str | None = None,
        archived_at: datetime | None = None,
        reopened: bool = False,
        last_activity_at: datetime | None = None,
    ) -> Session:
        """Sets what is not None; `reopened` clears `archived_at`."""
        ...

    def add_messages(self, session_id: str, messages: Sequence[Message]) -> Session:
        """Inserts messages whose `seq` continues the session's, updates its counters and digest, writes the feed."""
        ...

    def replace_message(self, message: Message) -> None:
        """Puts what followed or corrects a message in its place (same message_id, session, seq); the old one is kept as
        a revision."""
        ...

    def replaced(self, message_id: str) -> list[Message]:
        """What stood in the message's place before, oldest first."""
        ...

    def erase_messages(self, message_ids: Sequence[str]) -> int:
        """Removes messages with their revisions and writes the feed; returns how many there were."""
        ...

    def add_summary(self, summary: Summary) -> None:
        """Stores a version; what is owed up to where it covers is paid."""
        ...

    def owe_summary(self, session_id: str, to_seq: int | None) -> None:
        """Notes up to where a summary is owed; None: nothing is."""
        ...

    def put_user_context(self, entry: UserContextEntry) -> None:
        """Stores a new version (`entry.version` = the current one + 1) and its history row."""
        ...

    def put_strategy(self, level: Literal["session", "agent"], name: str, strategy: Strategy | None) -> None: ...


class RecordStore(Protocol):
    """The record. A value returned from `write` is durable: it survives kill -9 and power loss."""

    def read(self, owner: Owner) -> AbstractContextManager[Records]: ...
    def write(self, owner: Owner) -> AbstractContextManager[WritableRecords]:
        """Commits on a clean exit, rolls back on an exception. Errors: StorageFailed (disk full, read-only, locked)."""
        ...

    def feed(self, after: Position, limit: int) -> list[Change]:
        """Every owner's changes in order, only rows that no uncommitted row can still precede; for index writers."""
        ...

    def feed_messages(self, changes: Sequence[Change]) -> dict[tuple[Owner, str], Message]:
        """The present messages that these changes speak of, by (owner, message_id); erased ones are absent."""
        ...

    def head(self) -> Position:
        """The last position that `feed` could return now."""
        ...

    def cursor(self, replica: str) -> Position:
        """Where an index replica (for example 'node-1/keywords') has got to; START when unknown."""
        ...

    def set_cursor(self, replica: str, position: Position) -> None: ...
    def summaries_owed(self, limit: int) -> list[tuple[Owner, str]]:
        """Every owner's sessions of which a summary is owed, for what folds them in the background."""
        ...

    def audit(self) -> list[str]:
        """One line for each session whose stored messages differ from what was recorded; empty when all is whole."""
        ...

    def close(self) -> None: ...


class Analyzer(Protocol):
    """Text to what the index stores; pure. Another `version` gives other passages: its index is built anew."""

    @property
    def version(self) -> str: ...

    def passages(self, message: Message) -> list[Passage]:
        """At least one, in order, none longer than the embedder's window, for a message worth finding; else []."""
        ...


class PassageIndex(Protocol):
    """The search index: a fold of the feed that may be behind, and may be thrown away."""

    def position(self, replica: Replica) -> Position:
        """How far this replica has folded; a reader must look at SQL for what comes after."""
        ...

    def keyword_candidates(
        self, owner: Owner, where: MessageFilter, terms: Sequence[str], limit: int
    ) -> list[tuple[str, float]]:
        """(message_id, BM25 score) best first, ties by id; a message once. Scores know nothing of other filters."""
        ...

    def holders(
        self, owner: Owner, where: MessageFilter, tokens: Sequence[Sequence[str]], limit: int
    ) -> list[list[str]]:
        """For each token the ids of messages with one of its terms, in no order: all of them, or `limit` or more."""
        ...

    def vector_candidates(
        self, owner: Owner, where: MessageFilter, vector: Vector, limit: int
    ) -> list[tuple[str, float]]:
        """(message_id, cosine in -1..1) best first, ties by id; a message once, by its best passage; exact, not ANN."""
        ...

    def vectors(self, owner: Owner, message_ids: Sequence[str] | None = None) -> tuple[list[str], list[int], Vector]:
        """(message ids, passage parts, matrix n x dimension, L2-normalised rows) of the owner, or of these messages."""
        ...

    def close(self) -> None: ...


class Embedder(Protocol):
    """Text to vectors. One text at a time gives the same vector whatever else is embedded."""

    name: str

    @property
    def dimension(self) -> int:
        """Of the vectors. Errors: Unavailable while a remote model that has to be asked for it cannot be reached."""
        ...

    def embed_query(self, text: str) -> Vector:
        """Shape (dimension,), L2-normalised."""
        ...

    def embed_passages(self, texts: Sequence[str]) -> Vector:
        """Shape (len(texts), dimension), rows L2-normalised. Errors: Unavailable when the model cannot be reached."""
        ...


class Summarizer(Protocol):
    """Turns messages into a summary draft."""

    name: str

    def summarize(self, previous: Summary | None, messages: Sequence[Message], max_tokens: int) -> SummaryDraft:
        """Folds `messages` into `previous`. Errors: Unavailable, after which the caller uses the next producer."""
        ...


class TokenCounter(Protocol):
    """Counts tokens; never below what a model's tokenizer would count, as far as an estimate can promise."""

    def count(self, text: str) -> int: ...


class People(Protocol):
    """One tenant's users inside one transaction. Merged users are reached through `user` alone."""

    def user(self, user_id: str) -> User | None: ...
    def users(self, limit: int, after: str | None = None) -> list[User]:
        """By id, merged ones left out."""
        ...

    def users_with(self, identity: Identity) -> list[User]:
        """Everybody whom this identity is linked to, longest linked first."""
        ...

    def identities(self, user_id: str) -> list[Identity]: ...
    def history(self, user_id: str) -> list[UserEvent]:
        """Oldest first; a user's own and that of everybody merged into them."""
        ...

    def add_user(self, user: User) -> None: ...
    def rename(self, user_id: str, display_name: str) -> None: ...
    def link(self, user_id: str, identity: Identity, at: datetime) -> None:
        """No effect when it is linked already."""
        ...

    def unlink(self, user_id: str, identity: Identity, at: datetime) -> None: ...
    def merge(self, user_id: str, into: str, at: datetime) -> None:
        """Moves identities, access tokens and everything recorded from one user to the other."""
        ...


class Directory(Protocol):
    """The users of every tenant."""

    def read(self, tenant_id: str) -> AbstractContextManager[People]: ...
    def write(self, tenant_id: str) -> AbstractContextManager[People]:
        """Serialised within the tenant; all or nothing."""
        ...


class TokenStore(Protocol):
    """Where tokens are kept."""

    def add_token(self, token: ApiToken) -> None: ...
    def token(self, token_id: str) -> ApiToken | None: ...
    def tokens(self) -> list[ApiToken]:
        """Every tenant's, oldest first."""
        ...

    def revoke_token(self, token_id: str, at: datetime) -> None: ...
    def note_use(self, used: Mapping[str, datetime]) -> None:
        """Moves `last_used_at` forward, never back."""
        ...
