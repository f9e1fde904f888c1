"""When summaries are made without being asked for: as a session grows (with a model only), and when it is archived."""

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


class SummaryTriggers:
    """Tells `Summarizing` when it is time. With a model, one background thread does the work; recording never waits.

    Without a model nothing happens as a session grows, and archiving makes the local summary at once.
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
        self._condition = threading.Condition()
        self._thread: threading.Thread | None = None
        self._stopping = False
        self._busy = False

    def tell(self, made: Callable[[Owner, Session], None]) -> None:
        """From now on calls `made` with each session that got a summary in the background, in that thread."""
        self._made = made

    def start(self) -> None:
        """Starts the background thread where a model is configured."""
        if self._summarizing.has_model and self._thread is None:
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
        if self._thread is not None:
            self._put(owner, session_id, archived=False)

    def archived(self, owner: Owner, session_id: str) -> None:
        """A session was archived; never fails, since archiving must not."""
        if self._thread is not None:
            self._put(owner, session_id, archived=True)
        else:
            self._summarize(owner, session_id)

    def wait_until_idle(self, timeout: float) -> bool:
        """Whether all that was asked for is done within `timeout` seconds."""
        with self._condition:
            return self._condition.wait_for(lambda: not self._waiting and not self._busy, timeout)

    def _put(self, owner: Owner, session_id: str, archived: bool) -> None:
        with self._condition:
            key = (owner, session_id)
            self._waiting[key] = archived or self._waiting.get(key, False)
            self._condition.notify_all()

    def _work(self) -> None:
        while True:
            with self._condition:
                self._busy = False
                self._condition.notify_all()
                self._condition.wait_for(lambda: self._waiting or self._stopping)
                if self._stopping:
                    return
                (owner, session_id), archived = self._waiting.popitem(last=False)
                self._busy = True
            if archived or self._due(owner, session_id):
                self._summarize(owner, session_id)

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
                self._summarizing.summarize(owner, session_id)
                if self._made is not None and self._thread is not None:
                    self._made(owner, session)
        except BackstoryError as error:
            log.warning("No summary was made in the background: %s", error)
        except Exception:
            log.exception("No summary was made in the background")
