"""The values memory is made of. All frozen; times are timezone-aware UTC datetimes."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Literal

from memory.names import keep_names

Role = Literal["user", "assistant", "system", "tool"]
Status = Literal["final", "partial", "interrupted"]
Channel = Literal["chat", "voice", "sms", "email"]
Category = Literal["fact", "preference", "state"]
Mode = Literal["none", "trim", "summarize", "compact"]
ScopeFilter = Literal["all", "global", "project"]
Source = Literal["stated", "inferred"]
Purpose = Literal["chat", "voice"]
IdentityKind = Literal["phone", "email", "voiceprint", "external", "call"]
Json = Any

# What a value may be at most: the same at every door. Lengths are in characters, pairs are the least and the most.
CONTENT_BYTES = 10 * 1024 * 1024
JSON_BYTES = 1024 * 1024
NAME_BYTES = 512
"""Of an id or a name, in UTF-8: an index row of PostgreSQL holds 2,704, and four of these."""
MESSAGES_AT_ONCE = 10_000
IDENTITY_LENGTH = 255
KEY_LENGTH = 128
VALUE_BYTES = 8192
KEYS_AT_ONCE = 100
KEYS_IN_FORCE = 1000
QUERY_LENGTH = 4000
REWORDINGS = 8
HITS = 100
SESSIONS_ON_A_PAGE = 200
"""Of the record; what goes to a model is a page of `HITS`."""
NEIGHBOURS = 50
DAYS = 100_000
CONTEXT_TOKENS = (50, 200_000)
SUMMARY_TOKENS = (50, 20_000)
SUMMARY_LENGTH = 60_000
SUMMARY_NOTES = 200
SUMMARY_NOTE_LENGTH = 4000
KNOBS = {
    "keep_turns": (0, 10_000),
    "summarize_after": (1, 100_000),
    "max_tokens": (1, 1_000_000),
    "keep_tool_results": (0, 10_000),
}
"""Of a strategy, beside its mode."""


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose memory it is. Every record, query and index row carries both ids."""

    tenant_id: str
    user_id: str


@dataclass(frozen=True, slots=True)
class Position:
    """A place in the change feed; totally ordered. `xid` is 0 where ids commit in order (SQLite)."""

    xid: int = 0
    change_id: int = 0

    def __lt__(self, other: "Position") -> bool:
        return (self.xid, self.change_id) < (other.xid, other.change_id)

    def __le__(self, other: "Position") -> bool:
        return (self.xid, self.change_id) <= (other.xid, other.change_id)


START = Position()

ChangeKind = Literal["message_added", "message_edited", "message_erased"]


@dataclass(frozen=True, slots=True)
class Change:
    """One row of the append-only feed. Erasures keep the ids and nothing else."""

    position: Position
    kind: ChangeKind
    owner: Owner
    session_id: str
    message_id: str
    changed_at: datetime


@dataclass(frozen=True, slots=True)
class NewMessage:
    """A message as a client hands it in. `client_id` is the client's own `id`, its idempotency key in the session."""

    role: Role
    content: str
    client_id: str | None = None
    occurred_at: datetime | None = None
    speaker: str | None = None
    tool_name: str | None = None
    tool_call_id: str | None = None
    tool_arguments: Json = None
    intent: str | None = None
    intent_confidence: float | None = None
    entities: Json = None
    metadata: Mapping[str, Json] | None = None
    status: Status = "final"

    def __post_init__(self) -> None:
        keep_names(self, "speaker", "tool_name")


@dataclass(frozen=True, slots=True)
class Message:
    """A recorded message. `seq` counts from 1 in its session without gaps (erasure leaves its own gaps).

    `message_id` is unique for the owner; it equals the client's id unless another session already uses that one.
    `digest` is the hex SHA-256 of what was recorded.
    """

    message_id: str
    session_id: str
    seq: int
    role: Role
    content: str
    occurred_at: datetime
    recorded_at: datetime
    client_id: str | None = None
    project_id: str | None = None
    channel: Channel | None = None
    agent: str | None = None
    speaker: str | None = None
    tool_name: str | None = None
    tool_call_id: str | None = None
    tool_arguments: Json = None
    intent: str | None = None
    intent_confidence: float | None = None
    entities: Json = None
    metadata: Mapping[str, Json] | None = None
    status: Status = "final"
    digest: str = ""


# Hashed in every message, absent or not, as from the first. A field that came later defaults to None and is hashed only
# where it has a value, so what was recorded before it keeps its digest: nothing is ever added here or taken away.
_ALWAYS_HASHED = frozenset({
    "message_id", "session_id", "seq", "role", "content", "occurred_at", "recorded_at", "client_id", "project_id",
    "channel", "agent", "speaker", "tool_name", "tool_call_id", "tool_arguments", "intent", "intent_confidence",
    "entities", "metadata", "status",
})  # fmt: skip


def digest_of(message: Message) -> str:
    """Hex SHA-256 over all that was recorded, its place included; independent of the database it is kept in."""
    given = {f.name: getattr(message, f.name) for f in fields(message) if f.name != "digest"}
    recorded = {name: value for name, value in given.items() if name in _ALWAYS_HASHED or value is not None}
    return sha256(json.dumps(recorded, sort_keys=True, default=_in_utc).encode()).hexdigest()


def _in_utc(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat()


@dataclass(frozen=True, slots=True)
class Session:
    """A conversation thread. `message_digest`: the sum (mod 2**256, hex) of its messages' digests."""

    session_id: str
    started_at: datetime
    last_activity_at: datetime
    project_id: str | None = None
    title: str | None = None
    channel: Channel | None = None
    agent: str | None = None
    external_id: str | None = None
    archived_at: datetime | None = None
    message_count: int = 0
    last_seq: int = 0
    message_digest: str = ""
    metadata: Mapping[str, Json] | None = None


@dataclass(frozen=True, slots=True)
class SessionFilter:
    """Which sessions to list. `scope` 'all' ignores the project unless one is given; `archived` None means both."""

    scope: ScopeFilter = "all"
    project_id: str | None = None
    archived: bool | None = None
    channel: Channel | None = None
    external_id: str | None = None
    title: str | None = None

    def __post_init__(self) -> None:
        keep_names(self, "project_id", "external_id", "title")


@dataclass(frozen=True, slots=True)
class MessageFilter:
    """Which messages may be found. Bounds on `occurred_at` are inclusive below, exclusive above."""

    scope: ScopeFilter = "all"
    project_id: str | None = None
    session_id: str | None = None
    role: Role | None = None
    channel: Channel | None = None
    since: datetime | None = None
    until: datetime | None = None

    def __post_init__(self) -> None:
        keep_names(self, "project_id", "session_id")

    def admits(self, m: Message) -> bool:
        """Whether `m` passes; the same rule that stores apply in their own language."""
        return (
            (self.scope != "global" or m.project_id is None)
            and (self.scope != "project" or m.project_id is not None)
            and (self.project_id is None or m.project_id == self.project_id)
            and (self.session_id is None or m.session_id == self.session_id)
            and (self.role is None or m.role == self.role)
            and (self.channel is None or m.channel == self.channel)
            and (self.since is None or m.occurred_at >= self.since)
            and (self.until is None or m.occurred_at < self.until)
        )


@dataclass(frozen=True, slots=True)
class Commitment:
    """Something promised: `what`, and where known by whom and by when (as said)."""

    what: str
    who: str | None = None
    by_when: str | None = None
    message_id: str | None = None


@dataclass(frozen=True, slots=True)
class Fact:
    """Something stated, with the message it comes from where known."""

    text: str
    message_id: str | None = None


@dataclass(frozen=True, slots=True)
class SummaryDraft:
    """What a producer hands over: the words, without version or coverage."""

    text: str
    decisions: tuple[Fact, ...] = ()
    commitments: tuple[Commitment, ...] = ()
    open_questions: tuple[Fact, ...] = ()
    facts: tuple[Fact, ...] = ()
    entities: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Summary:
    """One version of a session's summary. It covers messages 1..`covers_to_seq` and no other.

    `note` says what went wrong on the way, for example that a configured model failed and `producer` stood in.
    """

    session_id: str
    version: int
    draft: SummaryDraft
    covers_to_seq: int
    producer: str
    created_at: datetime
    note: str | None = None


@dataclass(frozen=True, slots=True)
class UserContextEntry:
    """One key of the user context. `source` is 'stated' or 'inferred'; `project_id` None is global."""

    key: str
    value: Json
    category: Category
    version: int
    updated_at: datetime
    expires_at: datetime | None = None
    project_id: str | None = None
    source_message_id: str | None = None
    source: Source = "stated"
    confidence: float | None = None
    deleted: bool = False


@dataclass(frozen=True, slots=True)
class Strategy:
    """A memory strategy as stored at one level; None in a field inherits from the next level."""

    mode: Mode | None = None
    keep_turns: int | None = None
    summarize_after: int | None = None
    max_tokens: int | None = None
    keep_tool_results: int | None = None


@dataclass(frozen=True, slots=True)
class Hit:
    """A message found, with its score (higher is better; comparable within one answer only). `superseded_by`: the id of
    a later message that seems to take its place."""

    message: Message
    session_title: str | None
    score: float
    superseded_by: str | None = None


@dataclass(frozen=True, slots=True)
class Passage:
    """What an index stores of a message, or of one stretch of a long one.

    `terms` are the analysed search terms joined by single spaces; `text` is what the embedder reads; without one
    the passage is found by its terms alone.
    """

    message_id: str
    part: int
    text: str
    terms: str


@dataclass(frozen=True, slots=True)
class Interpreted:
    """What a query was understood to ask for. `since`/`until` only prefer, unless the caller gave them."""

    filters: Mapping[str, Json] = field(default_factory=dict)
    dates: tuple[Mapping[str, Json], ...] = ()
    speaker: str | None = None
    role: Role | None = None
    asks_when: bool = False


@dataclass(frozen=True, slots=True)
class Identity:
    """One way to recognise a user; `value` is in normal form."""

    kind: IdentityKind
    value: str


@dataclass(frozen=True, slots=True)
class User:
    """Somebody with a memory. `merged_into` is set once this user has been found to be another one."""

    user_id: str
    created_at: datetime
    display_name: str | None = None
    merged_into: str | None = None


@dataclass(frozen=True, slots=True)
class UserEvent:
    """One line of a user's history: what was linked, unlinked or merged, and when."""

    user_id: str
    action: Literal["created", "linked", "unlinked", "merged"]
    at: datetime
    identity: Identity | None = None
    other_user_id: str | None = None


@dataclass(frozen=True, slots=True)
class ApiToken:
    """What is kept of a token. `digest` is the hex SHA-256 of its secret half, which nobody can guess or recover."""

    token_id: str
    owner: Owner
    rights: frozenset[str]
    digest: str
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None

    def usable(self, now: datetime) -> bool:
        """Whether it may still be used."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)
