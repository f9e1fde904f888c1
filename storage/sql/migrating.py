"""Brings a database to the version that this program knows."""

from pathlib import Path

from sqlalchemy import Connection, inspect, text, update

from memory.errors import StorageFailed
from storage.sql.engine import Database
from storage.sql.statements import FOREIGN_END
from storage.sql.tables import feed_origin

_SCRIPTS = Path(__file__).with_name("migrations")


VERSION_TABLE = "alembic_version"

# Any constant: what the processes that migrate one PostgreSQL database agree on.
_MIGRATION_LOCK = 0x4261636B
_LOCK = text("SELECT pg_advisory_xact_lock(:key)")


def known_versions() -> list[str]:
    """The versions that this program can bring a database to, oldest first."""
    return sorted(path.name.split("_")[0] for path in (_SCRIPTS / "versions").glob("[0-9]*.py"))


def _stored_version(db: Connection) -> str | None:
    """The database's version; None for an empty database."""
    if not inspect(db).has_table(VERSION_TABLE):
        return None
    return db.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar()  # noqa: S608 (a constant)


def _check_version(db: Connection, where: str) -> bool:
    """Whether the database is up to date. Errors: StorageFailed when it comes from a newer program."""
    version, known = _stored_version(db), known_versions()
    if version is not None and version not in known:
        raise StorageFailed(
            f"The database {where} is of version {version}, newer than this Backstory knows ({known[-1]}); "
            "install a newer Backstory, nothing was changed."
        )
    return version == known[-1]


def migrate(database: Database) -> bool:
    """Applies what is missing, once, whoever else starts at the same moment; returns whether anything was."""
    with database.reading() as db:
        if _check_version(db, database.where()):
            return False
    with database.writing() as db:
        if not database.is_sqlite:
            db.execute(_LOCK, {"key": _MIGRATION_LOCK})
        if _check_version(db, database.where()):
            return False
        _upgrade(db)
    return True


def adopt_feed(database: Database) -> None:
    """Lets the feed go on after one that another server wrote: a restored dump's transactions may not have begun here,
    and their changes, and all that come, would be held back until they have."""
    if database.is_sqlite:
        return
    with database.reading() as db:
        if db.execute(FOREIGN_END).scalar() is None:
            return
    with database.writing() as db:
        db.execute(_LOCK, {"key": _MIGRATION_LOCK})
        end = db.execute(FOREIGN_END).scalar()
        if end is not None:
            db.execute(update(feed_origin).values(base=end))


def require_current(database: Database) -> None:
    """Makes the tables of an empty database. Errors: StorageFailed when one in use waits for `backstory migrate`."""
    with database.reading() as db:
        empty = _stored_version(db) is None
    if empty:
        migrate(database)
    with database.reading() as db:
        if not _check_version(db, database.where()):
            raise StorageFailed(f"The database {database.where()} is not up to date; run `backstory migrate`.")


def _upgrade(db: Connection) -> None:
    # Late: it costs a third of a second, and is needed once in a database's life.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    config.attributes["connection"] = db
    command.upgrade(config, known_versions()[-1])
