"""What a log line may say: nothing that a client chose. Ids, names, paths, headers and values are client's text, and
whoever reads a log, or what it is fed to, must not be spoken to by clients.

Our own lines are written with that in mind. Those of other libraries are not, so of them the place alone is told; of an
exception its kind and its place.
"""

import logging
import sys
import threading
import traceback
from pathlib import Path
from typing import Any

from memory.errors import StorageFailed, Unavailable

OWN = "backstory"
FRAMES = 6
log = logging.getLogger("backstory.process")


def text_of(record: logging.LogRecord) -> str:
    """The record's message on one line, without what a client may have chosen."""
    if record.name == "py.warnings":  # "file:line: Category: message", then a line of source
        return ": ".join(str(record.args[0] if record.args else record.msg).split(": ")[:2])  # type: ignore[index]
    if record.name.partition(".")[0] != OWN:
        # With arguments, the message is a constant with gaps; without, it may have been put together already.
        constant = f": {record.msg}" if record.args else ""
        return f"{Path(record.pathname).name}:{record.lineno} {record.funcName}{constant}"
    if isinstance(record.args, tuple):
        record.args = tuple(_told(value) if isinstance(value, BaseException) else value for value in record.args)
    return " ".join(record.getMessage().splitlines())


def failure_of(record: logging.LogRecord) -> tuple[str, list[str]] | None:
    """The kind of the record's exception and the places that it came through; None without one."""
    error = record.exc_info[1] if record.exc_info else None
    if error is None:
        return None
    while isinstance(error, BaseExceptionGroup) and error.exceptions:
        error = error.exceptions[0]
    frames = traceback.extract_tb(error.__traceback__)[-FRAMES:]
    return type(error).__name__, [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]


class PlainLines(logging.Formatter):
    """One plain line a record, for the standard error of a process that a person or a host reads."""

    def format(self, record: logging.LogRecord) -> str:
        line = f"{record.levelname} {record.name}: {text_of(record)}"
        failure = failure_of(record)
        return line if failure is None else f"{line} ({failure[0]} at {', '.join(reversed(failure[1]))})"


def log_failures() -> None:
    """Has what ends a thread unforeseen logged like everything else, instead of printed with its values."""

    def in_thread(args: threading.ExceptHookArgs) -> None:
        if args.exc_value is not None and args.exc_type is not SystemExit:
            log.error("A thread failed", exc_info=args.exc_value)

    def unraisable(args: Any) -> None:
        log.error("A failure came too late to be raised", exc_info=args.exc_value)

    threading.excepthook = in_thread
    sys.unraisablehook = unraisable


def _told(error: BaseException) -> str:
    """A failure of ours in its own words; of a caller's request, and of others' code, its kind."""
    return str(error) if isinstance(error, Unavailable | StorageFailed) else type(error).__name__
