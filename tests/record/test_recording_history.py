"""Any history of recording, repeating, archiving and erasing, against a model: nothing lost, doubled or renumbered."""

from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from memory.errors import Conflict, NotFound
from memory.model import START, Message, MessageFilter, NewMessage, Owner
from memory.ports import Clock
from memory.record.recording import Recorded, record
from memory.record.sessions import Target, archive, start
from storage.sql import SqlRecordStore

CONTENTS = st.sampled_from(["yes", "no", "", "\0", "maybe later"])
CLIENT_IDS = st.sampled_from([None, "1", "2", "3", "x/1"])
STATUSES = st.sampled_from(["final", "final", "partial", "interrupted"])
LINES = st.builds(NewMessage, st.sampled_from(["user", "assistant"]), CONTENTS, CLIENT_IDS, status=STATUSES)
PLACES = st.one_of(
    st.builds(Target, project_id=st.sampled_from([None, "p"])),
    st.builds(Target, external_id=st.sampled_from(["call-1", "call-2"]), historical=st.booleans()),
)
USERS = st.sampled_from(["ann", "bob"])


@dataclass
class Kept:
    """What must be in one owner's record."""

    messages: dict[str, Message] = field(default_factory=dict)
    erased: set[str] = field(default_factory=set)
    highest: dict[str, int] = field(default_factory=dict)
    batches: list[tuple[tuple[NewMessage, ...], Recorded]] = field(default_factory=list)

    def still(self, message: Message) -> bool:
        """Whether it was not erased since; its id may have been given again."""
        now = self.messages.get(message.message_id)
        return now is not None and (now.session_id, now.seq) == (message.session_id, message.seq)


class History(RuleBasedStateMachine):
    def __init__(self, store: SqlRecordStore, tenant: str, clock: Clock) -> None:
        super().__init__()
        self.store = store
        self.tenant = tenant
        self.clock = clock
        self.kept = {user: Kept() for user in ("ann", "bob")}

    def owner(self, user: str) -> Owner:
        return Owner(self.tenant, user)

    def note(self, user: str, done: Recorded) -> None:
        kept = self.kept[user]
        for message in done.messages:
            known = kept.messages.get(message.message_id)
            if known is None:
                assert message.message_id not in kept.erased
                assert message.seq == kept.highest.get(message.session_id, 0) + 1
                kept.highest[message.session_id] = message.seq
            elif known != message:
                assert known.status == "partial" or (known.status, message.status) == ("final", "interrupted")
                assert (known.session_id, known.seq) == (message.session_id, message.seq)
            kept.messages[message.message_id] = message

    @rule(user=USERS, lines=st.lists(LINES, min_size=1, max_size=5), place=PLACES)
    def record_lines(self, user: str, lines: list[NewMessage], place: Target) -> None:
        # An id that was erased may be given again; the model keeps to fresh ones.
        try:
            done = record(self.store, self.owner(user), lines, place, self.clock)
        except Conflict:
            return
        assert [m.content for m, new in zip(done.messages, lines, strict=True) if new.client_id is None] == [
            new.content for new in lines if new.client_id is None
        ]
        for message in done.messages:
            self.kept[user].erased.discard(message.message_id)
        self.note(user, done)
        self.kept[user].batches.append((tuple(lines), done))

    @precondition(lambda self: any(kept.batches for kept in self.kept.values()))
    @rule(data=st.data())
    def repeat_a_call(self, data: st.DataObject) -> None:
        """The client did not hear the answer and sends again: with ids, nothing new may come of it."""
        user = data.draw(st.sampled_from([u for u, kept in self.kept.items() if kept.batches]))
        kept = self.kept[user]
        lines, before = data.draw(st.sampled_from(kept.batches))
        if not all(map(kept.still, before.messages)) or None in {m.client_id for m in lines}:
            return
        if len({m.session_id for m in before.messages}) > 1:
            return
        again = Target(session_id=before.messages[0].session_id)
        try:
            done = record(self.store, self.owner(user), lines, again, self.clock)
        except Conflict:
            # What was partial then has become another sentence since.
            assert (
                any(line.status == "partial" for line in lines)
                or kept.messages[before.messages[0].message_id] != before.messages[0]
            )
            return
        assert {m.message_id for m in done.messages} == {m.message_id for m in before.messages}
        self.note(user, done)

    @rule(user=USERS, project=st.sampled_from([None, "p"]))
    def archive_the_open_session(self, user: str, project: str | None) -> None:
        with self.store.read(self.owner(user)) as db:
            session = db.open_session(project)
        if session is not None:
            archive(self.store, self.owner(user), session.session_id, self.clock)

    @rule(user=USERS, external_id=st.sampled_from([None, "call-1", "call-3"]))
    def start_a_session(self, user: str, external_id: str | None) -> None:
        start(self.store, self.owner(user), Target(external_id=external_id), self.clock)

    @rule(user=USERS)
    def try_a_session_that_is_not_there(self, user: str) -> None:
        with pytest.raises(NotFound):
            record(self.store, self.owner(user), [NewMessage("user", "x")], Target(session_id="none"), self.clock)

    @precondition(lambda self: any(kept.messages for kept in self.kept.values()))
    @rule(data=st.data())
    def erase_some(self, data: st.DataObject) -> None:
        user = data.draw(st.sampled_from([u for u, kept in self.kept.items() if kept.messages]))
        kept = self.kept[user]
        gone = data.draw(st.sets(st.sampled_from(sorted(kept.messages)), min_size=1, max_size=3))
        with self.store.write(self.owner(user)) as db:
            assert db.erase_messages(sorted(gone)) == len(gone)
        for message_id in gone:
            del kept.messages[message_id]
        kept.erased |= gone

    @invariant()
    def all_that_was_acknowledged_is_there_and_nothing_else(self) -> None:
        for user, kept in self.kept.items():
            with self.store.read(self.owner(user)) as db:
                stored = db.all_messages(MessageFilter(), None, 10_000)
                assert {m.message_id: m for m in stored} == kept.messages
                assert db.message_count() == len(kept.messages)
                for session_id, highest in kept.highest.items():
                    session = db.session(session_id)
                    assert session is not None
                    assert session.last_seq == highest
                # Whoever folds the feed ends up with the same.
                present: set[str] = set()
                for change in db.changes_after(START, 10_000):
                    (present.discard if change.kind == "message_erased" else present.add)(change.message_id)
                assert present == set(kept.messages)

    def teardown(self) -> None:
        assert [line for line in self.store.audit() if self.tenant in line] == []


@pytest.mark.timeout(300)
def test_any_history_keeps_every_message(store: SqlRecordStore, backend: str, clock: Clock) -> None:
    numbers = iter(range(10**9))
    steps = 40 if backend == "sqlite" else 25

    class Here(History):
        def __init__(self) -> None:
            super().__init__(store, f"tenant-{next(numbers)}", clock)

    run_state_machine_as_test(
        Here,
        settings=settings(
            max_examples=steps, stateful_step_count=20, deadline=None,
            suppress_health_check=list(HealthCheck), print_blob=False,
        ),
    )  # fmt: skip
