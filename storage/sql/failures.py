"""What a database's errors mean to a person: one sentence, and what to do next."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError

from memory.errors import BackstoryError, Conflict, StorageFailed

_FULL = "has no room left on its disk; nothing was half written, free some space and try again"
_READ_ONLY = "cannot be written: it is read-only; make the file and its directory writable for this user"
_CLOSED = "cannot be opened; check that its directory exists and is writable for this user"
_DAMAGED = "is damaged; restore a backup, or move the file away to start afresh"
_OTHER_FILE = "is not a Backstory database (the file is damaged, or something else); restore a backup or move it away"
_LOCKED = "is kept locked by another program; nothing was half written, try again"
_DISK = "cannot be read or written: the disk reports an error or a limit; nothing was half written"
_UNREACHABLE = "cannot be reached; check that the server runs and that the URL is right"
_REFUSED = "refuses the user or password of the URL"
_CROWDED = "has no memory or connections left on its server; nothing was half written, try again"
_MISSING = "does not exist on the server; create it, or correct the URL"
_BUSY = "made this write wait too long for others; nothing was half written, try again"

_SQLITE_MEANINGS = {
    "SQLITE_FULL": _FULL,
    "SQLITE_READONLY": _READ_ONLY,
    "SQLITE_PERM": _READ_ONLY,
    "SQLITE_CANTOPEN": _CLOSED,
    "SQLITE_CORRUPT": _DAMAGED,
    "SQLITE_NOTADB": _OTHER_FILE,
    "SQLITE_BUSY": _LOCKED,
    "SQLITE_LOCKED": _LOCKED,
    "SQLITE_PROTOCOL": _LOCKED,
    "SQLITE_IOERR": _DISK,
    "SQLITE_TOOBIG": "was given more than one row can hold; send less at once",
}

# By the beginning of PostgreSQL's SQLSTATE; the longest that fits counts.
_POSTGRESQL_MEANINGS = {
    "08": _UNREACHABLE,
    "57P": _UNREACHABLE,
    "28": _REFUSED,
    "3D000": _MISSING,
    "25006": "cannot be written: the server is read-only",
    "42501": "does not let this user do that; grant the rights on its schema and tables",
    "53100": _FULL,
    "53": _CROWDED,
    "55P03": _BUSY,
    "57014": _BUSY,
    "40": _BUSY,
    "XX001": "is damaged; restore a backup",
    "XX002": "is damaged; restore a backup",
}


@contextmanager
def explained_errors(where: str) -> Iterator[None]:
    """Turns what a database raises into StorageFailed, or Conflict where a row contradicts another."""
    try:
        yield
    except BackstoryError:
        raise
    except IntegrityError as error:
        raise Conflict(
            f"This contradicts what {where} holds ({_first_line(error.orig)}); nothing was written."
        ) from error
    except DBAPIError as error:
        raise StorageFailed(f"The database {where} {_meaning(error.orig)}.") from error
    except sqlite3.Error as error:
        raise StorageFailed(f"The database {where} {_meaning(error)}.") from error
    except SQLAlchemyError as error:
        raise StorageFailed(f"The database {where} failed: {_first_line(error)}.") from error


def _meaning(error: BaseException | None) -> str:
    """What follows the database's name in the sentence."""
    known = _sqlite_meaning(error) if isinstance(error, sqlite3.Error) else _postgresql_meaning(error)
    return known or f"failed: {_first_line(error)}"


def _sqlite_meaning(error: sqlite3.Error) -> str | None:
    # 'SQLITE_IOERR_WRITE' and its like are kinds of 'SQLITE_IOERR'.
    name = "_".join((getattr(error, "sqlite_errorname", None) or "").split("_")[:2])
    return _SQLITE_MEANINGS.get(name)


def _postgresql_meaning(error: BaseException | None) -> str | None:
    state = getattr(error, "sqlstate", None)
    if state is None:
        return _unconnected_meaning(str(error)) if type(error).__name__ == "OperationalError" else None
    fitting = [prefix for prefix in _POSTGRESQL_MEANINGS if state.startswith(prefix)]
    return _POSTGRESQL_MEANINGS[max(fitting, key=len)] if fitting else None


def _unconnected_meaning(words: str) -> str:
    """Of a connection that did not come about, or broke: the driver passes on the server's words, without its code."""
    if "authentication failed" in words or "no password supplied" in words:
        return _REFUSED
    _, refusal, reason = _first_line(words).partition("FATAL:")
    if refusal and "does not exist" in reason:
        return _MISSING if "database" in reason else _REFUSED
    if "too many" in words or "remaining connection slots" in words:
        return _CROWDED
    if refusal and "database system" not in reason:
        # It is there and has its reasons (its pg_hba.conf, TLS); they hold no secret.
        return f"refuses the connection ({reason.strip()})"
    return _UNREACHABLE


def _first_line(error: object) -> str:
    return str(error).strip().split("\n", 1)[0].rstrip(".")
