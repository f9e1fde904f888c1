"""A user merged into another brings everything along, whatever ids both have used, and the record stays whole."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from memory.context.strategies import set_strategy
from memory.errors import NotFound
from memory.model import START, Commitment, Fact, MessageFilter, NewMessage, Owner, Summary, SummaryDraft
from memory.people.api_tokens import issue, verify
from memory.people.identities import Claims, identify, link, merge, register, resolve
from memory.people.identity_values import normalise
from memory.record import user_context
from memory.record.recording import record
from memory.record.sessions import Target
from storage.sql import SqlRecordStore
from storage.sql.directory import SqlDirectory

ANN, OLD = Owner("acme", "ann"), Owner("acme", "old-ann")


@pytest.fixture
def directory(store: SqlRecordStore, clock: Any) -> SqlDirectory:
    made = SqlDirectory(store.database)
    for owner in (ANN, OLD):
        register(made, owner.tenant_id, owner.user_id, clock=clock)
    return made


def say(
    store: SqlRecordStore, owner: Owner, clock: Any, *texts: str, ids: list[str] | None = None, **target: Any
) -> str:
    new = [NewMessage("user", text, client_id=ids[n] if ids else None) for n, text in enumerate(texts)]
    return record(store, owner, new, Target(**target), clock).session.session_id


def join(directory: SqlDirectory, clock: Any) -> None:
    merge(directory, "acme", OLD.user_id, ANN.user_id, clock)


def everything(store: SqlRecordStore, owner: Owner) -> list[str]:
    with store.read(owner) as records:
        return [m.content for m in records.all_messages(MessageFilter(), None, 10_000)]


def folded(store: SqlRecordStore) -> dict[tuple[Owner, str], str]:
    """What a follower of the feed believes to be there, by (owner, message id)."""
    there: dict[tuple[Owner, str], str] = {}
    for change in store.feed(START, 100_000):
        key = (change.owner, change.message_id)
        if change.kind == "message_erased":
            there.pop(key, None)
        else:
            there[key] = change.session_id
    return there


def test_everything_goes_over(store: SqlRecordStore, directory: SqlDirectory, clock: Any) -> None:
    mine = say(store, ANN, clock, "mine")
    theirs = say(store, OLD, clock, "theirs one", "theirs two", external_id="T1")
    summary = Summary(theirs, 1, SummaryDraft("About theirs."), 2, "agent", clock())
    with store.write(OLD) as records:
        records.add_summary(summary)
    set_strategy(store, OLD, "session", theirs, {"mode": "trim"})
    set_strategy(store, OLD, "agent", "helper", {"mode": "compact"})
    user_context.upsert(store, OLD, {"colour": "blue"}, clock=clock)
    join(directory, clock)
    assert sorted(everything(store, ANN)) == ["mine", "theirs one", "theirs two"]
    assert everything(store, OLD) == []
    with store.read(ANN) as records:
        assert records.session_by_external_id("T1").session_id == theirs  # type: ignore[union-attr]
        assert records.latest_summary(theirs) == summary
        assert records.strategy("session", theirs).mode == "trim"  # type: ignore[union-attr]
        assert records.strategy("agent", "helper").mode == "compact"  # type: ignore[union-attr]
        assert records.session(mine) is not None
    assert [e.value for e in user_context.get(store, ANN, clock=clock)] == ["blue"]
    with store.read(OLD) as records:
        assert records.session(theirs) is None
        assert records.user_context(None) == []
    assert store.audit() == []


def test_the_feed_tells_of_the_move(store: SqlRecordStore, directory: SqlDirectory, clock: Any) -> None:
    say(store, ANN, clock, "mine", ids=["m1"])
    say(store, OLD, clock, "theirs", ids=["m1"])
    join(directory, clock)
    with store.read(ANN) as records:
        stored = {(ANN, m.message_id): m.session_id for m in records.all_messages(MessageFilter(), None, 100)}
    assert folded(store) == stored


def test_ids_that_both_have_used_are_told_apart(store: SqlRecordStore, directory: SqlDirectory, clock: Any) -> None:
    say(store, ANN, clock, "mine", ids=["m1"], external_id="call")
    theirs = say(store, OLD, clock, "theirs", "more", ids=["m1", "m2"], external_id="call")
    draft = SummaryDraft("s", facts=(Fact("f", "m1"),), commitments=(Commitment("c", message_id="m2"),))
    with store.write(OLD) as records:
        records.add_summary(Summary(theirs, 1, draft, 2, "agent", clock()))
    user_context.upsert(store, OLD, {"k": 1}, source_message_id="m1", clock=clock)
    join(directory, clock)
    with store.read(ANN) as records:
        messages = {m.content: m for m in records.all_messages(MessageFilter(), None, 10)}
        kept = records.latest_summary(theirs)
        assert kept is not None
        assert kept.draft.facts[0].message_id == messages["theirs"].message_id != "m1"
        assert kept.draft.commitments[0].message_id == "m2" == messages["more"].message_id
        assert records.user_context(None)[0].source_message_id == messages["theirs"].message_id
        assert records.session_by_external_id("call").session_id == messages["mine"].session_id  # type: ignore[union-attr]
        assert messages["theirs"].client_id == "m1"
    assert store.audit() == []


def test_what_was_stated_last_holds_and_every_version_is_kept(
    store: SqlRecordStore, directory: SqlDirectory, clock: Any
) -> None:
    user_context.upsert(store, ANN, {"city": "Rome"}, clock=clock)
    user_context.upsert(store, OLD, {"city": "Oslo", "pet": "cat"}, clock=clock)
    user_context.upsert(store, OLD, {"city": "Kyiv"}, clock=clock)
    user_context.upsert(store, ANN, {"city": "Bern"}, source="stated", clock=clock)
    user_context.upsert(store, OLD, {"food": "soup"}, source="inferred", confidence=0.5, clock=clock)
    user_context.upsert(store, ANN, {"food": "bread"}, clock=clock)
    join(directory, clock)
    now = {e.key: e.value for e in user_context.get(store, ANN, clock=clock)}
    assert now == {"city": "Bern", "pet": "cat", "food": "bread"}
    history = user_context.get(store, ANN, ["city"], include_history=True, clock=clock)
    assert [(e.version, e.value) for e in history] == [(1, "Rome"), (2, "Oslo"), (3, "Kyiv"), (4, "Bern")]
    user_context.upsert(store, ANN, {"city": "Paris"}, expected_versions={"city": 4}, clock=clock)


def test_erased_numbers_stay_accounted_for(store: SqlRecordStore, directory: SqlDirectory, clock: Any) -> None:
    say(store, OLD, clock, "one", "two", "three", ids=["a", "b", "c"])
    with store.write(OLD) as records:
        assert records.erase_messages(["b"]) == 1
    join(directory, clock)
    assert store.audit() == []
    assert everything(store, ANN) == ["one", "three"]


def test_tokens_and_identities_go_over(store: SqlRecordStore, directory: SqlDirectory, clock: Any) -> None:
    text, _ = issue(directory, OLD, ["read"], lifetime=timedelta(days=900), clock=clock)
    for owner in (ANN, OLD):
        link(directory, "acme", owner.user_id, normalise("phone", "+4930123456"), clock)
    link(directory, "acme", OLD.user_id, normalise("email", "old@example.com"), clock)
    join(directory, clock)
    found = verify(directory, text, clock)
    assert found is not None
    assert found.owner == ANN
    for name in ("+4930123456", "old@example.com", OLD.user_id):
        assert resolve(directory, "acme", name, None).user_id == ANN.user_id
    claims = Claims(phone="+4930123456")
    assert identify(directory, "acme", claims, may_write=True, region=None, clock=clock).candidates == ()
    with directory.read("acme") as people:
        actions = {event.action for event in people.history(ANN.user_id)}
    assert actions == {"created", "linked", "merged"}


def test_a_merge_that_fails_changes_nothing(
    store: SqlRecordStore, directory: SqlDirectory, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    say(store, OLD, clock, "theirs")
    with pytest.raises(NotFound):
        merge(directory, "acme", OLD.user_id, "nobody", clock)
    with pytest.raises(NotFound):
        merge(directory, "umbrella", OLD.user_id, ANN.user_id, clock)

    def broken(*_: object) -> None:
        raise RuntimeError

    monkeypatch.setattr("storage.sql.merging._Move.clear", broken)
    with pytest.raises(RuntimeError):
        join(directory, clock)
    assert everything(store, OLD) == ["theirs"]
    assert everything(store, ANN) == []
    assert resolve(directory, "acme", OLD.user_id, None).user_id == OLD.user_id


LINES = st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from("123"), st.sampled_from(["x", "y"])), max_size=12)


@given(LINES)
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_two_records_become_one_whole(store: SqlRecordStore, clock: Any, lines: list[tuple[str, str, str]]) -> None:
    from memory.errors import Conflict

    made = SqlDirectory(store.database)
    pair = [
        Owner("acme", register(made, "acme", f"{side}-{clock().isoformat()}", clock=clock).user_id) for side in "ab"
    ]
    count = 0
    for side, name, session in lines:
        try:
            say(store, pair["ab".index(side)], clock, f"{side} {name}", ids=[name], external_id=session)
        except Conflict:
            continue
    count = sum(len(everything(store, owner)) for owner in pair)
    merge(made, "acme", pair[0].user_id, pair[1].user_id, clock)
    assert len(everything(store, pair[1])) == count
    assert everything(store, pair[0]) == []
    assert store.audit() == []
    there = {key for key in folded(store) if key[0] in pair}
    with store.read(pair[1]) as records:
        assert there == {(pair[1], m.message_id) for m in records.all_messages(MessageFilter(), None, 1000)}
