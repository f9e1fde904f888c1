"""Opening a memory: once, in the background, while the server already answers what needs none of it."""

import logging
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from memory.errors import BackstoryError, Unavailable
from memory.model import Owner, Session
from memory.ports import Clock
from server.settings import Settings

if TYPE_CHECKING:
    from server.parts import Parts

log = logging.getLogger("backstory.app")
RETRY_SECONDS = 2.0


def utc_now() -> datetime:
    """The clock of a running server."""
    return datetime.now(UTC)


class LazyMemory:
    """One process's memory before it is open. Cheap to make: its parts open once, in a thread, and whoever needs them
    waits for them. `opener` is what opens them."""

    def __init__(
        self,
        settings: Settings,
        *,
        clock: Clock = utc_now,
        opener: "Callable[[Settings, Clock], Parts] | None" = None,
    ) -> None:
        self.settings = settings
        self.clock = clock
        self._opener = opener or _open_parts
        self._lock = threading.Lock()
        self._wanted = threading.Event()
        self._settled: threading.Event | None = None
        self._parts: Parts | None = None
        self._failure: BackstoryError | None = None
        self._failed_at = 0.0
        self._closed = False
        self._listeners: list[Callable[[Owner, Session], None]] = []

    def hear_summaries(self, listener: Callable[[Owner, Session], None]) -> None:
        """Has `listener` called with each session that got a summary in the background; in a thread of its own."""
        self._listeners.append(listener)

    def _tell_summary(self, owner: Owner, session: Session) -> None:
        for listener in self._listeners:
            listener(owner, session)

    def warm(self, after: float = 0.0) -> None:
        """Starts opening in the background, `after` seconds from now or as soon as somebody needs it."""
        with self._lock:
            stale = self._failure is not None and time.monotonic() - self._failed_at > RETRY_SECONDS
            if self._closed or (self._settled is not None and not stale):
                return
            self._settled, self._failure = threading.Event(), None
        threading.Thread(
            target=self._run_opener, args=(self._settled, after), name="backstory-warm-up", daemon=True
        ).start()

    def wait(self) -> "Parts":
        """The open parts; blocks until they are. Errors: the BackstoryError that opening ended with; a call some time
        later opens again."""
        if (parts := self._parts) is not None:
            return parts
        self.warm()
        self._wanted.set()
        settled = self._settled
        if settled is not None:
            settled.wait()
        if self._parts is not None:
            return self._parts
        if self._failure is not None:
            raise self._failure.with_traceback(None)
        raise Unavailable("The server is shutting down; start it again.")

    def close(self) -> None:
        """Closes what is open, and lets nothing open any more. Safe to call twice, and from any thread."""
        with self._lock:
            self._closed = True
            parts, self._parts = self._parts, None
        self._wanted.set()
        if parts is not None:
            parts.close()

    def __enter__(self) -> "LazyMemory":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run_opener(self, settled: threading.Event, after: float) -> None:
        self._wanted.wait(after)
        try:
            if not self._closed:
                self._keep(self._opener(self.settings, self.clock))
        except BackstoryError as error:
            self._fail(error)
        except Exception as error:
            log.debug("Opening failed", exc_info=True)
            self._fail(Unavailable(f"The memory could not be opened ({type(error).__name__}: {_line(error)})."))
        finally:
            settled.set()

    def _keep(self, parts: "Parts") -> None:
        """Takes over what was opened; closes it again where nobody wants it any more."""
        parts.triggers.tell(self._tell_summary)
        with self._lock:
            if not self._closed:
                self._parts = parts
                return
        parts.close()

    def _fail(self, error: BackstoryError) -> None:
        self._failed_at = time.monotonic()
        self._failure = error
        log.error("%s", str(error))


def _line(error: Exception) -> str:
    return (str(error).strip().splitlines() or ["no details"])[0]


def _open_parts(settings: Settings, clock: Clock) -> "Parts":
    from server.parts import open_parts

    return open_parts(settings, clock)
