"""Whoever has the same ids elsewhere sees nothing and changes nothing: every method of the contract is tried."""

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from memory.errors import NotFound
from memory.model import (
    START,
    Message,
    MessageFilter,
    NewMessage,
    Owner,
    Session,
    SessionFilter,
    Strategy,
    Summary,
    SummaryDraft,
    UserContextEntry,
    digest_of,
)
from memory.ports import Records, WritableRecords
from memory.record.recording import record
from memory.record.sessions import Target
from storage.sql import SqlRecordStore

AT = datetime(2026, 3, 1, tzinfo=UTC)
ANN = Owner("acme", "ann")
# The same user elsewhere, a neighbour, names that a careless join of the two would mix up.
OTHERS = [Owner("umbrella", "ann"), Owner("acme", "bob"), Owner("acmea", "nn"), Owner("acme/ann", ""), Owner("", "")]


def message(n: int, owner: Owner) -> Message:
    plain = Message(
        f"m-{n}", "s", n, "user", f"{owner} says {n}", AT, AT, client_id=f"c-{n}", project_id="p", channel="chat",
        speaker=f"{owner}", status="partial",
    )  # fmt: skip
    return replace(plain, digest=digest_of(plain))


def fill(store: SqlRecordStore, owner: Owner) -> None:
    """The same ids for everybody, other words."""
    with store.write(owner) as db:
        db.add_session(Session("s", AT, AT, project_id="p", title=f"{owner}", external_id="e"))
        db.add_session(Session("old", AT, AT, archived_at=AT, title=f"{owner}"))
        db.add_messages("s", [message(n, owner) for n in (1, 2, 3)])
        db.add_summary(Summary("s", 1, SummaryDraft(f"{owner}"), 3, "agent", AT))
        db.put_user_context(UserContextEntry("k", f"{owner}", "fact", 1, AT))
        db.put_strategy("session", "s", Strategy("trim", keep_turns=1))
        db.owe_summary("s", 3)


# Every question of the contract, asked as generously as it can be.
QUESTIONS: dict[str, Callable[[Records], Any]] = {
    "session": lambda db: db.session("s"),
    "session_by_external_id": lambda db: db.session_by_external_id("e"),
    "open_session": lambda db: db.open_session("p"),
    "sessions": lambda db: db.sessions(SessionFilter(), 100),
    "latest_archived": lambda db: db.latest_archived(),
    "message": lambda db: db.message("m-1"),
    "messages": lambda db: db.messages(["m-1", "m-2", "m-3"]),
    "messages_by_client_id": lambda db: db.messages_by_client_id(["c-1"], "s"),
    "messages_by_client_id_in_scope": lambda db: db.messages_by_client_id_in_scope(["c-1"], "p"),
    "transcript": lambda db: db.transcript("s"),
    "read_on": lambda db: list(db.read_on("s", 1)),
    "windows": lambda db: db.windows([("s", 1, 9)]),
    "all_messages": lambda db: db.all_messages(MessageFilter(), None, 100),
    "projects": lambda db: db.projects(),
    "participants": lambda db: db.participants(None),
    "message_count": lambda db: db.message_count(),
    "changes_after": lambda db: [(c.kind, c.owner, c.message_id) for c in db.changes_after(START, 100)],
    "unsettled_messages": lambda db: db.unsettled_messages(START, 100),
    "latest_summary": lambda db: db.latest_summary("s"),
    "summary_due": lambda db: db.summary_due("s"),
    "summaries": lambda db: db.summaries("s"),
    "latest_summaries": lambda db: db.latest_summaries(100),
    "user_context": lambda db: db.user_context(None),
    "user_context_history": lambda db: db.user_context_history(None),
    "strategy": lambda db: db.strategy("session", "s"),
    "revision": lambda db: db.revision(),
}


def answers(store: SqlRecordStore, owner: Owner) -> dict[str, Any]:
    with store.read(owner) as db:
        return {name: ask(db) for name, ask in QUESTIONS.items()}


def anonymous(answer: Any, owner: Owner) -> str:
    """The answer without the owner's name, and without digests, which cover it."""
    return re.sub("[0-9a-f]{64}", "#", str(answer).replace(str(owner), "-"))


def test_every_question_of_the_contract_is_tried() -> None:
    asked = {name for name in vars(Records) if not name.startswith("_")}
    assert set(QUESTIONS) == asked


def test_nobody_is_answered_with_anothers_record(store: SqlRecordStore) -> None:
    nothing = answers(store, ANN)
    assert not any(nothing.values())
    for other in OTHERS:
        fill(store, other)
    assert answers(store, ANN) == nothing
    fill(store, ANN)
    mine = answers(store, ANN)
    assert all(mine.values())
    for other in OTHERS:
        theirs = answers(store, other)
        for name in set(QUESTIONS) - {"message_count", "revision", "strategy"}:
            assert anonymous(theirs[name], other) == anonymous(mine[name], ANN), name
            assert repr(ANN) not in repr(theirs[name])


# Every way to change something, aimed at ids that another has as well.
CHANGES: dict[str, Callable[[WritableRecords], Any]] = {
    "add_session": lambda db: db.add_session(Session("new", AT, AT, external_id="e2")),
    "update_session": lambda db: db.update_session("s", title="mine", archived_at=AT),
    "add_messages": lambda db: db.add_messages("s", [message(4, ANN)]),
    "replace_message": lambda db: db.replace_message(replace(message(2, ANN), content="mine", digest="")),
    "erase_messages": lambda db: db.erase_messages(["m-1", "m-2", "m-3"]),
    "add_summary": lambda db: db.add_summary(Summary("s", 2, SummaryDraft("mine"), 3, "agent", AT)),
    "owe_summary": lambda db: db.owe_summary("s", None),
    "put_user_context": lambda db: db.put_user_context(UserContextEntry("k", "mine", "fact", 2, AT)),
    "put_strategy": lambda db: db.put_strategy("session", "s", None),
}


def test_every_change_of_the_contract_is_tried() -> None:
    changing = {name for name in vars(WritableRecords) if not name.startswith("_")} - {"replaced"}
    assert set(CHANGES) == changing


def test_what_stood_there_before_is_the_owners_alone(store: SqlRecordStore) -> None:
    for owner in (ANN, OTHERS[0]):
        fill(store, owner)
    with store.write(OTHERS[0]) as db:
        db.replace_message(replace(message(2, OTHERS[0]), content="again", digest=""))
        assert [old.seq for old in db.replaced("m-2")] == [2]
    with store.write(ANN) as db:
        assert db.replaced("m-2") == []


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_leaves_everybody_else_as_they_were(store: SqlRecordStore, name: str) -> None:
    for owner in (ANN, *OTHERS):
        fill(store, owner)
    before = {other: answers(store, other) for other in OTHERS}
    mine = answers(store, ANN)
    with store.write(ANN) as db:
        CHANGES[name](db)
    assert answers(store, ANN) != mine
    assert {other: answers(store, other) for other in OTHERS} == before
    assert store.audit() == []


@pytest.mark.parametrize("name", ["update_session", "add_messages", "replace_message", "add_summary"])
def test_a_change_of_what_only_another_has_finds_nothing(store: SqlRecordStore, name: str) -> None:
    fill(store, OTHERS[0])
    with pytest.raises(NotFound) as mine, store.write(ANN) as db:
        CHANGES[name](db)
    with pytest.raises(NotFound) as nobodys, store.write(Owner("nobody", "at all")) as db:
        CHANGES[name](db)
    assert str(mine.value) == str(nobodys.value)


def test_erasing_what_only_another_has_erases_nothing(store: SqlRecordStore) -> None:
    fill(store, OTHERS[0])
    with store.write(ANN) as db:
        assert db.erase_messages(["m-1", "m-2"]) == 0
    with store.read(OTHERS[0]) as db:
        assert db.message_count() == 3


def test_recording_with_anothers_ids_meets_nothing_of_theirs(store: SqlRecordStore, clock: Any) -> None:
    said = [NewMessage("user", "hello", "1"), NewMessage("user", "secret", "2")]
    theirs = record(store, OTHERS[0], said, Target(external_id="call"), clock)
    mine = record(store, ANN, [NewMessage("user", "other words", "1")], Target(external_id="call"), clock)
    assert mine.messages[0].message_id == "1"
    assert mine.session.session_id != theirs.session.session_id
    with pytest.raises(NotFound):
        record(store, ANN, said, Target(session_id=theirs.session.session_id), clock)


def test_the_feed_names_the_owner_of_each_change(store: SqlRecordStore) -> None:
    for owner in (ANN, *OTHERS):
        fill(store, owner)
    changes = store.feed(START, 1000)
    present = store.feed_messages(changes)
    assert len(present) == 3 * (1 + len(OTHERS))
    for (owner, message_id), found in present.items():
        assert found.message_id == message_id
        assert found.content.startswith(str(owner))
    # An id of Ann's under another's name is nothing.
    foreign = [replace(change, owner=Owner("acme", "eve")) for change in changes]
    assert store.feed_messages(foreign) == {}


def test_a_read_is_a_snapshot(store: SqlRecordStore) -> None:
    fill(store, ANN)
    with store.read(ANN) as db:
        before = {name: ask(db) for name, ask in QUESTIONS.items()}
        with store.write(ANN) as other:
            other.erase_messages(["m-1"])
            other.update_session("s", title="new", last_activity_at=AT + timedelta(1))
        after = {name: ask(db) for name, ask in QUESTIONS.items()}
    assert after == before
    assert answers(store, ANN) != before
