"""The time zone in which "yesterday" is meant: one that is named, or this machine's."""

import io
import logging
import struct
from datetime import UTC, tzinfo
from pathlib import Path
from zoneinfo import ZoneInfo

from tzlocal import get_localzone

log = logging.getLogger("backstory.app")
_LONGEST = 1000


def zone_named(text: str) -> tzinfo:
    """The zone of an IANA name, or of all that the variable TZ may hold: a name after a colon, a file, a POSIX rule.

    Errors: ValueError for anything else.
    """
    name = text.removeprefix(":")
    if len(name) > _LONGEST:
        raise ValueError("no zone has so long a name")
    try:
        if Path(name).is_absolute():
            with Path(name).open("rb") as file:
                return ZoneInfo.from_file(file, key=name)
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return _zone_of_rule(name)


def _zone_of_rule(rule: str) -> tzinfo:
    """The zone of a POSIX rule such as CET-1CEST,M3.5.0,M10.5.0/3. Errors: ValueError.

    The standard library reads such rules only at the end of a time zone file, so it is given one that holds no more.
    """
    if not rule or not rule.isascii() or not rule.isprintable():
        raise ValueError(rule)
    header = struct.pack(">4sc15x6l", b"TZif", b"2", 0, 0, 0, 0, 1, 1)
    utc = struct.pack(">lbbx", 0, 0, 0)
    return ZoneInfo.from_file(io.BytesIO(2 * (header + utc) + f"\n{rule}\n".encode()), key=rule)


def zone_here() -> tzinfo:
    """This machine's zone; UTC where it cannot be told, which is said once."""
    try:
        return get_localzone()
    except Exception as error:
        why = (str(error).strip().splitlines() or [type(error).__name__])[0]
        log.warning("The machine's time zone cannot be told (%s); set BACKSTORY_TIME_ZONE. Until then it is UTC.", why)
        return UTC
