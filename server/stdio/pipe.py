"""The wire: standard input and output taken aside for the protocol, and lines that are no messages refused."""

import json
import logging
import os
import re
import select
from collections.abc import Callable
from io import TextIOWrapper

from server.protocol.nesting import TOO_DEEP, outline, too_deep

log = logging.getLogger("backstory.stdio")
_MARK = "\ufeff"
# json.dumps writes a character beyond the first plane as two escapes, high then low; either alone is half of one.
_HALF_A_CHARACTER = re.compile(r"\\ud[89ab][0-9a-f]{2}(?!\\ud[c-f])|(?<!\\ud[89ab][0-9a-f]{2})\\ud[c-f]")


def take_wire() -> tuple[int, int]:
    """Moves stdin and stdout to descriptors of their own, which no child inherits, and diverts 0 and 1 for good."""
    wire_in, wire_out = os.dup(0), os.dup(1)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    try:
        os.dup2(2, 1)
    except OSError:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.close(null)
    return wire_in, wire_out


def hung_up(descriptor: int) -> bool:
    """Whether the other end has been closed, even where something that it sent is still to be read."""
    if not hasattr(select, "poll"):  # Windows
        return False
    poll = select.poll()
    poll.register(descriptor, getattr(select, "POLLRDHUP", 0))
    return any(event & (select.POLLHUP | getattr(select, "POLLRDHUP", 0)) for _, event in poll.poll(0))


class WireOut(TextIOWrapper):
    """The protocol's output. `broken` is called when nobody reads it any more."""

    broken: Callable[[], None]

    def flush(self) -> None:
        try:
            super().flush()
        except OSError:
            self.broken()
            raise


class WireIn(TextIOWrapper):
    """The protocol's input. `ended` is called, and waited for, before its end is reported.

    A line that is no message is refused here: the SDK would drop it, and its sender would wait for ever. A byte order
    mark is no part of a line; input in UTF-16 has no lines, and ends here.
    """

    ended: Callable[[], None]
    out: WireOut
    begun = False

    def readline(self, size: int = -1, /) -> str:  # type: ignore[override]  # as TextIOWrapper's own
        while line := super().readline(size):
            if not self.begun and _is_utf16(line):
                log.error("Standard input is UTF-16; send UTF-8, one JSON-RPC message a line")
                break
            self.begun = True
            line = line.removeprefix(_MARK)
            if (refusal := _refusal_of(line)) is None:
                return line
            if refusal:
                self.out.write(refusal + "\n")
                self.out.flush()
        self.ended()
        return ""


def open_wire(
    wire_in: int, wire_out: int, *, ended: Callable[[], None], broken: Callable[[], None]
) -> tuple[WireIn, WireOut]:
    """Text over the two descriptors, which stay open for as long as the process lives."""
    out = WireOut(os.fdopen(wire_out, "wb", closefd=False), encoding="utf-8", errors="backslashreplace", newline="\n")
    into = WireIn(os.fdopen(wire_in, "rb", closefd=False), encoding="utf-8", errors="replace")
    out.broken, into.ended, into.out = broken, ended, out
    return into, out


def _is_utf16(line: str) -> bool:
    """Whether the first line, read as UTF-8, is UTF-16, with or without its byte order mark; no JSON holds a NUL."""
    return "\0" in line and line.startswith(("\ufffd\ufffd", "{", "\0{"))


def _refusal_of(line: str) -> str | None:
    """None for a line that is a message; else the answer to it, '' where it says nobody to answer to."""
    from mcp.types import jsonrpc_message_adapter
    from pydantic import ValidationError

    if not line.strip():
        return ""
    try:
        jsonrpc_message_adapter.validate_json(line, by_name=False)
    except ValidationError:
        return _refused(line)
    return None


def _refused(line: str) -> str:
    deep = too_deep(line)
    try:
        message = outline(line) if deep else json.loads(line)
    except ValueError:
        log.warning("A line on standard input is not JSON; it was left out")
        return ""
    number = message.get("id") if isinstance(message, dict) and "method" in message else None
    if not isinstance(number, str | int) or isinstance(number, bool):
        log.warning("A line on standard input is no JSON-RPC message; it was left out")
        return ""
    return json.dumps({"jsonrpc": "2.0", "id": number, "error": {"code": -32600, "message": _why(message, deep)}})


def _why(message: dict[str, object], deep: bool) -> str:
    if deep:
        return TOO_DEEP
    if _HALF_A_CHARACTER.search(json.dumps(message)):
        return "The request holds half of a surrogate pair, which is no character; send whole characters."
    return "This is no JSON-RPC 2.0 request; `params` must be an object, and `jsonrpc` '2.0'."
