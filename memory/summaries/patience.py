"""A producer that somebody waits for, but not for long."""

import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as TookTooLong

from memory.errors import BackstoryError, Unavailable
from memory.model import Message, Summary, SummaryDraft
from memory.ports import Summarizer

log = logging.getLogger("backstory.summarizing")

_AT_ONCE = 8
"""Questions that may be under way at a time; beyond them nobody waits at all."""

Late = Callable[[str, Summary | None, Sequence[Message], SummaryDraft], None]
"""Takes a late answer: whose it is, what was folded into what, and the draft."""


class Patient:
    """Asks a producer as long as `left()` seconds allow; an answer that comes later goes to `late`, in a thread of its
    own."""

    _under_way = threading.BoundedSemaphore(_AT_ONCE)

    def __init__(self, producer: Summarizer, left: Callable[[], float], late: Late) -> None:
        self.name = producer.name
        self._producer = producer
        self._left = left
        self._late = late

    def summarize(self, previous: Summary | None, messages: Sequence[Message], max_tokens: int) -> SummaryDraft:
        """As the producer does. Errors: Unavailable, also when it takes too long."""
        if not self._under_way.acquire(blocking=False):
            raise Unavailable("too many of its answers are awaited already.")
        answer: Future[SummaryDraft] = Future()
        given_up = threading.Event()

        def ask() -> None:
            try:
                draft = self._producer.summarize(previous, messages, max_tokens)
                answer.set_result(draft)
                if given_up.wait(0):
                    self._late(self.name, previous, messages, draft)
            except Exception as error:
                if not answer.done():
                    answer.set_exception(error)
                if given_up.is_set():
                    known = isinstance(error, BackstoryError)
                    log.warning("A late summary came to nothing: %s", error if known else type(error).__name__)
            finally:
                self._under_way.release()

        threading.Thread(target=ask, name="backstory-patience", daemon=True).start()
        try:
            return answer.result(max(0.0, self._left()))
        except TookTooLong:
            given_up.set()
        if answer.done() and answer.exception() is None:
            return answer.result()
        raise Unavailable("it has not answered yet; its version follows when it does.")
