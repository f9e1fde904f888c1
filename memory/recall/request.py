"""What a search is asked for and what it answers."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from memory.errors import Invalid
from memory.model import DAYS, HITS, QUERY_LENGTH, REWORDINGS, Hit, Interpreted, Message, MessageFilter


@dataclass(frozen=True, slots=True)
class SearchRequest:
    """`queries` are rewordings that widen the net."""

    query: str
    queries: Sequence[str] = ()
    where: MessageFilter = field(default_factory=MessageFilter)
    days_back: float | None = None
    limit: int = 10


@dataclass(frozen=True, slots=True)
class SearchResult:
    """Hits best first, ties by message id."""

    hits: list[Hit]
    interpreted: Interpreted


@dataclass(frozen=True, slots=True)
class TopicRequest:
    """`window` neighbours on each side of what is found; `max_tokens` bounds the messages as rendered."""

    topic: str
    where: MessageFilter = field(default_factory=MessageFilter)
    days_back: float | None = None
    max_tokens: int = 1500
    window: int = 3


@dataclass(frozen=True, slots=True)
class Stretch:
    """Consecutive messages of one session, from_seq to to_seq both included."""

    session_id: str
    session_title: str | None
    from_seq: int
    to_seq: int
    messages: tuple[Message, ...]


@dataclass(frozen=True, slots=True)
class TopicResult:
    """Stretches in the order they happened; `tokens` is what they take."""

    stretches: list[Stretch]
    tokens: int
    interpreted: Interpreted = field(default_factory=Interpreted)


def checked_queries(query: str, queries: Sequence[str]) -> list[str]:
    """The query, then its distinct rewordings. Errors: Invalid when the query is empty or too long."""
    if not query.strip():
        raise Invalid("The query", "is empty", "say in a few words what to look for")
    if len(queries) > REWORDINGS:
        raise Invalid("The rewordings", f"are {len(queries)}", f"give at most {REWORDINGS}")
    found = dict.fromkeys(text.strip()[:QUERY_LENGTH] for text in (query, *queries))
    return [text for text in found if text]


def checked_limit(limit: int) -> int:
    """`limit` when it is allowed. Errors: Invalid."""
    if not 1 <= limit <= HITS:
        raise Invalid("The limit", f"is {limit}", f"give 1 to {HITS}")
    return limit


def scope_of(where: MessageFilter) -> MessageFilter:
    """The part of `where` that statistics are made over."""
    return MessageFilter(scope=where.scope, project_id=where.project_id)


def bounded(where: MessageFilter, days_back: float | None, now: datetime) -> MessageFilter:
    """`where` with `days_back` turned into its `since`; the later bound wins. Errors: Invalid."""
    if where.since is not None and where.until is not None and where.since >= where.until:
        raise Invalid("The time range", "ends before it begins", "give a 'since' that is earlier than 'until'")
    if days_back is None:
        return where
    if not 0 < days_back <= DAYS:
        raise Invalid("days_back", f"is {days_back:g}", f"give a number of days above 0, {DAYS:,} at most")
    since = now - timedelta(days=days_back)
    return where if where.since is not None and where.since > since else replace(where, since=since)
