"""Every question of the hot path is answered through an index: its cost is the answer's size, not the record's."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import event

from memory.model import (
    START,
    MessageFilter,
    NewMessage,
    Owner,
    Session,
    SessionFilter,
    Summary,
    SummaryDraft,
    UserContextEntry,
)
from memory.record.recording import record
from memory.record.sessions import Target
from storage.sql import SqlRecordStore

AT = datetime(2026, 3, 1, tzinfo=UTC)
ANN = Owner("t", "ann")

# What is asked of one owner's record; a number where rows must come in the index's order, without sorting them.
QUESTIONS: dict[str, Callable[[Any], Any]] = {
    "session": lambda db: db.session("s-1"),
    "session_by_external_id": lambda db: db.session_by_external_id("call-1"),
    "open_session": lambda db: (db.open_session(None), db.open_session("p")),
    "latest_archived": lambda db: db.latest_archived(),
    "sessions": lambda db: db.sessions(SessionFilter(), 2, (AT, "s")),
    "sessions_by_title": lambda db: db.sessions(SessionFilter(title="a"), 2, (AT, "s")),
    "message": lambda db: db.message("1"),
    "messages": lambda db: db.messages(["1", "2"]),
    "messages_by_client_id": lambda db: db.messages_by_client_id(["1"], "s-1"),
    "messages_by_client_id_in_scope": lambda db: db.messages_by_client_id_in_scope(["1"], None),
    "transcript": lambda db: (db.transcript("s-1"), db.transcript("s-1", last=2)),
    "read_on": lambda db: list(db.read_on("s-1", 2)),
    "windows": lambda db: db.windows([("s-1", 1, 2), ("s-2", 1, 1)]),
    "all_messages": lambda db: (
        db.all_messages(MessageFilter(), None, 2),
        db.all_messages(MessageFilter(), ("s", 1), 2),
    ),
    "all_messages_since": lambda db: db.all_messages(MessageFilter(since=AT), None, 9),
    "projects": lambda db: db.projects(),
    "participants": lambda db: (db.participants(None), db.participants("p")),
    "message_count": lambda db: db.message_count(),
    "changes_after": lambda db: db.changes_after(START, 9),
    "unsettled_messages": lambda db: db.unsettled_messages(START, 9),
    "latest_summary": lambda db: db.latest_summary("s-1"),
    "summaries": lambda db: db.summaries("s-1"),
    "summary_due": lambda db: db.summary_due("s-1"),
    "latest_summaries": lambda db: db.latest_summaries(3),
    "user_context": lambda db: db.user_context(None, ["k"]),
    "user_context_history": lambda db: db.user_context_history(None),
    "strategy": lambda db: db.strategy("agent", "a"),
    "revision": lambda db: db.revision(),
}
IN_ORDER = {
    *(
        "open_session",
        "sessions",
        "transcript",
        "read_on",
        "all_messages",
        "changes_after",
        "unsettled_messages",
        "latest_summary",
    ),
    *("feed", "head"),
}


@dataclass
class Asked:
    """The statements that reached the driver, with their parameters."""

    statements: list[tuple[str, Any]] = field(default_factory=list)

    @contextmanager
    def listening(self, store: SqlRecordStore) -> Iterator[None]:
        def note(_db: Any, _cursor: Any, statement: str, values: Any, _context: Any, many: bool) -> None:
            if statement.split(None, 1)[0] in ("SELECT", "WITH", "UPDATE", "DELETE"):
                self.statements.append((statement, values[0] if many else values))

        event.listen(store.database.engine, "before_cursor_execute", note)
        try:
            yield
        finally:
            event.remove(store.database.engine, "before_cursor_execute", note)

    def plans(self, store: SqlRecordStore) -> list[str]:
        """One text for each statement."""
        with store.database.reading() as db:
            if store.database.is_sqlite:
                explain = "EXPLAIN QUERY PLAN "
            else:
                # A table of a few rows is read whole, index or no index: that way is barred.
                db.exec_driver_sql("SET LOCAL enable_seqscan = off")
                db.exec_driver_sql("SET LOCAL enable_sort = off")
                db.exec_driver_sql("SET LOCAL enable_bitmapscan = off")
                explain = "EXPLAIN "
            return [
                "\n".join(str(row[-1]) for row in db.exec_driver_sql(explain + statement, values))
                for statement, values in self.statements
            ]


@pytest.fixture
def filled(store: SqlRecordStore, clock: Any) -> SqlRecordStore:
    for user in ("ann", "bob"):
        owner = Owner("t", user)
        with store.write(owner) as db:
            db.add_session(Session("s-1", AT, AT, external_id="call-1"))
            db.add_session(Session("s-2", AT, AT, project_id="p", archived_at=AT + timedelta(days=1)))
            db.add_summary(Summary("s-1", 1, SummaryDraft("so far"), 0, "agent", AT))
            db.put_user_context(UserContextEntry("k", 1, "fact", 1, AT))
        lines = [NewMessage("user", f"line {n}", str(n), speaker="Ann") for n in range(3)]
        record(store, owner, lines, Target(session_id="s-1"), clock)
        record(store, owner, lines, Target(session_id="s-2"), clock)
    return store


def whole_reads(plan: str, sqlite: bool) -> list[str]:
    """The lines of a plan that go through a table, or through all of an index."""
    if not sqlite:
        return [line for line in plan.splitlines() if "Seq Scan on" in line and "feed_origin" not in line]
    own = ("names", "span ", "anon_", "CONSTANT")
    return [line for line in plan.splitlines() if line.startswith("SCAN ") and not line[5:].startswith(own)]


def sorts(plan: str, sqlite: bool) -> list[str]:
    signs = ("USE TEMP B-TREE FOR ORDER BY",) if sqlite else ("Sort ", "Sort  (")
    return [line for line in plan.splitlines() if line.strip().removeprefix("->").strip().startswith(signs)]


# Pages that begin in the middle: an index must lead there, not to the beginning.
SEEKS = {
    "sessions": "(last_activity_at,session_id)<(?,?)",
    "all_messages": "(session_id,seq)>(?,?)",
    "changes_after": "change_id>?",
    "unsettled_messages": "change_id>?",
    "feed": "change_id>?",
}


def check(store: SqlRecordStore, name: str, asked: Asked) -> None:
    plans = asked.plans(store)
    assert plans
    if name in SEEKS and store.database.is_sqlite:
        assert any(SEEKS[name] in plan for plan in plans), plans
    for plan in plans:
        assert not whole_reads(plan, store.database.is_sqlite), plan
        if name in IN_ORDER:
            assert not sorts(plan, store.database.is_sqlite), plan


@pytest.mark.parametrize("name", QUESTIONS)
def test_a_question_is_answered_through_an_index(filled: SqlRecordStore, name: str) -> None:
    asked = Asked()
    with filled.read(ANN) as db, asked.listening(filled):
        QUESTIONS[name](db)
    check(filled, name, asked)


def test_every_question_is_looked_at() -> None:
    from memory.ports import Records

    asked = {name for name in vars(Records) if not name.startswith("_") and name != "owner"}
    assert asked - QUESTIONS.keys() == set()


def test_the_feed_is_read_through_an_index(filled: SqlRecordStore) -> None:
    asked = Asked()
    with asked.listening(filled):
        told = filled.feed(START, 3)
        filled.feed_messages(told)
    check(filled, "feed", asked)


def test_what_is_owed_is_found_without_reading_the_sessions(filled: SqlRecordStore) -> None:
    asked = Asked()
    with asked.listening(filled):
        filled.summaries_owed(9)
    (plan,) = asked.plans(filled)
    assert "sessions_owing_a_summary" in plan


def test_the_head_of_the_feed_is_the_last_entry_of_an_index(filled: SqlRecordStore) -> None:
    asked = Asked()
    with asked.listening(filled):
        filled.head()
    (plan,) = asked.plans(filled)
    assert "changes_in_order" in plan
    assert not sorts(plan, filled.database.is_sqlite)


def test_a_recorded_turn_asks_little_and_through_indexes(filled: SqlRecordStore, clock: Any) -> None:
    asked = Asked()
    with asked.listening(filled):
        record(filled, ANN, [NewMessage("user", "one more", "99")], Target(), clock)
    check(filled, "record", asked)
    # PostgreSQL's lock is one more.
    assert len(asked.statements) <= 6
