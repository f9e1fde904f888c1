"""The user context: versions, history, expiry, scopes, inferred against stated, limits."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from itertools import count
from threading import Barrier, Thread
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from memory.errors import BackstoryError, Conflict, Invalid, NotFound
from memory.model import NewMessage, Owner, Session, UserContextEntry
from memory.ports import RecordStore
from memory.record import user_context

if TYPE_CHECKING:
    from tests.conftest import Ticking

Entries = Callable[..., Sequence[UserContextEntry]]


@pytest.fixture
def put(store: RecordStore, ana: Owner, ticking: "Ticking") -> Entries:
    return lambda values, **how: user_context.upsert(store, ana, values, clock=ticking, **how)


@pytest.fixture
def get(store: RecordStore, ana: Owner, ticking: "Ticking") -> Entries:
    return lambda keys=None, **how: user_context.get(store, ana, keys, clock=ticking, **how)


def test_a_value_comes_back_with_its_provenance(put: Entries, get: Entries) -> None:
    put({"currentPropertyId": "prop-123", "budget": {"max": 350_000, "currency": "EUR"}}, category="state")
    by_key = {e.key: e for e in get()}
    assert by_key["currentPropertyId"].value == "prop-123"
    assert by_key["budget"].value == {"max": 350_000, "currency": "EUR"}
    assert {(e.category, e.version, e.source, e.source_message_id) for e in get()} == {("state", 1, "stated", None)}


def test_every_change_is_in_the_history(put: Entries, get: Entries) -> None:
    put({"city": "Dublin"})
    put({"city": "Lisbon"})
    put({"city": None})
    assert get() == []
    history = get(include_history=True)
    assert [(e.version, e.value, e.deleted) for e in history] == [
        (1, "Dublin", False),
        (2, "Lisbon", False),
        (3, None, True),
    ]


def test_the_same_again_makes_no_version_and_keeps_category(put: Entries, get: Entries) -> None:
    put({"tone": "brief"}, category="preference")
    again = put({"tone": "brief"})
    assert (again[0].version, again[0].category) == (1, "preference")
    assert len(get(include_history=True)) == 1
    assert put({"tone": True})[0].version == 2
    assert put({"tone": 1})[0].version == 3, "true and 1 are different JSON"


def test_removing_what_is_not_there_changes_nothing(put: Entries, get: Entries) -> None:
    assert put({"nothing": None})[0].version == 0
    assert get(include_history=True) == []


def test_a_stale_version_is_refused_with_the_current_value_and_nothing_is_written(put: Entries, get: Entries) -> None:
    put({"city": "Dublin"})
    put({"city": "Lisbon"}, expected_versions={"city": 1})
    with pytest.raises(Conflict, match=r"'city' is at version 2, not 1: its value is \"Lisbon\""):
        put({"other": 1, "city": "Porto"}, expected_versions={"city": 1})
    assert [(e.key, e.value) for e in get()] == [("city", "Lisbon")]
    with pytest.raises(Conflict, match="has never been set"):
        put({"new": 1}, expected_versions={"new": 3})
    put({"new": 1}, expected_versions={"new": 0})
    put({"city": None})
    with pytest.raises(Conflict, match="it was removed"):
        put({"city": "x"}, expected_versions={"city": 2})
    assert put({"city": "x"}, expected_versions={"city": 0})[0].version == 4


def test_one_of_many_simultaneous_writers_wins_each_version(store: RecordStore, ana: Owner, ticking: "Ticking") -> None:
    user_context.upsert(store, ana, {"n": 0}, clock=ticking)
    start = Barrier(6)
    won: list[int] = []

    def write(number: int) -> None:
        start.wait()
        try:
            user_context.upsert(store, ana, {"n": number}, expected_versions={"n": 1}, clock=ticking)
            won.append(number)
        except Conflict as refused:
            assert "is at version 2, not 1" in str(refused)

    threads = [Thread(target=write, args=(n,)) for n in range(1, 7)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert user_context.get(store, ana, clock=ticking)[0].value == won[0]


def test_entries_expire_and_may_then_be_inferred_again(put: Entries, get: Entries, ticking: "Ticking") -> None:
    put({"visiting": "Oslo"}, expires_at=ticking.now + timedelta(days=2))
    assert get()[0].expires_at is not None
    ticking.advance(days=3)
    assert get() == []
    assert [e.value for e in get(include_history=True)] == ["Oslo"]
    assert put({"visiting": "Rome"}, source="inferred", confidence=0.6)[0].version == 2


def test_the_project_wins_and_global_fills_in(put: Entries, get: Entries) -> None:
    put({"language": "English", "name": "Ana"})
    put({"language": "Portuguese"}, project_id="lisbon")
    assert {e.key: e.value for e in get(project_id="lisbon")} == {"language": "Portuguese", "name": "Ana"}
    assert {e.key: e.value for e in get()} == {"language": "English", "name": "Ana"}
    assert {e.key: e.value for e in get(["language"], project_id="other")} == {"language": "English"}
    put({"language": None}, project_id="lisbon")
    assert {e.key: e.value for e in get(["language"], project_id="lisbon")} == {"language": "English"}


def test_inferred_is_marked_and_never_replaces_what_was_stated(put: Entries, get: Entries) -> None:
    put({"diet": "vegan"}, source="inferred", confidence=0.7)
    assert (get()[0].source, get()[0].confidence) == ("inferred", 0.7)
    put({"diet": "vegetarian"})
    with pytest.raises(Conflict, match="was stated explicitly"):
        put({"mood": "fine", "diet": "vegan"}, source="inferred", confidence=0.99)
    put({"diet": None})
    with pytest.raises(Conflict, match="it was removed"):
        put({"diet": "vegan"}, source="inferred", confidence=0.99)
    assert get() == []


def test_inferred_for_a_project_does_not_hide_what_was_stated_globally(put: Entries, get: Entries) -> None:
    put({"diet": "vegan"}, source="inferred", project_id="lisbon")
    put({"diet": "vegetarian"})
    assert [e.value for e in get(project_id="lisbon")] == ["vegetarian"]
    with pytest.raises(Conflict, match="was stated explicitly"):
        put({"diet": "keto"}, source="inferred", project_id="lisbon")
    put({"diet": "fish too"}, project_id="lisbon")
    assert [e.value for e in get(project_id="lisbon")] == ["fish too"]


def test_the_source_message_must_be_the_owners(
    store: RecordStore, put: Entries, get: Entries, talk: Callable[..., Session], ana: Owner
) -> None:
    talk(store, Owner("tenant", "bob"), [NewMessage("user", "mine", client_id="theirs")])
    talk(store, ana, [NewMessage("user", "I live in Faro", client_id="m-1")])
    with pytest.raises(NotFound):
        put({"city": "Faro"}, source_message_id="theirs")
    put({"city": "Faro"}, source_message_id="m-1")
    assert get()[0].source_message_id == "m-1"


def test_another_owner_sees_nothing(store: RecordStore, put: Entries, ticking: "Ticking") -> None:
    put({"secret": "x"})
    for other in (Owner("tenant", "bob"), Owner("elsewhere", "ana")):
        assert user_context.get(store, other, include_history=True, clock=ticking) == []


@pytest.mark.parametrize(
    ("values", "how", "says"),
    [
        ({}, {}, "is empty"),
        ({"": 1}, {}, "cannot be used"),
        ({"k" * 129: 1}, {}, "1 to 128"),
        ({"a\nb": 1}, {}, "printable"),
        ({"\u200b": 1}, {}, "cannot be used"),
        ({"k": float("nan")}, {}, "is not JSON"),
        ({"k": "\ud800"}, {}, "is not JSON"),
        ({"k": {1, 2}}, {}, "is not JSON"),
        ({"k": "x" * 9000}, {}, "takes 9002 bytes"),
        ({str(n): 1 for n in range(101)}, {}, "has 101 keys"),
        ({"k": 1}, {"category": "mood"}, "fact, preference, state"),
        ({"k": 1}, {"confidence": 1.5}, "from 0 to 1"),
        ({"k": 1}, {"source": "guessed"}, "stated, inferred"),
    ],
)
def test_what_cannot_be_kept_is_refused_in_one_sentence(
    put: Entries, get: Entries, values: dict[str, Any], how: dict[str, Any], says: str
) -> None:
    with pytest.raises(Invalid, match=says) as refused:
        put(values, **how)
    assert "\n" not in str(refused.value)
    assert get() == []


def test_an_expiry_in_the_past_and_a_full_scope_are_refused(
    put: Entries, get: Entries, ticking: "Ticking", monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Invalid, match="lies in the past"):
        put({"k": 1}, expires_at=ticking.now - timedelta(days=1))
    monkeypatch.setattr(user_context, "KEYS_IN_FORCE", 5)
    put({f"k{n}": n for n in range(5)})
    with pytest.raises(Invalid, match="at most 5"):
        put({"one more": 1})
    put({"k0": 2})
    put({"k0": None})
    put({"one more": 1})


NUMBERS = count()
KEYS = st.sampled_from(["a", "b", "c"])
VALUES = st.none() | st.integers(0, 3) | st.text("xy", max_size=2)


@given(changes=st.lists(st.tuples(KEYS, VALUES, st.booleans(), st.sampled_from([None, "p"])), max_size=25))
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_update_is_lost(
    store: RecordStore, ticking: "Ticking", changes: list[tuple[str, Any, bool, str | None]]
) -> None:
    """Whatever is written in whatever order: history has versions 1, 2, 3…, and the last one is in force."""
    owner = Owner("tenant", f"user-{next(NUMBERS)}")
    told: dict[tuple[str | None, str], Any] = {}
    for key, value, inferred, project in changes:
        before = told.get((project, key))
        try:
            entry = user_context.upsert(
                store,
                owner,
                {key: value},
                project_id=project,
                source="inferred" if inferred else "stated",
                clock=ticking,
            )[0]
        except BackstoryError:
            assert inferred
            stated = [e for e in (before, told.get((None, key))) if e is not None and e.source == "stated"]
            assert stated
            continue
        if entry.version:
            told[(project, key)] = entry
    for project in (None, "p"):
        with store.read(owner) as records:
            history = records.user_context_history(project)
        for key in "abc":
            versions = [e for e in history if e.key == key]
            assert [e.version for e in versions] == list(range(1, len(versions) + 1))
            if versions:
                assert versions[-1] == told[(project, key)]
