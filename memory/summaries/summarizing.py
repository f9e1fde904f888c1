"""Rolling summaries: what a session has said so far, folded forward, in versions that claim no more than was read."""

import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import chain
from typing import Protocol
from weakref import WeakValueDictionary

from memory.errors import Conflict, Invalid, shown
from memory.model import (
    Message,
    Owner,
    Session,
    Summary,
    SummaryDraft,
)
from memory.ports import Clock, Records, RecordStore, Summarizer, TokenCounter, WritableRecords
from memory.record.sessions import existing, open_now
from memory.record.validation import check_project
from memory.summaries.drafts import check_draft, check_sources
from memory.summaries.folding import Folding, Limit, Made, version_of
from memory.summaries.patience import Patient
from memory.text.turns import cost

log = logging.getLogger("backstory.summarizing")

_AGENT = "agent"
_TEXT_TOKENS = 400
_FOLD_TOKENS = 8000
_PAGE = 500
_LAST_PARTIALS = 20
_TRIES = 4
_IN_CALL = 1.0
"""Seconds of folding that somebody waits for; what is left then is folded behind."""
_PATIENCE = 3.0
"""Seconds that somebody waits for models; then the next producer answers, and a model's answer follows."""
_IN_STEP = 5.0
"""Seconds of folding behind, after which what is done is stored, and another session has its turn."""


@dataclass(frozen=True, slots=True)
class Pending:
    """What a producer outside (the client's model) is asked to fold: `messages` into `previous`; the answer then
    covers up to `to_seq`."""

    session_id: str
    previous: Summary | None
    messages: tuple[Message, ...]
    to_seq: int
    max_tokens: int


@dataclass(frozen=True, slots=True)
class _Plan:
    """Which messages are to be folded into what."""

    session_id: str
    previous: Summary | None
    from_seq: int
    to_seq: int


class _Lock:
    """A lock that a WeakValueDictionary can hold."""

    __slots__ = ("__weakref__", "lock")

    def __init__(self) -> None:
        self.lock = threading.Lock()


class Behind(Protocol):
    """What folds in the background."""

    def owe(self, owner: Owner, session_id: str) -> None:
        """Sees to it that `Summarizing.go_on` is called until the summary is whole. Returns at once."""
        ...

    def owes(self, owner: Owner, session_id: str) -> bool:
        """Whether that is still going on."""
        ...

    def announce(self, owner: Owner, session_id: str) -> None:
        """Tells who wants to know that there is a new version of this session's summary."""
        ...


class Summarizing:
    """Makes summaries. `summarizers` are tried in order; the last one is local and never fails. `quick` (that one, when
    absent) is for what somebody waits for."""

    def __init__(
        self,
        store: RecordStore,
        summarizers: Sequence[Summarizer],
        counter: TokenCounter,
        clock: Clock,
        *,
        quick: Summarizer | None = None,
        fold_tokens: int = _FOLD_TOKENS,
        seconds: float = _IN_CALL,
        patience: float = _PATIENCE,
    ) -> None:
        self._store = store
        self._summarizers = tuple(summarizers)
        self._local = (quick,) if quick else self._summarizers[-1:]
        self._counter = counter
        self._clock = clock
        self._fold_tokens = fold_tokens
        self._folding = Folding(self._local, counter, clock, fold_tokens)
        self._seconds = seconds
        self._patience = patience
        self._behind: Behind | None = None
        self._locks: WeakValueDictionary[tuple[Owner, str], _Lock] = WeakValueDictionary()
        self._guard = threading.Lock()

    @property
    def has_model(self) -> bool:
        """Whether a model is configured besides the local producer."""
        return len(self._summarizers) > 1

    def leave_rest_to(self, behind: Behind) -> None:
        """From now on what a call has no time for is folded by `behind`."""
        self._behind = behind

    def summarize(
        self,
        owner: Owner,
        session_id: str | None = None,
        *,
        project_id: str | None = None,
        draft: SummaryDraft | None = None,
        covers_to_seq: int | None = None,
        max_tokens: int | None = None,
        to_seq: int | None = None,
        first: Sequence[Summarizer] = (),
        local: bool = False,
        seconds: float = _IN_CALL,
        patient: bool = False,
    ) -> Summary:
        """The session's summary, brought up to date; the open session of the scope when `session_id` is None.

        `draft` (the calling agent's own words) is stored as it is; it covers the session as it stands, or up to
        `covers_to_seq`. Otherwise what came after the latest version is folded into it, up to `to_seq` at most, by
        the producers of `first`, then the configured ones (`local`: the local one only). When nothing came after, the
        latest version is the answer. `max_tokens` limits the text (400). Errors: NotFound, Invalid, Conflict.

        At most about a second (or `seconds`) goes into it: of a longer stretch the answer covers the beginning, as its
        note says, and the rest is folded behind. Until that is done, the answer is what there is. Configured models are
        waited for some seconds (`patient`: as long as they take); a later answer of theirs is stored as a version.
        """
        if max_tokens is not None and max_tokens < 20:
            raise Invalid("max_tokens", f"is {max_tokens}", "a summary needs at least 20")
        with self._store.read(owner) as records:
            session = _session(records, session_id, project_id)
        if draft is not None:
            return self._store_draft(owner, session.session_id, draft, covers_to_seq)
        if self._owes(owner, session.session_id) and (so_far := self._so_far(owner, session, to_seq)) is not None:
            return so_far
        configured = self._summarizers if patient else self._asked_briefly(owner, session.session_id)
        producers = (*first, *(self._local if local else configured))
        with self._alone(owner, session.session_id):
            until = time.monotonic() + min(seconds, self._seconds)
            limit = Limit(lambda: time.monotonic() > until)
            summary, whole = self._fold(owner, session.session_id, to_seq, max_tokens, producers, limit)
        if not whole and self._behind is not None:
            self._behind.owe(owner, session.session_id)
        return summary

    def _asked_briefly(self, owner: Owner, session_id: str) -> tuple[Summarizer, ...]:
        until = time.monotonic() + self._patience

        def late(name: str, previous: Summary | None, messages: Sequence[Message], draft: SummaryDraft) -> None:
            self._store_late(owner, session_id, name, previous, messages, draft)

        models = [Patient(one, lambda: until - time.monotonic(), late) for one in self._summarizers[:-1]]
        return (*models, *self._summarizers[-1:])

    def _store_late(
        self,
        owner: Owner,
        session_id: str,
        name: str,
        previous: Summary | None,
        messages: Sequence[Message],
        draft: SummaryDraft,
    ) -> None:
        """Keeps a model's late answer as a version, where what was made in its place is still the latest."""
        with self._alone(owner, session_id), self._store.write(owner) as records:
            latest = records.latest_summary(session_id)
            covers = messages[-1].seq if messages else 0
            if (
                latest is None
                or latest.producer not in {one.name for one in self._local}
                or latest.version != version_of(previous) + 1
                or latest.covers_to_seq != covers
            ):
                return
            note = f"follows version {latest.version} by {latest.producer}"
            self._add(records, session_id, latest, Made(draft, covers, name, note))
        if self._behind is not None:
            self._behind.announce(owner, session_id)

    def go_on(self, owner: Owner, session_id: str, stopping: Callable[[], bool]) -> bool:
        """Folds of what is owed as much as some seconds allow, and stores it; whether more is owed.

        Ends early once `stopping` says so. Errors: NotFound, Conflict, StorageFailed, Unavailable.
        """
        with self._store.read(owner) as records:
            due = records.summary_due(session_id)
        if due is None:
            return False
        producers = self._summarizers if self.has_model else self._local
        with self._alone(owner, session_id):
            until = time.monotonic() + _IN_STEP
            limit = Limit(lambda: stopping() or time.monotonic() > until, moves=True)
            _, whole = self._fold(owner, session_id, due, None, producers, limit)
        if whole:
            with self._store.write(owner) as records:
                records.owe_summary(session_id, None)
        return not whole

    def pending(
        self,
        owner: Owner,
        session_id: str | None = None,
        *,
        project_id: str | None = None,
        max_tokens: int | None = None,
        to_seq: int | None = None,
    ) -> Pending | None:
        """What the client's model should fold, up to `to_seq` at most; None when the summary is up to date.

        Of a session too long for one question, all but the last stretch is folded locally first; None also where that
        takes longer than a call may. Asking again gives the same answer while nothing is recorded. Errors: NotFound,
        Invalid.
        """
        with self._store.read(owner) as records:
            session = _session(records, session_id, project_id)
            plan = _plan(records, session.session_id, to_seq)
        if self._owes(owner, session.session_id):
            return None
        last, before = self._last_stretch(owner, plan)
        if before:
            made = self.summarize(owner, session.session_id, to_seq=before, local=True)
            if made.covers_to_seq < before:
                return None
            return self.pending(owner, session.session_id, max_tokens=max_tokens, to_seq=to_seq)
        if not last:
            return None
        return Pending(session.session_id, plan.previous, last, plan.to_seq, max_tokens or _TEXT_TOKENS)

    def _last_stretch(self, owner: Owner, plan: _Plan) -> tuple[tuple[Message, ...], int]:
        """(the last messages of the plan that one fold can take, the seq of the one before them, 0 for none)."""
        found: list[Message] = []
        room = self._fold_tokens
        end = plan.to_seq
        while end >= plan.from_seq:
            with self._store.read(owner) as records:
                page = records.transcript(plan.session_id, plan.from_seq, end, last=_PAGE)
            for message in reversed(page):
                room -= cost(self._counter, message)
                if room < 0:
                    return tuple(reversed(found)), message.seq
                found.append(message)
            end = page[0].seq - 1 if page else 0
        return tuple(reversed(found)), 0

    def _store_draft(self, owner: Owner, session_id: str, draft: SummaryDraft, covers: int | None) -> Summary:
        check_draft(draft)
        with self._store.write(owner) as records:
            session = _session(records, session_id, None)
            if covers is not None and not 0 <= covers <= session.last_seq:
                allowed = f"the session has messages 1 to {session.last_seq}"
                raise Invalid("covers_to_seq", f"is {covers}", allowed)
            check_sources(records, draft)
            upto = session.last_seq if covers is None else covers
            latest = records.latest_summary(session_id)
            note = f"follows version {latest.version} by {latest.producer}" if latest else None
            return self._add(records, session_id, latest, Made(draft, upto, _AGENT, note))

    def _fold(
        self,
        owner: Owner,
        session_id: str,
        to_seq: int | None,
        tokens: int | None,
        producers: Sequence[Summarizer],
        limit: Limit,
    ) -> tuple[Summary, bool]:
        """(the summary, whether it covers all that it should)."""
        for _ in range(_TRIES):
            with self._store.read(owner) as records:
                plan = _plan(records, session_id, to_seq)
            made = self._made(plan, self._messages(owner, plan), tokens or _TEXT_TOKENS, producers, limit)
            if made is None:
                if plan.previous is None:
                    raise Conflict(f"The session {shown(session_id)} has no messages yet; record some first.")
                if tokens is None or self._counter.count(plan.previous.draft.text) <= tokens:
                    return plan.previous, True
                made = self._folding.fold(plan.previous, iter([()]), tokens, producers, limit)
            with self._store.write(owner) as records:
                latest = records.latest_summary(session_id)
                if version_of(latest) == version_of(plan.previous):
                    if not made.whole:
                        made = self._owed(records, plan, made)
                    return self._add(records, session_id, latest, made), made.whole
        raise Conflict(f"The session {shown(session_id)} is being summarized by several callers at once; try again.")

    def _owed(self, records: WritableRecords, plan: _Plan, made: Made) -> Made:
        """What was made in part, with the note that says so; the rest is owed from now on, a restart or not."""
        session = _session(records, plan.session_id, None)
        records.owe_summary(plan.session_id, max(plan.to_seq, records.summary_due(plan.session_id) or 0))
        note = self._so_far_note(made.covers_to_seq, session)
        return replace(made, note="; ".join(part for part in (made.note, note) if part))

    def _so_far_note(self, covers: int, session: Session) -> str:
        rest = "is being folded in the background, ask again" if self._behind else "is folded when asked again"
        part = f"covers messages 1 to {covers:,} of {session.last_seq:,}" if covers else "covers no message whole yet"
        return f"{part}; the rest {rest}"

    def _owes(self, owner: Owner, session_id: str) -> bool:
        return self._behind is not None and self._behind.owes(owner, session_id)

    def _so_far(self, owner: Owner, session: Session, to_seq: int | None) -> Summary | None:
        """What there is of a summary that is being folded behind."""
        with self._store.read(owner) as records:
            latest = records.latest_summary(session.session_id)
        if latest is None or latest.covers_to_seq >= min(session.last_seq, to_seq or sys.maxsize):
            return latest
        return replace(latest, note=self._so_far_note(latest.covers_to_seq, session))

    def _made(
        self,
        plan: _Plan,
        messages: Iterator[Message],
        tokens: int,
        producers: Sequence[Summarizer],
        limit: Limit,
    ) -> Made | None:
        first = next(messages, None)
        if first is None:
            return None
        made = self._folding.fold(
            plan.previous, self._folding.stretches(chain([first], messages)), tokens, producers, limit
        )
        return replace(made, covers_to_seq=plan.to_seq) if made.whole else made

    def _messages(self, owner: Owner, plan: _Plan) -> Iterator[Message]:
        """What is to be folded, a page at a time."""
        for start in range(plan.from_seq, plan.to_seq + 1, _PAGE):
            with self._store.read(owner) as records:
                page = records.transcript(plan.session_id, start, min(start + _PAGE - 1, plan.to_seq))
            yield from page

    def _add(self, records: WritableRecords, session_id: str, latest: Summary | None, made: Made) -> Summary:
        summary = Summary(
            session_id=session_id,
            version=version_of(latest) + 1,
            draft=made.draft,
            covers_to_seq=made.covers_to_seq,
            producer=made.producer,
            created_at=self._clock(),
            note=made.note,
        )
        records.add_summary(summary)
        return summary

    @contextmanager
    def _alone(self, owner: Owner, session_id: str) -> Iterator[None]:
        """One caller of this process at a time for a session; other processes are noticed when storing."""
        with self._guard:
            lock = self._locks.setdefault((owner, session_id), _Lock())
        with lock.lock:
            yield


def _session(records: Records, session_id: str | None, project_id: str | None) -> Session:
    if session_id is not None:
        return existing(records, session_id)
    return open_now(records, check_project(project_id))


def _plan(records: Records, session_id: str, to_seq: int | None) -> _Plan:
    """What lies between the latest summary and the end; partial messages at the end are still being said."""
    previous = records.latest_summary(session_id)
    session = records.session(session_id)
    start = (previous.covers_to_seq if previous else 0) + 1
    end = min(session.last_seq if session else 0, to_seq if to_seq is not None else sys.maxsize)
    for message in reversed(records.transcript(session_id, start, end, last=_LAST_PARTIALS)):
        if message.status != "partial":
            break
        end = message.seq - 1
    return _Plan(session_id, previous, start, end)
