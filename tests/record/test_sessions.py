"""Sessions: starting, archiving, listing page by page."""

import base64
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from memory.errors import Conflict, Invalid, NoSessionOpen, NotFound
from memory.model import NewMessage, Owner, Session, SessionFilter
from memory.record.recording import record
from memory.record.sessions import Target, archive, existing, list_page, start
from storage.sql import SqlRecordStore

BOB = Owner("acme", "bob")


def stored(store: SqlRecordStore, owner: Owner, session_id: str) -> Session | None:
    with store.read(owner) as db:
        return db.session(session_id)


def test_a_started_session_is_stored_as_asked_for(store: SqlRecordStore, owner: Owner, clock: Any) -> None:
    session = start(store, owner, Target(project_id="p", channel="voice", agent="a", title="Rent"), clock)
    assert stored(store, owner, session.session_id) == session
    assert (session.project_id, session.channel, session.agent, session.title) == ("p", "voice", "a", "Rent")
    assert (session.archived_at, session.message_count, session.external_id) == (None, 0, None)


def test_a_session_by_id_is_the_owners_or_not_found(store: SqlRecordStore, owner: Owner, clock: Any) -> None:
    session = start(store, owner, Target(), clock)
    with store.read(owner) as db:
        assert existing(db, session.session_id) == session
        with pytest.raises(NotFound, match="No session 'ses_nobodys' was found"):
            existing(db, "ses_nobodys")
    with store.read(BOB) as db, pytest.raises(NotFound, match=f"No session '{session.session_id}' was found"):
        existing(db, session.session_id)


def test_each_start_is_another_session_unless_the_outside_has_a_name_for_it(
    store: SqlRecordStore, owner: Owner, clock: Any
) -> None:
    assert start(store, owner, Target(), clock).session_id != start(store, owner, Target(), clock).session_id
    first = start(store, owner, Target(external_id="call-1", title="one"), clock)
    assert start(store, owner, Target(external_id="call-1", title="two"), clock) == first
    assert start(store, BOB, Target(external_id="call-1"), clock).session_id != first.session_id
    with pytest.raises(Conflict, match="belongs to no project, not to 'p'"):
        start(store, owner, Target(external_id="call-1", project_id="p"), clock)


def test_a_session_and_the_name_of_another_cannot_both_be_meant(
    store: SqlRecordStore, owner: Owner, clock: Any
) -> None:
    named = start(store, owner, Target(external_id="call-1"), clock)
    other = start(store, owner, Target(), clock)
    said = [NewMessage("user", "x")]
    with pytest.raises(Conflict, match="is not the one that is called 'call-1'"):
        record(store, owner, said, Target(session_id=other.session_id, external_id="call-1"), clock)
    done = record(store, owner, said, Target(session_id=named.session_id, external_id="call-1"), clock)
    assert done.session.session_id == named.session_id


@pytest.mark.parametrize("name", ["session_id", "external_id", "project_id", "agent", "title"])
@pytest.mark.parametrize("value", ["", "  ", "a\0b", "two\nlines", "\x7f", "half \udc00", "x" * 513])
def test_names_that_cannot_be_accepted(store: SqlRecordStore, owner: Owner, clock: Any, name: str, value: str) -> None:
    named: dict[str, Any] = {name: value}
    with pytest.raises(Invalid, match=f"^{name} "):
        start(store, owner, Target(**named), clock)
    with pytest.raises(Invalid, match=f"^{name} "):
        record(store, owner, [NewMessage("user", "x")], Target(**named), clock)
    assert list_page(store, owner, SessionFilter(), 5).sessions == ()


def test_a_channel_is_one_of_four(store: SqlRecordStore, owner: Owner, clock: Any) -> None:
    with pytest.raises(Invalid, match="channel is 'pigeon'; use one of chat, voice, sms, email"):
        start(store, owner, Target(channel="pigeon"), clock)  # type: ignore[arg-type]


def test_archiving_ends_a_session_once(store: SqlRecordStore, owner: Owner, clock: Any) -> None:
    session = record(store, owner, [NewMessage("user", "x")], Target(project_id="p"), clock).session
    first = archive(store, owner, session.session_id, clock)
    assert first.archived_at is not None
    assert archive(store, owner, session.session_id, clock) == first
    assert stored(store, owner, session.session_id) == first
    assert (first.message_count, first.title) == (1, "x")
    with store.read(owner) as db:
        assert db.open_session("p") is None
        assert db.latest_archived() == first
        assert len(db.transcript(session.session_id)) == 1


def test_archiving_without_a_name_ends_the_open_global_session(store: SqlRecordStore, owner: Owner, clock: Any) -> None:
    older, newer = (start(store, owner, Target(), clock) for _ in range(2))
    other = start(store, owner, Target(project_id="p", title="Plans"), clock)
    assert archive(store, owner, None, clock).session_id == newer.session_id
    assert archive(store, owner, None, clock).session_id == older.session_id
    with pytest.raises(NoSessionOpen, match=f"open is {other.session_id} 'Plans' in project 'p': give its id"):
        archive(store, owner, None, clock)


def test_nobody_archives_what_is_anothers(store: SqlRecordStore, owner: Owner, clock: Any) -> None:
    session = start(store, owner, Target(), clock)
    with pytest.raises(NotFound):
        archive(store, BOB, session.session_id, clock)
    with pytest.raises(NoSessionOpen):
        archive(store, BOB, None, clock)
    assert stored(store, owner, session.session_id) == session


def test_pages_follow_each_other_to_the_end(store: SqlRecordStore, owner: Owner, clock: Any) -> None:
    made = [start(store, owner, Target(project_id="p" if n % 2 else None), clock).session_id for n in range(11)]
    start(store, BOB, Target(), clock)
    for where, expected in ((SessionFilter(), made), (SessionFilter(project_id="p"), made[1::2])):
        seen, cursor = list[str](), None
        while True:
            page = list_page(store, owner, where, 3, cursor)
            assert 1 <= len(page.sessions) <= 3
            seen += [session.session_id for session in page.sessions]
            if (cursor := page.next_cursor) is None:
                break
        assert seen == expected[::-1]


def test_a_page_that_is_just_full_is_the_last(store: SqlRecordStore, owner: Owner, clock: Any) -> None:
    for _ in range(3):
        start(store, owner, Target(), clock)
    assert list_page(store, owner, SessionFilter(), 3).next_cursor is None
    assert list_page(store, owner, SessionFilter(), 2).next_cursor is not None
    assert list_page(store, BOB, SessionFilter(), 2) == list_page(store, BOB, SessionFilter(), 200)


def test_a_cursor_stays_good_while_sessions_come_and_move(store: SqlRecordStore, owner: Owner, clock: Any) -> None:
    made = [start(store, owner, Target(), clock).session_id for _ in range(6)]
    first = list_page(store, owner, SessionFilter(), 2)
    record(store, owner, [NewMessage("user", "x")], Target(session_id=made[5]), clock)
    start(store, owner, Target(), clock)
    rest = list_page(store, owner, SessionFilter(), 10, first.next_cursor)
    assert [s.session_id for s in rest.sessions] == made[3::-1]


@pytest.mark.parametrize("limit", [0, -1, 201])
def test_a_page_has_bounds(store: SqlRecordStore, owner: Owner, limit: int) -> None:
    with pytest.raises(Invalid, match="use 1 to 200"):
        list_page(store, owner, SessionFilter(), limit)


def encoded(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    "cursor",
    [
        "", "x", "!!", "é", "\ud800", "A" * 100_000, encoded("text"), encoded([]), encoded([1, 2]), encoded(["x", "y"]),
        encoded(["2026-01-01", "s"]), encoded([None, None]), encoded({"a": 1, "b": 2}),
        encoded(["2026-01-01T00:00:00+00:00", 5]), base64.urlsafe_b64encode(b"[" * 200_000).decode(),
    ],
    ids=range(15),
)  # fmt: skip
def test_a_cursor_that_no_list_gave_is_refused(store: SqlRecordStore, owner: Owner, clock: Any, cursor: str) -> None:
    start(store, owner, Target(), clock)
    with pytest.raises(Invalid, match="The cursor is not one that a list gave"):
        list_page(store, owner, SessionFilter(), 5, cursor)


@pytest.mark.parametrize(
    ("cursor", "found"),
    [
        (encoded([datetime.min.isoformat() + "+14:00", "s"]), 0),
        (encoded([datetime.max.isoformat() + "-14:00", "s"]), 1),
        (encoded(["2026-01-01T00:00:00+00:00", "\0"]), 0),
    ],
    ids=["before all time", "after all time", "an id that cannot be"],
)
def test_a_cursor_of_somebody_elses_making_is_a_place_in_the_list(
    store: SqlRecordStore, owner: Owner, clock: Any, cursor: str, found: int
) -> None:
    start(store, owner, Target(), clock)
    assert len(list_page(store, owner, SessionFilter(), 5, cursor).sessions) == found


def test_a_cursor_tells_nothing_of_another(store: SqlRecordStore, owner: Owner, clock: Any) -> None:
    for _ in range(3):
        start(store, owner, Target(), clock)
    cursor = list_page(store, owner, SessionFilter(), 1).next_cursor
    assert list_page(store, BOB, SessionFilter(), 5, cursor).sessions == ()


def test_times_are_in_utc(store: SqlRecordStore, owner: Owner, clock: Any) -> None:
    session = stored(store, owner, start(store, owner, Target(), clock).session_id)
    assert session is not None
    assert session.started_at.tzinfo is UTC
