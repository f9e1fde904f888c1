"""The audit finds whatever happened to a recorded message behind the record's back, and is silent otherwise."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import delete, insert, select, update

from memory.model import Message, NewMessage, Owner, Session, digest_of
from memory.record.recording import record
from memory.record.sessions import Target
from storage.sql import SqlRecordStore
from storage.sql.digests import add_digest, remove_digest
from storage.sql.tables import changes, message_revisions, messages, sessions

AT = datetime(2026, 3, 1, tzinfo=UTC)
Line = Callable[..., str]


@pytest.fixture
def spoken(store: SqlRecordStore, owner: Owner, clock: Any) -> Session:
    """Five messages, the third of which was partial first; a second session and a second user beside them."""
    lines = [NewMessage("user", f"line {n}", f"{n}", tool_arguments={"n": n}) for n in range(1, 6)]
    for user in (owner, Owner("acme", "bob")):
        record(store, user, lines, Target(external_id="other"), clock)
        lines[2] = replace(lines[2], content="li", status="partial")
        record(store, user, lines, Target(external_id="call"), clock)
        lines[2] = replace(lines[2], content="line 3", status="final")
        session = record(store, user, lines[2:3], Target(external_id="call"), clock).session
        if user == owner:
            mine = session
    assert store.audit() == []
    return mine


def behind_its_back(store: SqlRecordStore, *statements: Any) -> None:
    with store.database.writing() as db:
        for statement in statements:
            assert db.execute(statement).rowcount == 1


def at(session: Session, seq: int) -> Any:
    of_owner = (messages.c.tenant_id == "acme") & (messages.c.user_id == "ann")
    return of_owner & (messages.c.session_id == session.session_id) & (messages.c.seq == seq)


ALTERED: dict[str, Any] = {
    "message_id": "new", "seq": 99, "role": "assistant", "content": "line 2 ", "occurred_at": AT, "recorded_at": AT,
    "client_id": None, "project_id": "p", "channel": "sms", "agent": "a", "speaker": "s", "tool_name": "t",
    "tool_call_id": "c", "tool_arguments": {"n": 2.0}, "intent": "i", "intent_confidence": 0.5, "entities": [],
    "metadata": {}, "status": "interrupted", "digest": "0" * 64,
}  # fmt: skip


def test_every_field_of_a_message_is_watched() -> None:
    assert set(ALTERED) == {*Message.__dataclass_fields__} - {"session_id"}


@pytest.mark.parametrize("name", ALTERED)
def test_an_altered_message_is_found(store: SqlRecordStore, spoken: Session, name: str) -> None:
    behind_its_back(store, update(messages).where(at(spoken, 2)).values({name: ALTERED[name]}))
    (finding, *_) = found = store.audit()
    assert all(line.startswith(f"session {spoken.session_id} of user ann (tenant acme): ") for line in found)
    assert f"seq {99 if name == 'seq' else 2}" in finding


def test_an_altered_message_with_a_digest_to_match_is_found(
    store: SqlRecordStore, spoken: Session, owner: Owner
) -> None:
    """Somebody who knows how digests are made."""
    with store.read(owner) as db:
        old = db.transcript(spoken.session_id)[1]
    forged = replace(old, content="I never said that")
    values = {"content": forged.content, "digest": digest_of(forged)}
    behind_its_back(store, update(messages).where(at(spoken, 2)).values(values))
    (finding,) = store.audit()
    assert "are not the recorded ones" in finding


@pytest.mark.parametrize("seq", [1, 4, 5])
def test_a_removed_message_is_found(store: SqlRecordStore, spoken: Session, seq: int) -> None:
    behind_its_back(store, delete(messages).where(at(spoken, seq)))
    assert any("5 messages were recorded, 4 are stored" in line for line in store.audit())


def test_a_removed_message_with_the_counts_to_match_is_found(
    store: SqlRecordStore, spoken: Session, owner: Owner
) -> None:
    with store.read(owner) as db:
        gone = db.transcript(spoken.session_id)[3]
    mine = (sessions.c.session_id == spoken.session_id) & (sessions.c.user_id == "ann")
    digest = remove_digest(spoken.message_digest, [gone.digest])
    fewer = update(sessions).where(mine).values(message_count=4, message_digest=digest)
    behind_its_back(store, delete(messages).where(at(spoken, 4)), fewer)
    (finding,) = store.audit()
    assert "of the numbers 1 to 5" in finding


def test_an_added_message_is_found(store: SqlRecordStore, spoken: Session, owner: Owner) -> None:
    with store.read(owner) as db:
        new = replace(db.transcript(spoken.session_id)[4], message_id="forged", client_id=None, seq=6)
    with store.database.writing() as db:
        row = dict(db.execute(select(messages).where(at(spoken, 5))).mappings().one())
        db.execute(
            insert(messages).values(
                {**row, "message_id": "forged", "client_id": None, "seq": 6, "digest": digest_of(new)}
            )
        )
    assert any("5 messages were recorded, 6 are stored" in line for line in store.audit())


def test_two_messages_that_changed_places_are_found(store: SqlRecordStore, spoken: Session) -> None:
    steps = [(1, 98), (2, 1), (98, 2)]
    behind_its_back(store, *[update(messages).where(at(spoken, a)).values(seq=b) for a, b in steps])
    (finding,) = store.audit()
    assert "altered" in finding
    assert "seq 1, 2" in finding


def test_a_message_moved_to_another_session_is_found(store: SqlRecordStore, spoken: Session, owner: Owner) -> None:
    with store.read(owner) as db:
        other = db.session_by_external_id("other")
    assert other is not None
    behind_its_back(
        store, update(messages).where(at(spoken, 4)).values(session_id=other.session_id, client_id=None, seq=6)
    )
    assert {line.split()[1] for line in store.audit()} == {spoken.session_id, other.session_id}


def test_an_altered_or_removed_revision_is_found(store: SqlRecordStore, spoken: Session) -> None:
    kept = message_revisions.c.user_id == "ann"
    with store.database.reading() as db:
        document = db.execute(select(message_revisions.c.document).where(kept)).scalar_one()
    behind_its_back(store, update(message_revisions).where(kept).values(document={**document, "content": "other"}))
    assert any("revisions were altered" in line and "seq 3" in line for line in store.audit())
    behind_its_back(store, update(message_revisions).where(kept).values(document=document))
    assert store.audit() == []
    behind_its_back(store, delete(message_revisions).where(kept))
    assert any("1 revisions of messages were recorded, 0 are stored" in line for line in store.audit())


def test_erasing_by_the_book_is_no_finding_but_half_of_it_is(
    store: SqlRecordStore, spoken: Session, owner: Owner
) -> None:
    with store.read(owner) as db:
        ids = [m.message_id for m in db.transcript(spoken.session_id)]
    with store.write(owner) as db:
        assert db.erase_messages([ids[0], ids[2], ids[4]]) == 3
    assert store.audit() == []
    told = (changes.c.kind == "message_erased") & (changes.c.message_id == ids[2])
    behind_its_back(store, delete(changes).where(told))
    assert len(store.audit()) == 1


def test_a_session_record_that_vanished_cannot_leave_its_messages(store: SqlRecordStore, spoken: Session) -> None:
    from memory.errors import Conflict

    with pytest.raises(Conflict), store.database.writing() as db:
        db.execute(delete(sessions).where(sessions.c.session_id == spoken.session_id))


def test_a_long_session_is_read_in_pages(store: SqlRecordStore, owner: Owner) -> None:
    with store.write(owner) as db:
        db.add_session(Session("s", AT, AT))
        batch = [Message(f"m{n}", "s", n, "user", "x", AT, AT + timedelta(n)) for n in range(1, 1203)]
        db.add_messages("s", batch)
        db.erase_messages(["m500", "m501", "m1202"])
    assert store.audit() == []
    behind_its_back(store, update(messages).where(messages.c.message_id == "m1100").values(content="y"))
    (finding,) = store.audit()
    assert "seq 1100" in finding


def test_sums_of_digests_know_no_order_and_take_back() -> None:
    some = [secrets.token_hex(32) for _ in range(20)]
    total = add_digest("", some)
    assert add_digest(add_digest("", some[7:]), some[:7]) == total
    assert remove_digest(total, some) == add_digest("", [])
    assert remove_digest(total, some[:1]) != total
    assert len(total) == 64


@dataclass(frozen=True, slots=True)
class LaterMessage(Message):
    """A message of a time when messages have one more field."""

    mood: str | None = None


def test_a_digest_stays_as_it_was_first_made() -> None:
    bare = Message("m", "s", 1, "user", "words", AT, AT + timedelta(1))
    full = replace(bare, client_id="m", tool_arguments={"n": 1}, intent="ask", metadata={"é": None}, status="partial")
    assert digest_of(bare) == "9869f06d87fb057577cd6f6476ff616a38516afd2cb8c59827f891cb0f076ac8"
    assert digest_of(full) == "f2314e5d22b70ba69646d7338467e6bd51c74f5b42279c4b8a222a2dd6a51c23"


def test_a_field_that_came_later_is_watched_and_changes_no_older_digest() -> None:
    given: dict[str, Any] = {"channel": "sms", "intent": "ask", "entities": ["x"]}
    old = Message("m", "s", 1, "user", "words", AT, AT, **given)
    assert digest_of(LaterMessage("m", "s", 1, "user", "words", AT, AT, **given)) == digest_of(old)
    moods = [LaterMessage("m", "s", 1, "user", "words", AT, AT, **given, mood=mood) for mood in ("glad", "sad", "")]
    assert len({digest_of(message) for message in (old, *moods)}) == 4
