"""When summaries are made without being asked for: as a session grows (with a model only), when it is archived, and
where a call had no time for all of it."""

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable

from memory.errors import BackstoryError
from memory.model import Owner, Session
from memory.ports import RecordStore, TokenCounter
from memory.summaries.summarizing import Summarizing
from memory.text.turns import cost, user_turns

log = logging.getLogger("backstory.summarizing")

_EVERY_TURNS = 20
_EVERY_TOKENS = 6000
_LOOKED_AT = 1000
_OWED = 1000
_BREATH = 0.03
"""Seconds between two stretches, in which others have the interpreter."""


class SummaryTriggers:
    """Tells `Summarizing` when it is time. One background thread does the work; recording never waits.

    Without a model nothing happens as a session grows, and archiving makes the local summary at once, as far as a call
    has time. The thread also folds what calls left, some of it from before the start.
    """

    def __init__(
        self,
        store: RecordStore,
        summarizing: Summarizing,
        counter: TokenCounter,
        *,
        every_turns: int = _EVERY_TURNS,
        every_tokens: int = _EVERY_TOKENS,
    ) -> None:
        self._store = store
        self._summarizing = summarizing
        self._counter = counter
        self._every_turns = every_turns
        self._every_tokens = every_tokens
        self._made: Callable[[Owner, Session], None] | None = None
        self._waiting: OrderedDict[tuple[Owner, str], bool] = OrderedDict()
        self._owed: dict[tuple[Owner, str], None] = {}
        self._condition = threading.Condition()
        self._thread: threading.Thread | None = None
        self._stopping = False
        self._busy = False

    def tell(self, made: Callable[[Owner, Session], None]) -> None:
        """From now on calls `made` with each session that got a summary in the background, in that thread."""
        self._made = made

    def start(self) -> None:
        """Starts the background thread."""
        if self._thread is None:
            self._summarizing.leave_rest_to(self)
            self._busy = True
            self._thread = threading.Thread(target=self._work, name="backstory-summaries", daemon=True)
            self._thread.start()

    def stop(self, timeout: float = 2.0) -> None:
        """Lets the summary that is being made finish, for at most `timeout` seconds; what waits is dropped (the next
        request makes it)."""
        with self._condition:
            self._stopping = True
            self._condition.notify_all()
        if self._thread is not None:
            self._thread.join(timeout)

    def recorded(self, owner: Owner, session_id: str) -> None:
        """Messages were recorded. Returns at once."""
        if self._thread is not None and self._summarizing.has_model:
            self._put(owner, session_id, archived=False)

    def archived(self, owner: Owner, session_id: str) -> None:
        """A session was archived; never fails, since archiving must not."""
        if self._thread is not None and self._summarizing.has_model:
            self._put(owner, session_id, archived=True)
        else:
            self._summarize(owner, session_id)

    def owe(self, owner: Owner, session_id: str) -> None:
        """Folds the rest of this session's summary behind. Returns at once."""
        with self._condition:
            self._owed[owner, session_id] = None
            self._condition.notify_all()

    def owes(self, owner: Owner, session_id: str) -> bool:
        """Whether this session's summary is being folded behind."""
        with self._condition:
            return (owner, session_id) in self._owed

    def announce(self, owner: Owner, session_id: str) -> None:
        """Tells who wants to know that there is a new version of this session's summary."""
        with self._store.read(owner) as records:
            session = records.session(session_id)
        if session is not None and self._made is not None:
            self._made(owner, session)

    def wait_until_idle(self, timeout: float) -> bool:
        """Whether all that was asked for is done within `timeout` seconds."""
        with self._condition:
            return self._condition.wait_for(lambda: not self._waiting and not self._owed and not self._busy, timeout)

    def _put(self, owner: Owner, session_id: str, archived: bool) -> None:
        with self._condition:
            key = (owner, session_id)
            self._waiting[key] = archived or self._waiting.get(key, False)
            self._condition.notify_all()

    def _work(self) -> None:
        self._recall_owed()
        while True:
            with self._condition:
                self._busy = False
                self._condition.notify_all()
                self._condition.wait_for(lambda: self._waiting or self._owed or self._stopping)
                if self._stopping:
                    return
                self._busy = True
                asked = self._waiting.popitem(last=False) if self._waiting else None
                owed = next(iter(self._owed), None)
            if asked is not None:
                (owner, session_id), archived = asked
                if archived or self._due(owner, session_id):
                    self._summarize(owner, session_id)
            if owed is not None:
                self._go_on(*owed)

    def _recall_owed(self) -> None:
        """What was being folded when the last process ended."""
        try:
            for owner, session_id in self._store.summaries_owed(_OWED):
                self.owe(owner, session_id)
        except BackstoryError as error:
            log.warning("Summaries that are owed could not be looked up: %s", error)

    def _go_on(self, owner: Owner, session_id: str) -> None:
        """Folds a part of what is owed; the session then stands behind the others."""
        more = False
        try:
            more = self._summarizing.go_on(owner, session_id, self._breathe)
            self.announce(owner, session_id)
        except BackstoryError as error:
            log.warning("The rest of a summary is folded when it is asked for again: %s", error)
        except Exception:
            log.exception("The rest of a summary is folded when it is asked for again")
        with self._condition:
            del self._owed[owner, session_id]
            if more:
                self._owed[owner, session_id] = None

    def _breathe(self) -> bool:
        """Lets others have the interpreter for a moment; whether it is time to stop."""
        with self._condition:
            return self._condition.wait_for(lambda: self._stopping, _BREATH)

    def _due(self, owner: Owner, session_id: str) -> bool:
        try:
            with self._store.read(owner) as records:
                latest = records.latest_summary(session_id)
                start = (latest.covers_to_seq if latest else 0) + 1
                unseen = records.transcript(session_id, start, start + _LOOKED_AT)
        except BackstoryError as error:
            log.warning("The summary of a session could not be checked: %s", error)
            return False
        if user_turns(unseen) >= self._every_turns:
            return True
        return sum(cost(self._counter, message) for message in unseen) >= self._every_tokens

    def _summarize(self, owner: Owner, session_id: str) -> None:
        try:
            with self._store.read(owner) as records:
                session = records.session(session_id)
            if session is not None and session.message_count:
                self._summarizing.summarize(owner, session_id, patient=True)
                if self._made is not None and self._thread is not None:
                    self._made(owner, session)
        except BackstoryError as error:
            log.warning("No summary was made in the background: %s", error)
        except Exception:
            log.exception("No summary was made in the background")
