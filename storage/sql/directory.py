"""Users, their identities and access tokens, over SQLite and PostgreSQL."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from hashlib import blake2b
from typing import Any

from sqlalchemy import ColumnElement, Connection, Table, delete, or_, select, text, update
from sqlalchemy.dialects import postgresql, sqlite

from memory.model import ApiToken, Identity, Owner, User, UserEvent
from memory.ports import People
from storage.sql.engine import Database
from storage.sql.feed import is_postgresql
from storage.sql.merging import move_record
from storage.sql.rows import owner_values
from storage.sql.tables import api_tokens, identities, identity_history, users


class SqlDirectory:
    """Implements memory.ports.Directory and memory.ports.TokenStore over the record's own database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @contextmanager
    def read(self, tenant_id: str) -> Iterator[People]:
        with self._database.reading() as db:
            yield _SqlPeople(db, tenant_id)

    @contextmanager
    def write(self, tenant_id: str) -> Iterator[People]:
        with self._database.writing() as db:
            if not self._database.is_sqlite:
                key = int.from_bytes(blake2b(f"people of {tenant_id}".encode(), digest_size=8).digest(), signed=True)
                db.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": key})
            yield _SqlPeople(db, tenant_id)

    def add_token(self, token: ApiToken) -> None:
        with self._database.writing() as db:
            db.execute(
                api_tokens.insert().values(
                    token_id=token.token_id,
                    rights=",".join(sorted(token.rights)),
                    digest=token.digest,
                    created_at=token.created_at,
                    expires_at=token.expires_at,
                    **owner_values(token.owner),
                )
            )

    def token(self, token_id: str) -> ApiToken | None:
        with self._database.reading() as db:
            row = db.execute(select(api_tokens).where(api_tokens.c.token_id == token_id)).first()
        return None if row is None else _to_token(row)

    def tokens(self) -> list[ApiToken]:
        with self._database.reading() as db:
            rows = db.execute(select(api_tokens).order_by(api_tokens.c.created_at, api_tokens.c.token_id))
            return [_to_token(row) for row in rows]

    def revoke_token(self, token_id: str, at: datetime) -> None:
        with self._database.writing() as db:
            db.execute(
                update(api_tokens)
                .where(api_tokens.c.token_id == token_id, api_tokens.c.revoked_at.is_(None))
                .values(revoked_at=at)
            )

    def note_use(self, used: Mapping[str, datetime]) -> None:
        last = api_tokens.c.last_used_at
        with self._database.writing() as db:
            for token_id, at in sorted(used.items()):
                db.execute(
                    update(api_tokens)
                    .where(api_tokens.c.token_id == token_id, or_(last.is_(None), last < at))
                    .values(last_used_at=at)
                )


def _to_token(row: Any) -> ApiToken:
    return ApiToken(
        token_id=row.token_id,
        owner=Owner(row.tenant_id, row.user_id),
        rights=frozenset(filter(None, row.rights.split(","))),
        digest=row.digest,
        created_at=row.created_at,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
        last_used_at=row.last_used_at,
    )


def _to_user(row: Any) -> User:
    return User(row.user_id, row.created_at, row.display_name, row.merged_into)


def _to_event(row: Any) -> UserEvent:
    identity = None if row.kind is None else Identity(row.kind, row.value)
    return UserEvent(row.user_id, row.action, row.happened_at, identity, row.other_user_id)


class _SqlPeople:
    """Implements memory.ports.People over one connection."""

    def __init__(self, db: Connection, tenant_id: str) -> None:
        self._db = db
        self._tenant_id = tenant_id

    def _own(self, table: Table, user_id: str | None = None) -> ColumnElement[bool]:
        own = table.c.tenant_id == self._tenant_id
        return own if user_id is None else own & (table.c.user_id == user_id)

    def user(self, user_id: str) -> User | None:
        row = self._db.execute(select(users).where(self._own(users, user_id))).first()
        return None if row is None else _to_user(row)

    def users(self, limit: int, after: str | None = None) -> list[User]:
        query = select(users).where(self._own(users), users.c.merged_into.is_(None))
        if after is not None:
            query = query.where(users.c.user_id > after)
        return [_to_user(row) for row in self._db.execute(query.order_by(users.c.user_id).limit(limit))]

    def users_with(self, identity: Identity) -> list[User]:
        same = (users.c.tenant_id == identities.c.tenant_id) & (users.c.user_id == identities.c.user_id)
        query = (
            select(users)
            .join(identities, same)
            .where(self._own(identities), identities.c.kind == identity.kind, identities.c.value == identity.value)
            .order_by(identities.c.linked_at, users.c.user_id)
        )
        return [_to_user(row) for row in self._db.execute(query)]

    def identities(self, user_id: str) -> list[Identity]:
        query = select(identities).where(self._own(identities, user_id))
        rows = self._db.execute(query.order_by(identities.c.linked_at, identities.c.kind, identities.c.value))
        return [Identity(row.kind, row.value) for row in rows]

    def history(self, user_id: str) -> list[UserEvent]:
        merged = select(users.c.user_id).where(self._own(users), users.c.merged_into == user_id)
        whose = or_(identity_history.c.user_id == user_id, identity_history.c.user_id.in_(merged))
        query = select(identity_history).where(self._own(identity_history), whose)
        return [_to_event(row) for row in self._db.execute(query.order_by(identity_history.c.event_id))]

    def add_user(self, user: User) -> None:
        self._db.execute(
            users.insert().values(
                tenant_id=self._tenant_id,
                user_id=user.user_id,
                display_name=user.display_name,
                created_at=user.created_at,
            )
        )
        self._note(UserEvent(user.user_id, "created", user.created_at))

    def rename(self, user_id: str, display_name: str) -> None:
        self._db.execute(update(users).where(self._own(users, user_id)).values(display_name=display_name))

    def link(self, user_id: str, identity: Identity, at: datetime) -> None:
        insert = postgresql.insert if is_postgresql(self._db) else sqlite.insert
        statement = insert(identities).values(
            tenant_id=self._tenant_id, user_id=user_id, kind=identity.kind, value=identity.value, linked_at=at
        )
        if self._db.execute(statement.on_conflict_do_nothing()).rowcount:
            self._note(UserEvent(user_id, "linked", at, identity))

    def unlink(self, user_id: str, identity: Identity, at: datetime) -> None:
        gone = delete(identities).where(
            self._own(identities, user_id), identities.c.kind == identity.kind, identities.c.value == identity.value
        )
        if self._db.execute(gone).rowcount:
            self._note(UserEvent(user_id, "unlinked", at, identity))

    def merge(self, user_id: str, into: str, at: datetime) -> None:
        source, target = Owner(self._tenant_id, user_id), Owner(self._tenant_id, into)
        for identity in self.identities(user_id):
            self.link(into, identity, at)
        self._db.execute(delete(identities).where(self._own(identities, user_id)))
        self._db.execute(update(api_tokens).where(self._own(api_tokens, user_id)).values(user_id=into))
        self._db.execute(
            update(users)
            .where(self._own(users), or_(users.c.user_id == user_id, users.c.merged_into == user_id))
            .values(merged_into=into)
        )
        move_record(self._db, source, target, at)
        self._note(UserEvent(into, "merged", at, other_user_id=user_id))

    def _note(self, event: UserEvent) -> None:
        self._db.execute(
            identity_history.insert().values(
                tenant_id=self._tenant_id,
                user_id=event.user_id,
                action=event.action,
                happened_at=event.at,
                kind=event.identity.kind if event.identity else None,
                value=event.identity.value if event.identity else None,
                other_user_id=event.other_user_id,
            )
        )
