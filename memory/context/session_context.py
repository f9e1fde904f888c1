"""What a model should be given now: user context, summary, the last turns and recalled memories, within a budget."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import TYPE_CHECKING

from memory.context.assembling import RECALLED, Assembled, Material, assemble
from memory.context.preamble import Preambles
from memory.context.strategies import ResolvedStrategy, apply, in_force, needs_summary, saved
from memory.errors import BackstoryError, Invalid
from memory.model import (
    KNOBS,
    QUERY_LENGTH,
    Hit,
    Json,
    Message,
    MessageFilter,
    Owner,
    Purpose,
    Session,
    Strategy,
    Summary,
    UserContextEntry,
)
from memory.names import keep_names
from memory.ports import Clock, Records, RecordStore, TokenCounter
from memory.record.sessions import existing
from memory.record.user_context import in_force as user_context_in_force
from memory.summaries.summarizing import Summarizing
from memory.text import forms
from memory.text.order import as_said
from memory.text.turns import last_turns, turns, user_turns

if TYPE_CHECKING:
    from memory.recall import Recall

log = logging.getLogger("backstory.session_context")

_VOICE_TOKENS = 400
_LAST_WORDS_LENGTH = 400
_MOST_READ = 1000
"""Messages among which a summarizing strategy looks for its turns; what the budget then cuts is folded all the same."""
_FOLD_SECONDS = 0.2
_FALLS_SHORT = (
    "The summary covers messages 1 to {covers:,}; messages {after:,} to {before:,} are in neither "
    "the summary nor the turns: the summary is not whole yet, ask again."
)


@dataclass(frozen=True, slots=True)
class ContextRequest:
    """Which session (None: the open one of the scope), and how much of what.

    `query` says what the user wants now; without one, the session's last user message is asked about. `purpose`
    'voice' gives the preamble of at most 400 tokens and searches for nothing but an explicit query.
    """

    session_id: str | None = None
    project_id: str | None = None
    query: str | None = None
    max_tokens: int = 4000
    strategy: Strategy | None = None
    purpose: Purpose = "chat"
    agent: str | None = None
    display_name: str | None = None

    def __post_init__(self) -> None:
        keep_names(self, "session_id", "project_id", "agent")


@dataclass(frozen=True, slots=True)
class SessionContext:
    """`instructions` is the text to inject: user context, summary and recalled memories, as quoted data; `messages`
    are the session's turns under the strategy. The other fields hold what these two say, and no more.

    `tokens` counts the text that `results.context` makes of them, and never exceeds what was asked for; `in_short` says
    that it was little. `saved` counts what the strategy kept out; what only the budget cut off is not among it.
    """

    session_id: str | None
    instructions: str
    messages: tuple[Message, ...]
    recalled: tuple[Hit, ...]
    user_context: tuple[UserContextEntry, ...]
    summary: Summary | None
    tokens: int
    strategy: ResolvedStrategy
    left_out: int = 0
    saved: int = 0
    notes: tuple[str, ...] = ()
    in_short: bool = False


class SessionContexts:
    """Answers `get_session_context`. `summarizing` lets the strategy 'summarize' bring a summary up to date."""

    def __init__(
        self,
        store: RecordStore,
        recall: "Recall | None",
        counter: TokenCounter,
        clock: Clock,
        *,
        summarizing: Summarizing | None = None,
        preambles: Preambles | None = None,
    ) -> None:
        self._store = store
        self._recall = recall
        self._counter = counter
        self._clock = clock
        self._summarizing = summarizing
        self._preambles = preambles or Preambles(store, counter, clock)

    def get(self, owner: Owner, request: ContextRequest) -> SessionContext:
        """The session context. Errors: NotFound for a session that is not the owner's, Invalid."""
        if request.max_tokens < 1:
            raise Invalid("max_tokens", f"is {request.max_tokens}", "give a whole number above 0")
        budget = min(request.max_tokens, _VOICE_TOKENS) if request.purpose == "voice" else request.max_tokens
        with self._store.read(owner) as records:
            session = _session(records, request)
            strategy = _strategy(records, session, request)
            transcript = _tail(records, session, strategy, budget // 3 if request.purpose == "voice" else budget)
        project_id = session.project_id if session else request.project_id
        request = replace(request, project_id=project_id)
        count = session.message_count if session else 0
        if session is not None and request.purpose == "chat":
            self._keep_summary(owner, session, strategy, transcript)
        background = self._background(owner, session, request, transcript, strategy)
        hits, notes = self._recalled(owner, request, transcript)
        in_short = budget < forms.IN_SHORT
        frame = _frame_cost(session, strategy, notes, in_short, self._counter)
        material = replace(background, transcript=transcript, whole=len(transcript) >= count, hits=hits, frame=frame)
        made = assemble(material, budget, self._counter)
        if session is not None and (closed := self._without_hole(owner, session, material, made)):
            material, made = closed, assemble(closed, budget, self._counter)
        if material.summary is not None and (short := _falls_short(material, made)):
            notes = (*notes, short)
        return SessionContext(
            session_id=session.session_id if session else None,
            instructions=made.instructions,
            messages=made.messages,
            recalled=tuple(made.recalled),
            user_context=tuple(made.entries),
            summary=made.summary,
            tokens=made.tokens,
            strategy=strategy,
            left_out=max(0, count - len(made.messages)),
            saved=self._saved(material, count - len(transcript)),
            notes=notes,
            in_short=in_short,
        )

    def _background(
        self,
        owner: Owner,
        session: Session | None,
        request: ContextRequest,
        transcript: Sequence[Message],
        strategy: ResolvedStrategy,
    ) -> Material:
        """The user context, and what was said before: this session's summary or, in a new one, what came last."""
        limit = min(request.max_tokens, _VOICE_TOKENS)
        name = request.display_name
        if request.purpose == "voice":
            # In the middle of a call, a third is for what was just said.
            limit = limit * 2 // 3 if transcript else limit
            preamble = self._preambles.get(owner, request.project_id, display_name=name, max_tokens=limit)
            return Material(strategy, entries=preamble.entries, opening=preamble.text)
        history = ""
        if not transcript:
            history = self._preambles.get(owner, request.project_id, part="history", max_tokens=limit).text
        with self._store.read(owner) as records:
            entries = user_context_in_force(records, None, request.project_id, self._clock())
            summary = records.latest_summary(session.session_id) if session else None
        return Material(strategy, entries=entries, summary=summary, history=history)

    def _keep_summary(
        self, owner: Owner, session: Session, strategy: ResolvedStrategy, transcript: Sequence[Message]
    ) -> None:
        """Folds what has left the window of a summarizing strategy, some turns at a time, so that versions stay few.

        With a model configured the background does this; here only what it has not kept up with.
        """
        if self._summarizing is None or strategy.mode != "summarize":
            return
        recent = last_turns(transcript, strategy.keep_turns)
        if not recent or not needs_summary(strategy, transcript, self._counter):
            return
        with self._store.read(owner) as records:
            latest = records.latest_summary(session.session_id)
        covered, first = latest.covers_to_seq if latest else 0, min(m.seq for m in recent)
        waiting = user_turns(m for m in transcript if covered < m.seq < first)
        patience = max(1, strategy.keep_turns * (2 if self._summarizing.has_model else 1) // 2)
        if waiting >= patience or (latest is None and waiting):
            self._fold(owner, session, first - 1)

    def _without_hole(self, owner: Owner, session: Session, material: Material, made: Assembled) -> Material | None:
        """Where the budget cut turns that no summary covers, those are folded as well, with half of what is shown (so
        that this happens once in a while, not with every turn); None where there is no such hole."""
        if self._summarizing is None or not _in_neither(material, made):
            return None
        half = turns(made.messages)
        before = _before(half[len(half) // 2][0], material.transcript)
        to_seq = max((m.seq for m in before), default=min(m.seq for m in material.transcript) - 1)
        summary = self._fold(owner, session, to_seq)
        return replace(material, summary=summary) if summary else None

    def _saved(self, material: Material, earlier: int) -> int:
        strategy, transcript = material.strategy, material.transcript
        view = apply(strategy, transcript, material.summary, self._counter)
        return saved(strategy, view, transcript, earlier, self._counter)

    def _fold(self, owner: Owner, session: Session, to_seq: int) -> Summary | None:
        try:
            assert self._summarizing is not None
            return self._summarizing.summarize(
                owner, session.session_id, to_seq=to_seq, local=True, seconds=_FOLD_SECONDS
            )
        except BackstoryError as error:
            log.warning("The summary of a session was not brought up to date: %s", error)
            return None

    def _recalled(
        self, owner: Owner, request: ContextRequest, transcript: Sequence[Message]
    ) -> tuple[tuple[Hit, ...], tuple[str, ...]]:
        query = (request.query or "")[:QUERY_LENGTH]
        if not query.strip() and request.purpose == "chat":
            query = _last_words(transcript)[:_LAST_WORDS_LENGTH]
        if self._recall is None or not query.strip():
            return (), ()
        from memory.recall import SearchRequest

        try:
            where = MessageFilter(project_id=request.project_id)
            # What stands in the window is dropped afterwards, so more is asked for than is shown.
            limit = RECALLED + min(len(transcript), 30)
            found = self._recall.search(owner, SearchRequest(query=query, where=where, limit=limit))
        except BackstoryError as error:
            log.warning("Nothing was recalled: %s", error)
            return (), (f"Nothing was recalled: {error}",)
        return tuple(found.hits), ()


def _frame_cost(
    session: Session | None, strategy: ResolvedStrategy, notes: Sequence[str], in_short: bool, counter: TokenCounter
) -> int:
    """What a session context costs as data before anything is in it."""
    told: dict[str, Json] = {"mode": strategy.mode, "decided_by": "session"}
    if not in_short:
        told |= {name: getattr(strategy, name) for name in KNOBS}
        told["knobs_decided_by"] = {name: layer for name, layer in strategy.decided_by.items() if layer != "none"}
    data = {
        "session_id": session.session_id if session else None,
        "instructions": "",
        **dict.fromkeys(("messages", "recalled", "user_context"), ()),
        "summary": None,
        "tokens": 100_000,
        "strategy": told,
        "left_out": 100_000,
        "notes": [*notes, _FALLS_SHORT] if strategy.mode == "summarize" else list(notes),
    }
    return forms.cost(counter, data)


def _session(records: Records, request: ContextRequest) -> Session | None:
    if request.session_id is None:
        return records.open_session(request.project_id)
    return existing(records, request.session_id)


def _strategy(records: Records, session: Session | None, request: ContextRequest) -> ResolvedStrategy:
    agent = request.agent or (session.agent if session else None)
    return in_force(records, session.session_id if session else None, agent, request.strategy)


def _tail(records: Records, session: Session | None, strategy: ResolvedStrategy, tokens: int) -> tuple[Message, ...]:
    """As much of the transcript's end as the strategy and the budget can have a use for, in the order of speech."""
    if session is None:
        return ()
    size = min(512, max(16, tokens // 20))
    while True:
        tail = records.transcript(session.session_id, last=size)
        if len(tail) < size or _suffices(tail, strategy, tokens):
            return tuple(as_said(tail))
        size = size * 3 if size >= _MOST_READ else min(size * 3, _MOST_READ)


def _suffices(tail: Sequence[Message], strategy: ResolvedStrategy, tokens: int) -> bool:
    count = user_turns(tail)
    if strategy.mode == "trim" and count > strategy.keep_turns:
        return True
    threshold = max(strategy.keep_turns, strategy.summarize_after)
    if strategy.mode == "summarize" and count <= threshold and len(tail) < _MOST_READ:
        return False
    # At the very least, a message costs its frame and a token for every six characters; compacted, a placeholder.
    lengths = (0 if strategy.mode == "compact" and m.role == "tool" else len(m.content) for m in tail)
    return sum(6 + length // 6 for length in lengths) > tokens


def _last_words(transcript: Sequence[Message]) -> str:
    return next((m.content for m in reversed(transcript) if m.role == "user" and m.content.strip()), "")


def _falls_short(material: Material, made: Assembled) -> str | None:
    """What to say where between the summary and the turns there are messages that neither holds."""
    unseen = _in_neither(material, made)
    if material.summary is None or not unseen:
        return None
    covers = material.summary.covers_to_seq
    return _FALLS_SHORT.format(covers=covers, after=covers + 1, before=max(unseen))


def _in_neither(material: Material, made: Assembled) -> list[int]:
    """The numbers of messages before the turns that are shown, under a summarizing strategy, which no summary covers;
    of those that were not read, the last alone."""
    if material.strategy.mode != "summarize" or not made.messages:
        return []
    covers = material.summary.covers_to_seq if material.summary else 0
    lowest = 0 if material.whole else min(m.seq for m in material.transcript) - 1
    return [seq for seq in (lowest, *(m.seq for m in _before(made.messages[0], material.transcript))) if seq > covers]


def _before(first: Message, transcript: Sequence[Message]) -> list[Message]:
    return list(takewhile(lambda m: m.message_id != first.message_id, transcript))
