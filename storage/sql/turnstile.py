"""A lock that serves in order of arrival."""

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from memory.errors import StorageFailed


class Turnstile:
    """Lets one thread through at a time, first come first served.

    `threading.Lock` may give a thread that releases and asks again the lock before those that wait: one busy writer
    would starve the others.
    """

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._guard = threading.Lock()
        self._waiting: deque[threading.Lock] = deque()
        self._holder: int | None = None

    @property
    def is_mine(self) -> bool:
        """Whether the calling thread is inside."""
        return self._holder == threading.get_ident()

    @contextmanager
    def passage(self) -> Iterator[None]:
        """Errors: StorageFailed after the time-out; RuntimeError for a thread that is inside already."""
        self._enter()
        try:
            yield
        finally:
            self._leave()

    def _enter(self) -> None:
        me = threading.get_ident()
        with self._guard:
            if self._holder is None:
                self._holder = me
                return
            if self._holder == me:
                raise RuntimeError("A write transaction was opened inside another one of the same thread.")
            called = threading.Lock()
            called.acquire()
            self._waiting.append(called)
        if not called.acquire(timeout=self._timeout_s):
            self._give_up(called)
        self._holder = me

    def _give_up(self, called: threading.Lock) -> None:
        with self._guard:
            if called in self._waiting:
                self._waiting.remove(called)
                raise StorageFailed(
                    f"Other writes took more than {self._timeout_s:g} seconds; nothing was written, try again."
                )
        # The turn came at the very moment of giving up: it is taken.

    def _leave(self) -> None:
        with self._guard:
            if self._waiting:
                # Handed over, never free in between: a newcomer cannot slip in.
                self._holder = -1
                self._waiting.popleft().release()
            else:
                self._holder = None
