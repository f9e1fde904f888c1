"""What a database's errors mean to a person: one sentence, and what to do next."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError

from memory.errors import BackstoryError, Conflict, StorageFailed

FULL = "has no room left on its disk; nothing was half written, free some space and try again"
READ_ONLY = "cannot be written: it is read-only; make the file and its directory writable for this user"
CLOSED = "cannot be opened; check that its directory exists and is writable for this user"
DAMAGED = "is damaged; restore a backup, or move the file away to start afresh"
OTHER_FILE = "is not a Backstory database (the file is damaged, or something else); restore a backup or move it away"
LOCKED = "is kept locked by another program; nothing was half written, try again"
DISK = "cannot be read or written: the disk reports an error or a limit; nothing was half written"
UNREACHABLE = "cannot be reached; check that the server runs and that the URL is right"
REFUSED = "refuses the user or password of the URL"
CROWDED = "has no memory or connections left on its server; nothing was half written, try again"
MISSING = "does not exist on the server; create it, or correct the URL"
BUSY = "made this write wait too long for others; nothing was half written, try again"

SQLITE_MEANINGS = {
    "SQLITE_FULL": FULL,
    "SQLITE_READONLY": READ_ONLY,
    "SQLITE_PERM": READ_ONLY,
    "SQLITE_CANTOPEN": CLOSED,
    "SQLITE_CORRUPT": DAMAGED,
    "SQLITE_NOTADB": OTHER_FILE,
    "SQLITE_BUSY": LOCKED,
    "SQLITE_LOCKED": LOCKED,
    "SQLITE_PROTOCOL": LOCKED,
    "SQLITE_IOERR": DISK,
    "SQLITE_TOOBIG": "was given more than one row can hold; send less at once",
}

# By the beginning of PostgreSQL's SQLSTATE; the longest that fits counts.
POSTGRESQL_MEANINGS = {
    "08": UNREACHABLE,
    "57P": UNREACHABLE,
    "28": REFUSED,
    "3D000": MISSING,
    "25006": "cannot be written: the server is read-only",
    "42501": "does not let this user do that; grant the rights on its schema and tables",
    "53100": FULL,
    "53": CROWDED,
    "55P03": BUSY,
    "57014": BUSY,
    "40": BUSY,
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
            f"This contradicts what {where} holds ({first_line(error.orig)}); nothing was written."
        ) from error
    except DBAPIError as error:
        raise StorageFailed(f"The database {where} {meaning(error.orig)}.") from error
    except sqlite3.Error as error:
        raise StorageFailed(f"The database {where} {meaning(error)}.") from error
    except SQLAlchemyError as error:
        raise StorageFailed(f"The database {where} failed: {first_line(error)}.") from error


def meaning(error: BaseException | None) -> str:
    """What follows the database's name in the sentence."""
    known = sqlite_meaning(error) if isinstance(error, sqlite3.Error) else postgresql_meaning(error)
    return known or f"failed: {first_line(error)}"


def sqlite_meaning(error: sqlite3.Error) -> str | None:
    # 'SQLITE_IOERR_WRITE' and its like are kinds of 'SQLITE_IOERR'.
    name = "_".join((getattr(error, "sqlite_errorname", None) or "").split("_")[:2])
    return SQLITE_MEANINGS.get(name)


def postgresql_meaning(error: BaseException | None) -> str | None:
    state = getattr(error, "sqlstate", None)
    if state is None:
        return unconnected_meaning(str(error)) if type(error).__name__ == "OperationalError" else None
    fitting = [prefix for prefix in POSTGRESQL_MEANINGS if state.startswith(prefix)]
    return POSTGRESQL_MEANINGS[max(fitting, key=len)] if fitting else None


def unconnected_meaning(words: str) -> str:
    """Of a connection that did not come about, or broke: the driver passes on the server's words, without its code."""
    if "authentication failed" in words or "no password supplied" in words:
        return REFUSED
    _, refusal, reason = first_line(words).partition("FATAL:")
    if refusal and "does not exist" in reason:
        return MISSING if "database" in reason else REFUSED
    if "too many" in words or "remaining connection slots" in words:
        return CROWDED
    if refusal and "database system" not in reason:
        # It is there and has its reasons (its pg_hba.conf, TLS); they hold no secret.
        return f"refuses the connection ({reason.strip()})"
    return UNREACHABLE


def first_line(error: object) -> str:
    return str(error).strip().split("\n", 1)[0].rstrip(".")
