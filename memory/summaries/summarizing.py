"""Rolling summaries: what a session has said so far, folded forward, in versions that claim no more than was read."""

import logging
import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import chain
from weakref import WeakValueDictionary

from memory.errors import Conflict, Invalid, NotFound, Unavailable, shown
from memory.model import (
    SUMMARY_LENGTH,
    SUMMARY_NOTE_LENGTH,
    SUMMARY_NOTES,
    Message,
    Owner,
    Session,
    Summary,
    SummaryDraft,
)
from memory.ports import Clock, Records, RecordStore, Summarizer, TokenCounter, WritableRecords
from memory.record.sessions import existing
from memory.text.quoting import shortened
from memory.text.turns import cost

log = logging.getLogger("backstory.summarizing")

_AGENT = "agent"
_TEXT_TOKENS = 400
_FOLD_TOKENS = 8000
_PAGE = 500
_LAST_PARTIALS = 20
_TRIES = 4


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


@dataclass(frozen=True, slots=True)
class _Made:
    """A draft with what there is to say about it."""

    draft: SummaryDraft
    covers_to_seq: int
    producer: str
    note: str | None


class _Lock:
    """A lock that a WeakValueDictionary can hold."""

    __slots__ = ("__weakref__", "lock")

    def __init__(self) -> None:
        self.lock = threading.Lock()


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
    ) -> None:
        self._store = store
        self._summarizers = tuple(summarizers)
        self._local = (quick,) if quick else self._summarizers[-1:]
        self._counter = counter
        self._clock = clock
        self._fold_tokens = fold_tokens
        self._locks: WeakValueDictionary[tuple[Owner, str], _Lock] = WeakValueDictionary()
        self._guard = threading.Lock()

    @property
    def has_model(self) -> bool:
        """Whether a model is configured besides the local producer."""
        return len(self._summarizers) > 1

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
    ) -> Summary:
        """The session's summary, brought up to date; the open session of the scope when `session_id` is None.

        `draft` (the calling agent's own words) is stored as it is; it covers the session as it stands, or up to
        `covers_to_seq`. Otherwise what came after the latest version is folded into it, up to `to_seq` at most, by
        the producers of `first`, then the configured ones (`local`: the local one only). When nothing came after, the
        latest version is the answer. `max_tokens` limits the text (400). Errors: NotFound, Invalid, Conflict.
        """
        if max_tokens is not None and max_tokens < 20:
            raise Invalid("max_tokens", f"is {max_tokens}", "a summary needs at least 20")
        with self._store.read(owner) as records:
            session = _session(records, session_id, project_id)
        if draft is not None:
            return self._store_draft(owner, session.session_id, draft, covers_to_seq)
        producers = (*first, *(self._local if local else self._summarizers))
        with self._alone(owner, session.session_id):
            return self._fold(owner, session.session_id, to_seq, max_tokens, producers)

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

        Of a session too long for one question, all but the last stretch is folded locally first. Asking again gives
        the same answer while nothing is recorded. Errors: NotFound, Invalid.
        """
        with self._store.read(owner) as records:
            session = _session(records, session_id, project_id)
            plan = _plan(records, session.session_id, to_seq)
        chunks = list(self._chunks(self._messages(owner, plan)))
        if len(chunks) > 1:
            self.summarize(owner, session.session_id, to_seq=chunks[-2][-1].seq, local=True)
            return self.pending(owner, session.session_id, max_tokens=max_tokens, to_seq=to_seq)
        if not chunks:
            return None
        return Pending(session.session_id, plan.previous, chunks[0], plan.to_seq, max_tokens or _TEXT_TOKENS)

    def _store_draft(self, owner: Owner, session_id: str, draft: SummaryDraft, covers: int | None) -> Summary:
        _check_draft(draft)
        with self._store.write(owner) as records:
            session = _session(records, session_id, None)
            if covers is not None and not 0 <= covers <= session.last_seq:
                allowed = f"the session has messages 1 to {session.last_seq}"
                raise Invalid("covers_to_seq", f"is {covers}", allowed)
            _check_sources(records, draft)
            upto = session.last_seq if covers is None else covers
            latest = records.latest_summary(session_id)
            note = f"follows version {latest.version} by {latest.producer}" if latest else None
            return self._add(records, session_id, latest, _Made(draft, upto, _AGENT, note))

    def _fold(
        self, owner: Owner, session_id: str, to_seq: int | None, limit: int | None, producers: Sequence[Summarizer]
    ) -> Summary:
        for _ in range(_TRIES):
            with self._store.read(owner) as records:
                plan = _plan(records, session_id, to_seq)
            made = self._made(plan, self._messages(owner, plan), limit or _TEXT_TOKENS, producers)
            if made is None:
                if plan.previous is None:
                    raise Conflict(f"The session {shown(session_id)} has no messages yet; record some first.")
                if limit is None or self._counter.count(plan.previous.draft.text) <= limit:
                    return plan.previous
                made = self._folded(plan.previous, [()], limit, producers)
            with self._store.write(owner) as records:
                latest = records.latest_summary(session_id)
                if _version(latest) == _version(plan.previous):
                    return self._add(records, session_id, latest, made)
        raise Conflict(f"The session {shown(session_id)} is being summarized by several callers at once; try again.")

    def _made(
        self, plan: _Plan, messages: Iterator[Message], limit: int, producers: Sequence[Summarizer]
    ) -> _Made | None:
        first = next(messages, None)
        if first is None:
            return None
        made = self._folded(plan.previous, self._chunks(chain([first], messages)), limit, producers)
        return replace(made, covers_to_seq=plan.to_seq)

    def _folded(
        self,
        previous: Summary | None,
        chunks: Iterable[Sequence[Message]],
        limit: int,
        producers: Sequence[Summarizer],
    ) -> _Made:
        """Folds stretch by stretch, so that no message is left unread; notes who made it and what failed."""
        left = list(producers)
        notes: list[str] = []
        covers = previous.covers_to_seq if previous else 0
        for chunk in chunks:
            covers = chunk[-1].seq if chunk else covers
            draft = _first_answer(left, previous, chunk, limit, notes)
            draft = replace(draft, text=shortened(draft.text, limit, self._counter))
            previous = Summary("", _version(previous), draft, covers, left[0].name, self._clock())
        assert previous is not None
        return _Made(previous.draft, covers, left[0].name, "; ".join(notes) or None)

    def _messages(self, owner: Owner, plan: _Plan) -> Iterator[Message]:
        """What is to be folded, a page at a time."""
        for start in range(plan.from_seq, plan.to_seq + 1, _PAGE):
            with self._store.read(owner) as records:
                page = records.transcript(plan.session_id, start, min(start + _PAGE - 1, plan.to_seq))
            yield from page

    def _chunks(self, messages: Iterable[Message]) -> Iterator[tuple[Message, ...]]:
        """Stretches of at most `fold_tokens`, the messages in pieces where one alone is larger."""
        current: list[Message] = []
        size = 0
        for piece in (part for message in messages for part in self._pieces(message)):
            price = cost(self._counter, piece)
            if current and size + price > self._fold_tokens:
                yield tuple(current)
                current, size = [], 0
            current.append(piece)
            size += price
        if current:
            yield tuple(current)

    def _pieces(self, message: Message) -> Iterator[Message]:
        length = self._fold_tokens * 3
        if len(message.content) <= length:
            yield message
            return
        for start in range(0, len(message.content), length):
            yield replace(message, content=message.content[start : start + length])

    def _add(self, records: WritableRecords, session_id: str, latest: Summary | None, made: _Made) -> Summary:
        summary = Summary(
            session_id=session_id,
            version=_version(latest) + 1,
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
    session = records.open_session(project_id)
    if session is None:
        raise Invalid("session_id", "is missing, and no session is open", "give the id of a session")
    return session


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


def _first_answer(
    producers: list[Summarizer],
    previous: Summary | None,
    messages: Sequence[Message],
    limit: int,
    notes: list[str],
) -> SummaryDraft:
    """The first producer's draft; those that fail are taken off the list, with a note."""
    while producers:
        try:
            return producers[0].summarize(previous, messages, limit)
        except Unavailable as error:
            notes.append(f"{producers[0].name} could not be used: {error}")
            log.warning("%s The next producer is used.", notes[-1])
            del producers[0]
    raise Unavailable("No summary could be made (" + " ".join(notes) + "); hand in your own words instead.")


def _version(summary: Summary | None) -> int:
    return summary.version if summary else 0


def _check_draft(draft: SummaryDraft) -> None:
    if not draft.text.strip():
        raise Invalid("The summary's text", "is empty", "say in a few sentences what was talked about")
    if len(draft.text) > SUMMARY_LENGTH:
        raise Invalid("The summary's text", f"has {len(draft.text)} characters", f"at most {SUMMARY_LENGTH} are kept")
    said = {
        "decisions": [fact.text for fact in draft.decisions],
        "commitments": [commitment.what for commitment in draft.commitments],
        "open_questions": [fact.text for fact in draft.open_questions],
        "facts": [fact.text for fact in draft.facts],
        "entities": list(draft.entities),
    }
    for name, texts in said.items():
        if len(texts) > SUMMARY_NOTES:
            raise Invalid(f"The summary's {name}", f"has {len(texts)} entries", f"at most {SUMMARY_NOTES} are kept")
        if not all(text.strip() and len(text) <= SUMMARY_NOTE_LENGTH for text in texts):
            allowed = f"each entry says something, in at most {SUMMARY_NOTE_LENGTH} characters"
            raise Invalid(f"The summary's {name}", "has an empty or overlong entry", allowed)


def _check_sources(records: Records, draft: SummaryDraft) -> None:
    sources = [fact.message_id for fact in (*draft.decisions, *draft.open_questions, *draft.facts)]
    sources += [commitment.message_id for commitment in draft.commitments]
    ids = [message_id for message_id in sources if message_id is not None]
    recorded = records.messages(ids) if ids else {}
    for message_id in ids:
        if message_id not in recorded:
            raise NotFound("message", message_id)
