"""What the record answers: sessions, transcripts, filters, windows, pages, summaries."""

import random
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from memory.errors import Conflict, NotFound
from memory.model import (
    Channel,
    Message,
    MessageFilter,
    Owner,
    Session,
    SessionFilter,
    Summary,
    SummaryDraft,
    UserContextEntry,
    digest_of,
)
from memory.ports import Records
from storage.sql import SqlRecordStore

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
PROJECTS = (None, "p", "q")


def minutes(n: float) -> datetime:
    return AT + timedelta(minutes=n)


def message(session: Session, seq: int, **others: Any) -> Message:
    plain = Message(
        f"{session.session_id}-{seq}", session.session_id, seq, "user", f"line {seq}", minutes(seq), minutes(seq),
        project_id=session.project_id, channel=session.channel,
    )  # fmt: skip
    full = replace(plain, **others)
    return replace(full, digest=digest_of(full))


class Reader:
    """Asks each question in a transaction of its own."""

    def __init__(self, store: SqlRecordStore, owner: Owner) -> None:
        self._store, self._owner = store, owner

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def ask(*args: Any, **options: Any) -> Any:
            with self._store.read(self._owner) as db:
                return getattr(db, name)(*args, **options)

        return ask


@pytest.fixture
def read(store: SqlRecordStore, owner: Owner) -> Any:
    return Reader(store, owner)


@pytest.fixture
def add(store: SqlRecordStore, owner: Owner) -> Callable[..., Session]:
    def add_session(session_id: str, count: int = 0, of: dict[str, Any] | None = None, **session: Any) -> Session:
        new = Session(session_id, AT, session.pop("last_activity_at", AT), **session)
        with store.write(owner) as db:
            db.add_session(new)
            return db.add_messages(session_id, [message(new, n, **(of or {})) for n in range(1, count + 1)])

    return add_session


def ids(sessions: list[Session]) -> list[str]:
    return [session.session_id for session in sessions]


# Sessions


def test_an_unknown_session_is_none(read: Records) -> None:
    assert (read.session("x"), read.session_by_external_id("x"), read.open_session(None)) == (None, None, None)
    assert read.latest_archived() is None
    assert (read.message_count(), read.revision(), read.transcript("x"), read.sessions(SessionFilter(), 5)) == (
        0,
        0,
        [],
        [],
    )
    assert (read.summaries("x"), read.latest_summary("x"), read.latest_summaries(5)) == ([], None, [])
    assert (read.user_context(None), read.participants(None), read.messages([]), read.windows([])) == ([], [], {}, [])


def test_a_session_counts_what_was_added(add: Callable[..., Session], store: SqlRecordStore, owner: Owner) -> None:
    session = add("s", 3)
    assert (session.message_count, session.last_seq, session.last_activity_at) == (3, 3, minutes(3))
    with store.read(owner) as db:
        assert db.session("s") == session
        assert db.message_count() == 3


def test_the_open_session_is_the_latest_active_of_exactly_its_scope(add: Callable[..., Session], read: Records) -> None:
    for n, project in enumerate(PROJECTS):
        add(f"old-{project}", project_id=project, last_activity_at=minutes(n))
        add(f"new-{project}", project_id=project, last_activity_at=minutes(10 - n))
        add(f"gone-{project}", project_id=project, last_activity_at=minutes(50), archived_at=minutes(60))
    for project in PROJECTS:
        session = read.open_session(project)
        assert session is not None
        assert session.session_id == f"new-{project}"
    assert read.open_session("nothing") is None


def test_the_open_session_of_two_at_the_same_time_is_sure(add: Callable[..., Session], read: Records) -> None:
    for name in ("b", "c", "a", "Z", "é", "~"):
        add(name)
    session = read.open_session(None)
    assert session is not None
    assert session.session_id == "é"
    assert ids(read.sessions(SessionFilter(), 9)) == sorted(["b", "c", "a", "Z", "é", "~"], reverse=True)


def test_the_latest_archived_is_the_one_archived_last(add: Callable[..., Session], read: Records) -> None:
    add("first", archived_at=minutes(10), last_activity_at=minutes(9))
    add("last", archived_at=minutes(20), last_activity_at=minutes(1), project_id="p")
    add("open", last_activity_at=minutes(99))
    session = read.latest_archived()
    assert session is not None
    assert session.session_id == "last"


def test_pages_of_sessions_leave_none_out_and_repeat_none(add: Callable[..., Session], read: Records) -> None:
    for n in range(23):
        add(f"s-{n:02}", last_activity_at=minutes(n // 4), project_id=PROJECTS[n % 3])
    everything = read.sessions(SessionFilter(), 100)
    assert len(everything) == 23
    key = [(s.last_activity_at, s.session_id) for s in everything]
    assert key == sorted(key, reverse=True)
    for where in (SessionFilter(), SessionFilter(project_id="p"), SessionFilter(scope="global")):
        paged: list[Session] = []
        while page := read.sessions(where, 4, (paged[-1].last_activity_at, paged[-1].session_id) if paged else None):
            paged += page
        assert paged == read.sessions(where, 100)


def test_sessions_by_what_they_are(add: Callable[..., Session], read: Records) -> None:
    add("plain")
    add("p", project_id="p", channel="voice", title="Rent for MÜNCHEN")
    add("gone", archived_at=AT, external_id="call-1", channel="chat", title="rent")
    expected = {
        SessionFilter(): {"plain", "p", "gone"},
        SessionFilter(scope="global"): {"plain", "gone"},
        SessionFilter(scope="project"): {"p"},
        SessionFilter(scope="project", project_id="q"): set(),
        SessionFilter(project_id="p"): {"p"},
        SessionFilter(archived=True): {"gone"},
        SessionFilter(archived=False): {"plain", "p"},
        SessionFilter(channel="voice"): {"p"},
        SessionFilter(external_id="call-1"): {"gone"},
        SessionFilter(external_id="call-2"): set(),
        SessionFilter(title="RENT"): {"p", "gone"},
        SessionFilter(title="münchen"): {"p"},
        SessionFilter(title="%"): set(),
        SessionFilter(title="rent", archived=False): {"p"},
    }
    assert {where: set(ids(read.sessions(where, 10))) for where in expected} == expected


def test_a_title_is_found_beyond_the_first_page(
    add: Callable[..., Session], store: SqlRecordStore, owner: Owner
) -> None:
    with store.write(owner) as db:
        for n in range(1100):
            title = "needle" if n in (3, 5, 1000) else "hay"
            db.add_session(Session(f"s-{n}", AT, minutes(n), title=title))
    with store.read(owner) as db:
        assert ids(db.sessions(SessionFilter(title="NEEDLE"), 10)) == ["s-1000", "s-5", "s-3"]
        assert ids(db.sessions(SessionFilter(title="needle"), 1)) == ["s-1000"]
        assert ids(db.sessions(SessionFilter(title="needle"), 9, (minutes(5), "s-5"))) == ["s-3"]


def test_a_session_is_updated_by_what_is_given(
    add: Callable[..., Session], store: SqlRecordStore, owner: Owner
) -> None:
    before = add("s", 2, title="old", project_id="p")
    with store.write(owner) as db:
        assert db.update_session("s", title="new") == replace(before, title="new")
        assert db.update_session("s", archived_at=minutes(9)).archived_at == minutes(9)
        assert db.update_session("s", last_activity_at=minutes(30)).title == "new"
    with store.write(owner) as db:
        after = db.update_session("s", reopened=True)
        with pytest.raises(NotFound):
            db.update_session("nowhere", title="x")
    expected = replace(before, title="new", last_activity_at=minutes(30))
    assert after == expected
    with store.read(owner) as db:
        assert db.session("s") == expected


# Messages


def test_a_transcript_is_read_in_parts(add: Callable[..., Session], read: Records) -> None:
    add("s", 10)
    add("t", 3)

    def seqs(*args: Any, **options: Any) -> list[int]:
        return [m.seq for m in read.transcript("s", *args, **options)]

    assert seqs() == list(range(1, 11))
    assert seqs(4) == list(range(4, 11))
    assert seqs(4, 6) == [4, 5, 6]
    assert seqs(last=3) == [8, 9, 10]
    assert seqs(2, 5, last=2) == [4, 5]
    assert seqs(6, 5) == seqs(11) == seqs(last=0) == []
    assert seqs(1, 10**12) == list(range(1, 11))


def test_windows_overlap_without_repeating(add: Callable[..., Session], read: Records) -> None:
    add("a", 20)
    add("b", 5)
    spans = [("b", 4, 9), ("a", 3, 5), ("a", 5, 7), ("a", 12, 12), ("b", -3, 1), ("a", 9, 8), ("nowhere", 1, 9)]
    found = [(m.session_id, m.seq) for m in read.windows(spans)]
    assert found == [("a", n) for n in (3, 4, 5, 6, 7, 12)] + [("b", n) for n in (1, 4, 5)]


def test_filters_admit_the_same_messages_everywhere(
    add: Callable[..., Session], read: Records, store: SqlRecordStore, owner: Owner
) -> None:
    """The store's own language against the rule of the model, on random filters."""
    chance = random.Random(7)
    stored: list[Message] = []
    for n in range(8):
        project = chance.choice(PROJECTS)
        channel: Channel | None = chance.choice([None, "chat", "voice"])
        session = Session(f"s-{n}", AT, AT, project_id=project, channel=channel)
        add(session.session_id, project_id=project, channel=channel)
        batch = [
            message(session, k, role=chance.choice(["user", "assistant"]), occurred_at=minutes(chance.randrange(10)))
            for k in range(1, 6)
        ]
        stored += batch
        with store.write(owner) as db:
            db.add_messages(session.session_id, batch)
    for _ in range(150):
        where = MessageFilter(
            scope=chance.choice(["all", "all", "global", "project"]),
            project_id=chance.choice([None, None, "p", "zz"]),
            session_id=chance.choice([None, None, "s-1"]),
            role=chance.choice([None, "user"]),
            channel=chance.choice([None, "chat"]),
            since=chance.choice([None, minutes(3)]),
            until=chance.choice([None, minutes(6), minutes(3)]),
        )
        expected = sorted((m.session_id, m.seq) for m in stored if where.admits(m))
        found: list[Message] = []
        while page := read.all_messages(where, (found[-1].session_id, found[-1].seq) if found else None, 7):
            found += page
        assert [(m.session_id, m.seq) for m in found] == expected
        assert all(m in stored for m in found)


def test_participants_are_names_once(add: Callable[..., Session], read: Records) -> None:
    add("a", 3, of={"speaker": "Zoë"})
    add("b", 2, of={"speaker": "Ann"}, project_id="p")
    add("c", 2, of={"speaker": "Zoë"}, project_id="p")
    add("d", 2)
    assert read.participants(None) == ["Ann", "Zoë"]
    assert read.participants("p") == ["Ann", "Zoë"]
    assert read.participants("q") == []


def test_a_client_id_is_found_in_its_session_and_latest_in_its_scope(
    add: Callable[..., Session], read: Records
) -> None:
    for n, project in enumerate((None, None, "p")):
        add(f"s-{n}", 1, of={"client_id": "1", "recorded_at": minutes(n)}, project_id=project)
    assert {n: m.session_id for n in range(3) for m in read.messages_by_client_id(["1", "2"], f"s-{n}").values()} == {
        0: "s-0",
        1: "s-1",
        2: "s-2",
    }
    assert read.messages_by_client_id_in_scope(["1"], None)["1"].session_id == "s-1"
    assert read.messages_by_client_id_in_scope(["1"], "p")["1"].session_id == "s-2"
    assert read.messages_by_client_id_in_scope(["1"], "q") == {}


# Writing that contradicts what is there


def test_messages_must_go_on_where_the_session_ends(
    add: Callable[..., Session], store: SqlRecordStore, owner: Owner
) -> None:
    session = add("s", 2)
    for seqs in ([2], [4], [3, 3], [3, 5], [0]):
        with pytest.raises(Conflict), store.write(owner) as db:
            db.add_messages("s", [message(session, n, message_id=f"x-{k}") for k, n in enumerate(seqs)])
    with pytest.raises(NotFound), store.write(owner) as db:
        db.add_messages("nowhere", [message(Session("nowhere", AT, AT), 1)])
    with store.write(owner) as db:
        assert db.add_messages("s", []) == session
        assert db.add_messages("s", [message(session, 3)]).last_seq == 3
    assert store.audit() == []


def test_an_id_twice_is_a_conflict_and_nothing_is_written(
    add: Callable[..., Session], store: SqlRecordStore, owner: Owner
) -> None:
    session = add("s", 2, external_id="e")
    with pytest.raises(Conflict), store.write(owner) as db:
        db.add_messages("s", [message(session, 3), message(session, 4, message_id="s-1")])
    with pytest.raises(Conflict), store.write(owner) as db:
        db.add_session(Session("s", AT, AT))
    with pytest.raises(Conflict), store.write(owner) as db:
        db.add_session(Session("t", AT, AT, external_id="e"))
    with store.read(owner) as db:
        assert db.session("s") == session
        assert ids(db.sessions(SessionFilter(), 9)) == ["s"]


def test_replacing_keeps_place_and_proof(add: Callable[..., Session], store: SqlRecordStore, owner: Owner) -> None:
    session = add("s", 3, of={"status": "partial"})
    new = message(session, 2, content="whole")
    with store.write(owner) as db:
        db.replace_message(new)
        db.replace_message(replace(new, content="whole sentence", digest=""))
    with store.read(owner) as db:
        assert [m.content for m in db.transcript("s")] == ["line 1", "whole sentence", "line 3"]
    assert store.audit() == []
    for wrong in (replace(new, seq=3), replace(new, session_id="t")):
        with pytest.raises(Conflict), store.write(owner) as db:
            db.replace_message(wrong)
    with pytest.raises(NotFound), store.write(owner) as db:
        db.replace_message(replace(new, message_id="nothing"))


def test_erasing_leaves_a_gap_and_gives_no_number_twice(
    add: Callable[..., Session], store: SqlRecordStore, owner: Owner
) -> None:
    add("s", 5)
    with store.write(owner) as db:
        assert db.erase_messages(["s-5", "s-2", "s-2", "nothing"]) == 2
        session = db.session("s")
        assert session is not None
        assert (session.message_count, session.last_seq) == (3, 5)
        db.add_messages("s", [message(session, 6)])
        assert db.erase_messages(["nothing"]) == db.erase_messages([]) == 0
    with store.read(owner) as db:
        assert [m.seq for m in db.transcript("s")] == [1, 3, 4, 6]
        assert db.message("s-2") is None
    assert store.audit() == []


# Summaries, user context


def test_the_latest_summaries_are_those_of_the_latest_sessions(
    add: Callable[..., Session], store: SqlRecordStore, owner: Owner
) -> None:
    for n in range(5):
        add(f"s-{n}", last_activity_at=minutes(n))
    with store.write(owner) as db:
        for n, version in ((0, 1), (1, 1), (1, 2), (3, 1), (3, 7)):
            db.add_summary(Summary(f"s-{n}", version, SummaryDraft(f"{n}.{version}"), 0, "agent", AT))
    with store.read(owner) as db:
        found = db.latest_summaries(2)
        assert [(s.session_id, summary.draft.text) for s, summary in found] == [("s-3", "3.7"), ("s-1", "1.2")]
        assert len(db.latest_summaries(10)) == 3
        assert db.latest_summaries(0) == []


def test_a_summary_version_is_never_overwritten(
    add: Callable[..., Session], store: SqlRecordStore, owner: Owner
) -> None:
    add("s", 1)
    first = Summary("s", 1, SummaryDraft("one"), 1, "agent", AT)
    with store.write(owner) as db:
        db.add_summary(first)
    for other in (first, replace(first, version=0)):
        with pytest.raises(Conflict, match="version 1"), store.write(owner) as db:
            db.add_summary(other)
    with pytest.raises(NotFound), store.write(owner) as db:
        db.add_summary(replace(first, session_id="nowhere"))
    with store.read(owner) as db:
        assert db.summaries("s") == [first]


def test_a_user_context_version_is_never_lost(store: SqlRecordStore, owner: Owner) -> None:
    first = UserContextEntry("k", "a", "fact", 1, AT)
    with store.write(owner) as db:
        db.put_user_context(first)
    for wrong in (first, replace(first, version=3), replace(first, version=0)):
        with pytest.raises(Conflict, match="version 1"), store.write(owner) as db:
            db.put_user_context(wrong)
    with store.read(owner) as db:
        assert db.user_context(None) == db.user_context_history(None) == [first]


def test_the_revision_grows_with_writes_alone(add: Callable[..., Session], store: SqlRecordStore, owner: Owner) -> None:
    def revision() -> int:
        with store.read(owner) as db:
            return db.revision()

    assert revision() == 0
    add("s", 1)
    seen = [revision()]
    with store.write(owner) as db:
        db.session("s")
    assert revision() == seen[-1]
    with store.write(owner) as db:
        db.update_session("s", title="x")
    seen.append(revision())
    with store.write(owner) as db:
        db.put_user_context(UserContextEntry("k", "a", "fact", 1, AT))
    seen.append(revision())
    with store.write(owner) as db:
        db.erase_messages(["s-1"])
    seen.append(revision())
    assert seen == sorted(set(seen))
    assert seen[0] > 0
