"""People are recognised by any notation of what they are known by, and never taken for somebody else on a guess."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memory.errors import Conflict, Invalid, NotFound
from memory.model import Identity
from memory.people.identities import Claims, Identified, identify, link, merge, register, resolve, unlink
from memory.people.identity_values import email_address, normalise, phone_number
from storage.sql import open_store, sqlite_url
from storage.sql.directory import SqlDirectory

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
PHONE = "+4930123456"


def clock() -> datetime:
    return NOW


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[SqlDirectory]:
    store = open_store(sqlite_url(tmp_path / "people.db"))
    yield SqlDirectory(store.database)
    store.close()


def ask(directory: SqlDirectory, tenant: str = "acme", may_write: bool = True, **claims: object) -> Identified:
    return identify(directory, tenant, Claims(**claims), may_write=may_write, region="US", clock=clock)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "text",
    [
        *("+1 415 555 2671", "+1 (415) 555-2671", "(415) 555-2671", "415-555-2671", "415.555.2671", "1 415 555 2671"),
        *("tel:+1-415-555-2671", "sip:+14155552671@carrier.example", "00 1 415 555 2671", "+14155552671;ext=5"),
        *("＋１４１５５５５２６７１", "14155552671", " +1 415 555 2671 ", "+1(415)555–2671"),
    ],
)
def test_every_notation_is_one_number(text: str) -> None:
    assert phone_number(text, "US") == "+14155552671"


@pytest.mark.parametrize(("text", "region"), [("0170 1234567", "DE"), ("+49 (0)170 1234567", None)])
def test_a_number_is_read_in_its_region(text: str, region: str | None) -> None:
    assert phone_number(text, region) == "+491701234567"


@pytest.mark.parametrize("text", ["", "12", "hello", "+", "+999999999999999999", "415 555", "\0\0\0\0", "+1" * 30])
def test_what_is_no_number_is_refused_without_repeating_it(text: str) -> None:
    with pytest.raises(Invalid, match="no telephone number") as refused:
        phone_number(text, None)
    with pytest.raises(Invalid) as no_number:
        phone_number("anything else", None)
    assert str(refused.value) == str(no_number.value)


@given(st.text(max_size=60))
def test_any_text_is_a_number_or_refused(text: str) -> None:
    try:
        number = phone_number(text, "US")
    except Invalid:
        return
    assert number.startswith("+")
    assert number[1:].isdigit()
    assert phone_number(number, None) == number


@pytest.mark.parametrize(
    "text", ["Ann@Example.COM", " ann@example.com ", "Ann <ann@example.com>", "mailto:ann@example.com"]
)
def test_every_writing_is_one_address(text: str) -> None:
    assert email_address(text) == "ann@example.com"


@pytest.mark.parametrize("text", ["", "ann", "ann@", "@example.com", "a b@example.com", "a@b@c", "a" * 300 + "@b.c"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(Invalid):
        email_address(text)


def test_first_contact_makes_a_user_and_the_next_finds_them(directory: SqlDirectory) -> None:
    first = ask(directory, phone="+49 30 123456", display_name="Ann")
    again = ask(directory, phone="0049 30 123456")
    assert first.created
    assert not again.created
    assert first.user is not None
    assert again.user is not None
    assert (again.user.user_id, again.user.display_name) == (first.user.user_id, "Ann")


def test_nobody_is_made_where_that_is_not_allowed(directory: SqlDirectory) -> None:
    with pytest.raises(NotFound):
        ask(directory, phone=PHONE, may_write=False)
    ann = ask(directory, phone=PHONE).user
    assert ask(directory, phone=PHONE, may_write=False).user == ann
    with pytest.raises(NotFound):
        ask(directory, email="ann@example.com", may_write=False)


def test_tenants_know_nothing_of_each_other(directory: SqlDirectory) -> None:
    here, there = ask(directory, phone=PHONE).user, ask(directory, "other", phone=PHONE).user
    assert here is not None
    assert there is not None
    assert here.user_id != there.user_id
    with pytest.raises(NotFound):
        resolve(directory, "other", here.user_id, None)


def test_several_people_behind_one_number_are_asked_for_and_remembered_for_the_call(directory: SqlDirectory) -> None:
    ann = ask(directory, phone=PHONE, display_name="Ann").user
    ben = ask(directory, phone=PHONE, display_name="Ben").user
    assert ann is not None
    assert ben is not None
    assert ann.user_id != ben.user_id
    undecided = ask(directory, phone=PHONE, call_id="CA1")
    assert undecided.user is None
    assert sorted(c.display_name or "" for c in undecided.candidates) == ["Ann", "Ben"]
    with pytest.raises(Conflict):
        resolve(directory, "acme", PHONE, None)
    chosen = ask(directory, phone=PHONE, call_id="CA1", choice=ben.user_id)
    assert chosen.user is not None
    assert chosen.user.user_id == ben.user_id
    assert ask(directory, phone=PHONE, call_id="CA1").user == chosen.user
    assert resolve(directory, "acme", "call:CA1", None) == chosen.user
    assert ask(directory, phone=PHONE, call_id="CA2").user is None
    assert ask(directory, phone=PHONE, display_name="ann").user == ann


def test_the_choice_for_a_call_can_be_corrected(directory: SqlDirectory) -> None:
    ann = ask(directory, phone=PHONE, display_name="Ann", call_id="CA1").user
    ben = ask(directory, phone=PHONE, display_name="Ben", call_id="CA1", new_person=True).user
    assert ann is not None
    assert ben is not None
    assert resolve(directory, "acme", "call:CA1", None) == ben
    assert ask(directory, choice=ann.user_id, call_id="CA1").user == ann
    assert resolve(directory, "acme", "call:CA1", None) == ann


def test_a_stronger_identity_decides_and_the_others_are_linked(directory: SqlDirectory) -> None:
    ann = ask(directory, phone=PHONE, email="ann@example.com").user
    ben = ask(directory, phone=PHONE, email="ben@example.com").user
    assert ann is not None
    assert ben is not None
    assert ann != ben
    assert ask(directory, phone=PHONE, email="ANN@example.com", voiceprint_id="vp-1").user == ann
    assert ask(directory, voiceprint_id="vp-1").user == ann
    both = ask(directory, voiceprint_id="vp-1", email="ben@example.com")
    assert both.user is None
    assert {c.user_id for c in both.candidates} == {ann.user_id, ben.user_id}


def test_one_word_of_a_name_is_not_another_persons(directory: SqlDirectory) -> None:
    ann = ask(directory, phone=PHONE, display_name="Anna Müller").user
    assert ask(directory, phone=PHONE, display_name="anna").user == ann
    assert ask(directory, phone=PHONE, display_name="Ben Müller").user != ann


def test_a_user_is_found_by_whatever_they_are_known_by(directory: SqlDirectory) -> None:
    ann = ask(directory, phone="(415) 555-2671", email="ann@example.com", voiceprint_id="vp", external_id="crm-7").user
    assert ann is not None
    for text in (ann.user_id, "+1 415 555 2671", "Ann@Example.com", "vp", "crm-7"):
        assert resolve(directory, "acme", text, "US") == ann
    with pytest.raises(NotFound):
        resolve(directory, "acme", "crm-8", "US")


def test_links_come_and_go_with_a_history(directory: SqlDirectory) -> None:
    register(directory, "acme", "ann", clock=clock)
    link(directory, "acme", "ann", normalise("phone", PHONE), clock)
    link(directory, "acme", "ann", normalise("phone", PHONE), clock)
    unlink(directory, "acme", "ann", Identity("phone", PHONE), clock)
    with pytest.raises(NotFound):
        unlink(directory, "acme", "ann", Identity("phone", PHONE), clock)
    with pytest.raises(NotFound):
        link(directory, "acme", "nobody", Identity("phone", PHONE), clock)
    with directory.read("acme") as people:
        assert [event.action for event in people.history("ann")] == ["created", "linked", "unlinked"]


def test_two_users_become_one(directory: SqlDirectory) -> None:
    ann = ask(directory, phone=PHONE).user
    also = ask(directory, email="ann@example.com").user
    assert ann is not None
    assert also is not None
    merged = merge(directory, "acme", also.user_id, ann.user_id, clock)
    assert merged == ann
    for text in ("ann@example.com", PHONE, also.user_id):
        assert resolve(directory, "acme", text, None) == ann
    assert register(directory, "acme", also.user_id, clock=clock) == ann
    with pytest.raises(Conflict):
        merge(directory, "acme", also.user_id, ann.user_id, clock)
    with directory.read("acme") as people:
        actions = [(e.user_id, e.action) for e in people.history(ann.user_id)]
        assert people.users(10) == [ann]
    assert (ann.user_id, "merged") in actions
    assert (also.user_id, "linked") in actions


def test_nobody_to_look_for_is_an_error(directory: SqlDirectory) -> None:
    with pytest.raises(Invalid):
        ask(directory)
    with pytest.raises(NotFound):
        ask(directory, choice="usr_unknown")
