"""Whatever is done with strategies, summaries, contexts and archives: the record stays as it was recorded."""

from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inference.summarizers.extractive import ExtractiveSummarizer
from memory.context.session_context import ContextRequest, SessionContexts
from memory.context.strategies import set_strategy
from memory.errors import BackstoryError
from memory.model import Message, NewMessage, Owner, Strategy, Summary, SummaryDraft
from memory.ports import RecordStore
from memory.recall import Recall
from memory.record import user_context
from memory.record.recording import record
from memory.record.sessions import Target, archive
from memory.summaries.summarizing import Summarizing
from memory.summaries.triggers import SummaryTriggers
from memory.text.tokens import EstimatedTokens

if TYPE_CHECKING:
    from tests.conftest import Ticking

NUMBERS = count()
MODES = ["none", "trim", "summarize", "compact"]
TEXT = st.text("ab ?.\n\x00京<|", max_size=80) | st.sampled_from(
    ["Let's go with Tuesday.", "I'll send it by Friday.", "Is it still free?", "I am Ana and I live in Faro."]
)
TURN = st.tuples(TEXT, TEXT, st.booleans())
KNOBS = st.fixed_dictionaries(
    {},
    optional={
        "mode": st.sampled_from([*MODES, None]),
        "keep_turns": st.none() | st.integers(0, 4),
        "summarize_after": st.none() | st.integers(1, 6),
        "max_tokens": st.none() | st.integers(1, 500),
        "keep_tool_results": st.none() | st.integers(0, 2),
    },
)
STEP = st.one_of(
    st.tuples(st.just("record"), st.lists(TURN, min_size=1, max_size=4)),
    st.tuples(st.just("strategy"), st.none() | KNOBS),
    st.tuples(st.just("agent strategy"), st.none() | KNOBS),
    st.tuples(st.just("context"), st.tuples(st.sampled_from([None, *MODES]), st.integers(1, 900), st.booleans())),
    st.tuples(st.just("summarize"), st.none() | st.integers(20, 200)),
    st.tuples(st.just("draft"), st.tuples(TEXT, st.none() | st.integers(0, 10))),
    st.tuples(st.just("archive"), st.none()),
    st.tuples(st.just("upsert"), st.dictionaries(st.sampled_from("ab"), TEXT | st.none(), min_size=1)),
)


@dataclass
class World:
    """The real thing over a store, and beside it what was recorded, as it was recorded."""

    store: RecordStore
    clock: "Ticking"
    owner: Owner
    session_id: str | None = None
    told: list[Message] = field(default_factory=list)
    summaries: list[Summary] = field(default_factory=list)

    def __post_init__(self) -> None:
        counter = EstimatedTokens()
        self.summarizing = Summarizing(
            self.store, [ExtractiveSummarizer(None, counter)], counter, self.clock, fold_tokens=150
        )
        self.triggers = SummaryTriggers(self.store, self.summarizing, counter)
        recall = Recall(self.store, None, None, self.clock)
        self.contexts = SessionContexts(self.store, recall, counter, self.clock, summarizing=self.summarizing)

    def record(self, turns: list[tuple[str, str, bool]]) -> None:
        messages = []
        for said, answer, with_tool in turns:
            messages.append(NewMessage("user", said))
            if with_tool:
                call: dict[str, Any] = {"tool_name": "look", "tool_call_id": f"c{next(NUMBERS)}"}
                messages.append(NewMessage("assistant", "", tool_arguments={"q": said}, **call))
                messages.append(NewMessage("tool", answer * 9, **call))
            messages.append(NewMessage("assistant", answer))
        done = record(self.store, self.owner, messages, Target(self.session_id), self.clock)
        self.session_id = done.session.session_id
        self.told += done.messages

    def step(self, kind: str, what: Any) -> None:
        if kind == "record" or self.session_id is None:
            self.record(what if kind == "record" else [("hello", "hi", False)])
        elif kind == "strategy":
            set_strategy(self.store, self.owner, "session", self.session_id, what)
        elif kind == "agent strategy":
            set_strategy(self.store, self.owner, "agent", "helper", what)
        elif kind == "context":
            mode, budget, voice = what
            purpose = "voice" if voice else "chat"
            strategy = Strategy(mode) if mode else None
            wanted = ContextRequest(self.session_id, None, "Faro", budget, strategy, purpose, "helper")  # type: ignore[arg-type]
            assert self.contexts.get(self.owner, wanted).tokens <= budget
        elif kind == "summarize":
            self.summarizing.summarize(self.owner, self.session_id, max_tokens=what)
        elif kind == "draft":
            text, covers = what
            self.summarizing.summarize(self.owner, self.session_id, draft=SummaryDraft(text), covers_to_seq=covers)
        elif kind == "archive":
            archive(self.store, self.owner, self.session_id, self.clock)
            self.triggers.archived(self.owner, self.session_id)
        else:
            user_context.upsert(self.store, self.owner, what, clock=self.clock)

    def check(self) -> None:
        if self.session_id is None:
            return
        with self.store.read(self.owner) as records:
            assert records.transcript(self.session_id) == self.told
            stored = records.summaries(self.session_id)
        assert [s.version for s in stored] == list(range(1, len(stored) + 1))
        assert stored[: len(self.summaries)] == self.summaries, "a version changed after it was stored"
        assert all(s.covers_to_seq <= len(self.told) for s in stored[len(self.summaries) :])
        self.summaries = stored


@given(steps=st.lists(STEP, min_size=1, max_size=14))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_nothing_but_recording_changes_the_record(
    store: RecordStore, ticking: "Ticking", steps: list[tuple[str, Any]]
) -> None:
    world = World(store, ticking, Owner("tenant", f"user-{next(NUMBERS)}"))
    for kind, what in steps:
        try:
            world.step(kind, what)
        except BackstoryError as refused:
            assert kind != "record", refused
            assert "\n" not in str(refused)
        world.check()
    assert store.audit() == []


def test_the_audit_would_notice(store: RecordStore, ticking: "Ticking") -> None:
    """The proof above is worth something only if a changed record does not pass."""
    from sqlalchemy import text

    world = World(store, ticking, Owner("tenant", "ana"))
    world.record([("one", "two", True)])
    assert store.audit() == []
    with store.database.engine.begin() as db:  # type: ignore[attr-defined]
        db.execute(text("UPDATE messages SET content = 'other' WHERE seq = 1"))
    assert len(store.audit()) == 1
