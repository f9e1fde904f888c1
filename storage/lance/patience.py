"""Failing politely: one sentence when something breaks, one when it works again, and longer pauses in between."""

import logging
from typing import Final

_FIRST_PAUSE: Final = 0.5
_LONGEST_PAUSE: Final = 30.0

log = logging.getLogger("backstory.index")


class Patience:
    """Counts the failures in a row of one activity, named `what`."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._said: set[str] = set()
        self.failures = 0

    def failed(self, why: str) -> float:
        """Says why, unless it was said since the last success; seconds to wait before the next try."""
        self.failures += 1
        if why not in self._said:
            self._said.add(why)
            log.warning("%s waits: %s It will be tried again.", self._what, why if why.endswith(".") else why + ".")
        return float(min(_LONGEST_PAUSE, _FIRST_PAUSE * 2 ** min(self.failures - 1, 10)))

    def worked(self) -> None:
        """Forgets the failures."""
        if self._said:
            log.warning("%s goes on.", self._what)
        self.failures = 0
        self._said.clear()
