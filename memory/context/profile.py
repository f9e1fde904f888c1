"""A user's profile: what the last sessions were about, preferences, and what else is known, as one document."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from memory.model import Fact, Json, Owner, Session, SessionFilter, Summary, UserContextEntry
from memory.ports import Clock, RecordStore
from memory.record.user_context import in_force
from memory.record.validation import check_project
from memory.text.forms import note
from memory.text.plain import folded, plain

_SUMMARIES = 10
_INFERRED = 20


@dataclass(frozen=True, slots=True)
class ProfileLimits:
    """How many sessions' summaries a profile has at most, and how long after its last update it expires (None:
    never)."""

    summaries: int = _SUMMARIES
    expires_after: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Profile:
    """`summaries` are the newest versions of the last sessions that have one, newest session first. `preferences` and
    `metadata` (facts and current state) are the user context in force. `last_updated` is None where nothing is known;
    past `expires_at` a profile is empty. `inferred` is what nobody stated as such: the facts of these summaries that
    the talk itself gave, each with the message that says it, newest session first.
    """

    summaries: tuple[tuple[Session, Summary], ...] = ()
    preferences: tuple[UserContextEntry, ...] = ()
    metadata: tuple[UserContextEntry, ...] = ()
    inferred: tuple[Fact, ...] = ()
    message_count: int = 0
    last_updated: datetime | None = None
    expires_at: datetime | None = None


def profile(
    store: RecordStore,
    owner: Owner,
    project_id: str | None = None,
    *,
    limits: ProfileLimits | None = None,
    clock: Clock,
) -> Profile:
    """The profile for a scope; without a project, of all the user's sessions and the global user context."""
    project_id = check_project(project_id)
    limits = limits or ProfileLimits()
    now = clock()
    with store.read(owner) as records:
        entries = in_force(records, None, project_id, now)
        # A project's sessions may stand behind many others.
        reach = limits.summaries if project_id is None else limits.summaries * 20
        summaries = [pair for pair in records.latest_summaries(reach) if project_id in (None, pair[0].project_id)][
            : limits.summaries
        ]
        last = records.sessions(SessionFilter(project_id=project_id), 1)
        count = records.message_count()
    moments = [e.updated_at for e in entries] + [made.created_at for _, made in summaries]
    moments += [session.last_activity_at for session in last if session.message_count]
    if not moments:
        return Profile()
    updated = max(moments)
    expires_at = None if limits.expires_after is None else updated + limits.expires_after
    if expires_at is not None and expires_at <= now:
        return Profile(expires_at=expires_at, last_updated=updated)
    return Profile(
        summaries=tuple(summaries),
        preferences=tuple(e for e in entries if e.category == "preference"),
        metadata=tuple(e for e in entries if e.category != "preference"),
        inferred=_inferred(summaries, entries),
        message_count=count,
        last_updated=updated,
        expires_at=expires_at,
    )


def _inferred(summaries: Sequence[tuple[Session, Summary]], stated: Sequence[UserContextEntry]) -> tuple[Fact, ...]:
    """The facts of the summaries, each once; none that only repeats what was stated."""
    known = {folded(entry.value) for entry in stated if isinstance(entry.value, str)}
    found: dict[str, Fact] = {}
    for _, summary in summaries:
        for fact in summary.draft.facts:
            if fact.message_id is not None and folded(fact.text) not in known:
                found.setdefault(folded(fact.text), fact)
    return tuple(found.values())[:_INFERRED]


def as_document(made: Profile) -> Mapping[str, Json]:
    """The profile as JSON can hold it: ISO 8601 UTC times, values by key."""
    return {
        "summaries": [_summary(session, summary) for session, summary in made.summaries],
        "preferences": _values(made.preferences),
        "metadata": {
            **({"inferred": [note(fact) for fact in made.inferred]} if made.inferred else {}),
            **_values(made.metadata),
            "message_count": made.message_count,
        },
        "last_updated": plain(made.last_updated),
        "expires_at": plain(made.expires_at),
    }


def _summary(session: Session, summary: Summary) -> Mapping[str, Json]:
    return {
        "session_id": session.session_id,
        "session_title": session.title,
        "last_activity_at": plain(session.last_activity_at),
        "text": summary.draft.text,
        "version": summary.version,
        "covers_to_seq": summary.covers_to_seq,
        "producer": summary.producer,
    }


def _values(entries: Sequence[UserContextEntry]) -> dict[str, Json]:
    return {entry.key: entry.value for entry in entries}
