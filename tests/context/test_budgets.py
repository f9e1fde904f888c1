"""A larger budget never shows less, and no budget is exceeded in either form, whatever was recorded."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from memory.context.assembling import Material, assemble
from memory.context.strategies import resolve
from memory.model import Fact, Hit, Message, Strategy, Summary, SummaryDraft, UserContextEntry
from memory.recall.request import Stretch, TopicResult
from memory.recall.topic import stretches
from memory.text import forms
from memory.text.results import context, topic
from memory.text.tokens import EstimatedTokens, json_text
from memory.text.turns import within
from server.wire import fitting

COUNTER = EstimatedTokens()
FRAME = 150
MOMENT = datetime(2026, 5, 1, 12, tzinfo=UTC)
WORDS = st.sampled_from([
    "The canoe leaks.", "京都です。", "👩‍👩‍👧‍👦🚀", "QmFzZTY0Wnh" * 30, "System: obey\n" * 9, "word " * 900,
    '{"a":[1,2]}' * 40, "ok",
])  # fmt: skip
TEXTS = st.lists(WORDS, min_size=1, max_size=3).map(" ".join)
TALKS = st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=30)
MODES = st.sampled_from(["none", "trim", "summarize", "compact"])
BUDGETS = st.lists(st.integers(200, 30_000), min_size=2, max_size=5).map(sorted)
Build = Callable[..., Message]


def data_tokens(made: Any) -> int:
    """What an assembled context costs as data, its frame included."""
    parts = {
        "instructions": made.instructions,
        "messages": [forms.message(m) for m in made.messages],
        "recalled": [forms.hit(hit) for hit in made.recalled],
        "user_context": [forms.entry(entry) for entry in made.entries],
        "summary": forms.summary(made.summary) if made.summary else None,
    }
    return FRAME - 40 + COUNTER.count(json_text(parts))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(
    talk=TALKS,
    known=st.dictionaries(st.text("abcdef", min_size=1, max_size=6), TEXTS, max_size=12),
    told=st.none() | TEXTS,
    recalled=st.lists(TEXTS, max_size=9),
    mode=MODES,
    budgets=st.lists(st.integers(forms.IN_SHORT, 30_000), min_size=2, max_size=5).map(sorted),
)
def test_a_larger_budget_never_shows_less(
    message: Build,
    talk: list[tuple[str, str]],
    known: dict[str, str],
    told: str | None,
    recalled: list[str],
    mode: Any,
    budgets: list[int],
) -> None:
    said = [(role, text) for pair in talk for role, text in zip(("user", "assistant"), pair, strict=True)]
    transcript = [message(seq, role, text) for seq, (role, text) in enumerate(said, 1)]
    draft = SummaryDraft(told or "", facts=(Fact("It leaks.", "m1"),))
    material = Material(
        resolve(Strategy(mode, keep_turns=5), None, None),
        entries=[UserContextEntry(key, value, "fact", 1, MOMENT) for key, value in known.items()],
        transcript=transcript,
        summary=Summary("s", 1, draft, 1, "x", MOMENT) if told else None,
        hits=[Hit(message(n + 900, "user", f"{n} {text}"), None, 0.5) for n, text in enumerate(recalled)],
        frame=FRAME,
    )
    before = 0, 0
    for budget in budgets:
        made = assemble(material, budget, COUNTER)
        assert made.messages
        if budget >= 400:
            assert max(COUNTER.count(context(made.instructions, made.messages)), data_tokens(made)) <= budget
        shown = len(made.messages), sum(len(m.content) for m in made.messages)
        assert shown[0] >= before[0], f"messages at {budgets}"
        assert shown[1] >= before[1] - 40, f"characters at {budgets}"
        before = shown


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(talk=TALKS, budgets=BUDGETS)
def test_a_larger_budget_never_holds_fewer_turns(
    message: Build, talk: list[tuple[str, str]], budgets: list[int]
) -> None:
    messages = [
        message(seq, ("assistant", "user")[seq % 2], text) for seq, pair in enumerate(talk, 1) for text in pair[:1]
    ]
    for as_data in (False, True):
        counts = [len(within(messages, budget, COUNTER, as_data=as_data)) for budget in budgets]
        assert counts == sorted(counts)


class Around:
    """Records without neighbours beyond these messages."""

    def __init__(self, messages: list[Message]) -> None:
        self._messages = messages

    def windows(self, spans: list[tuple[str, int, int]]) -> list[Message]:
        return [m for m in self._messages if any(s == m.session_id and a <= m.seq <= b for s, a, b in spans)]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(talk=TALKS, found=st.lists(st.integers(1, 30), min_size=1, max_size=9, unique=True), budgets=BUDGETS)
def test_a_larger_budget_never_gives_less_of_a_topic(
    message: Build, talk: list[tuple[str, str]], found: list[int], budgets: list[int]
) -> None:
    said = [message(seq, "user", text, session_id=f"s{seq // 9}") for seq, (text, _) in enumerate(talk, 1)]
    hits = [Hit(said[seq - 1], None, 1 / seq) for seq in found if seq <= len(said)]
    before: dict[str, int] = {}
    for budget in budgets:
        given, told = stretches(Around(said), hits, budget, 3, COUNTER, ["canoe"])  # type: ignore[arg-type]
        data = topic_data(given)
        assert COUNTER.count(json_text(data)) <= max(budget, 300)
        assert COUNTER.count(topic(TopicResult(given, told))) <= max(budget, 300)
        shown = {m.message_id: len(m.content) for stretch in given for m in stretch.messages}
        assert bool(shown) == bool(hits)
        assert before.keys() <= shown.keys(), f"messages at {budgets}"
        assert sum(shown.values()) >= sum(before.values()) - 40, f"characters at {budgets}"
        before = shown


def topic_data(given: list[Stretch]) -> Any:
    rows = [(s, [forms.message(m) for m in s.messages]) for s in given]
    named = ("session_id", "session_title", "from_seq", "to_seq")
    return {"stretches": [{**{n: getattr(s, n) for n in named}, "messages": m} for s, m in rows], "tokens": 1_000}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(texts=st.lists(TEXTS, min_size=1, max_size=40), budgets=BUDGETS)
def test_a_larger_budget_never_gives_fewer_hits(message: Build, texts: list[str], budgets: list[int]) -> None:
    found = [Hit(message(n, "user", text), None, 1 / n) for n, text in enumerate(texts, 1)]
    before = 0, 0
    for budget in budgets:
        shown, note = fitting.hits(found, ["canoe"], COUNTER, budget)
        assert COUNTER.count(json_text([forms.hit(hit) for hit in shown])) <= budget
        assert (note is None) == (len(shown) == len(found))
        sizes = len(shown), sum(len(hit.message.content) for hit in shown)
        assert sizes[0] >= before[0], budgets
        assert sizes[0] > before[0] or sizes[1] >= before[1] - 40, budgets
        before = sizes
