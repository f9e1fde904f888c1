"""The summary without a model: what a person would keep of a conversation of our own making."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from inference.embedders import load_embedder
from inference.summarizers.extractive import ExtractiveSummarizer
from inference.summarizers.sentences import sentences, split
from memory.errors import Unavailable
from memory.model import Message, Summary
from memory.text.tokens import EstimatedTokens

COUNTER = EstimatedTokens()

CALL = [
    ("user", "Hi! I'm Ana Sousa, I called last week about a flat in Lisbon."),
    ("assistant", "Hello Ana, good to hear from you again! How can I help?"),
    ("user", "My budget is 350,000 euros and I need two bedrooms, because my mother moves in with me in June."),
    ("assistant", "Congratulations on the plan! There are three flats in Alvalade within that budget."),
    ("user", "Great. I am allergic to cats, so nothing with carpets please. Is the one on Rua do Norte still free?"),
    ("assistant", "I'm not sure, I'll check with the owner and get back to you by Friday."),
    ("user", "Thanks! Let's go with the visit on Tuesday at 10 am then."),
    ("assistant", "Wonderful. I'll send you the address and the floor plan tonight."),
    ("user", "Perfect, thank you so much!"),
    ("assistant", "You're welcome. Do you want me to book the notary as well?"),
]


@pytest.fixture
def call(message: Callable[..., Message]) -> list[Message]:
    return [message(seq, role, text) for seq, (role, text) in enumerate(CALL, 1)]


@pytest.fixture(params=["plain", "bundled"])
def summarizer(request: pytest.FixtureRequest) -> ExtractiveSummarizer:
    embedder = load_embedder("bundled") if request.param == "bundled" else None
    return ExtractiveSummarizer(embedder, COUNTER)


def made(draft: object, messages: list[Message], version: int = 1) -> Summary:
    return Summary("s", version, draft, messages[-1].seq, "extractive", messages[-1].occurred_at)  # type: ignore[arg-type]


def test_what_matters_is_kept_and_small_talk_is_not(summarizer: ExtractiveSummarizer, call: list[Message]) -> None:
    text = summarizer.summarize(None, call, 300).text
    assert text.startswith("Conversation of 7 May 2025 between the user and the assistant (messages 1 to 10):\n- [1] ")
    for kept in ("350,000 euros", "allergic to cats", "visit on Tuesday", "by Friday"):
        assert kept in text
    for left in ("Perfect, thank you", "You're welcome", "good to hear from you"):
        assert left not in text
    assert COUNTER.count(text) <= 300


def test_decisions_promises_questions_and_facts_carry_their_source(
    summarizer: ExtractiveSummarizer, call: list[Message]
) -> None:
    draft = summarizer.summarize(None, call, 300)
    assert [(f.text, f.message_id) for f in draft.decisions] == [
        ("The user: Let's go with the visit on Tuesday at 10 am then.", "m7")
    ]
    promises = {(c.who, c.what, c.by_when, c.message_id) for c in draft.commitments}
    assert ("the assistant", "check with the owner and get back to you by Friday", "by Friday", "m6") in promises
    assert ("the assistant", "send you the address and the floor plan tonight", "tonight", "m8") in promises
    asked = [f.text for f in draft.open_questions]
    assert asked[0].startswith(
        "The user: Is the one on Rua do Norte still free? Put off by the assistant: I'm not sure"
    )
    assert asked[1] == "The assistant: Do you want me to book the notary as well?"
    facts = {f.message_id: f.text for f in draft.facts}
    assert "two bedrooms" in facts["m3"]
    assert "allergic to cats" in facts["m5"]
    assert {"Lisbon", "Alvalade", "Rua do Norte"} <= set(draft.entities)


def test_later_words_settle_earlier_promises_and_questions(
    summarizer: ExtractiveSummarizer, call: list[Message], message: Callable[..., Message]
) -> None:
    first = made(summarizer.summarize(None, call, 300), call)
    later = [
        message(11, "user", "Yes, book the notary."),
        message(12, "assistant", "I have checked with the owner: the one on Rua do Norte is still free."),
        message(13, "assistant", "I've sent you the address and the floor plan."),
    ]
    draft = summarizer.summarize(first, later, 300)
    assert not [c for c in draft.commitments if "address" in c.what]
    assert not [q for q in draft.open_questions if "Rua do Norte" in q.text or "notary" in q.text]
    assert [f.message_id for f in draft.decisions] == ["m7"]


def test_folding_keeps_the_beginning_and_counts_on(
    summarizer: ExtractiveSummarizer, call: list[Message], message: Callable[..., Message]
) -> None:
    summary = made(summarizer.summarize(None, call, 300), call)
    for day in range(1, 12):
        trip = f"On trip {day} I visited flat number {day} in Porto with my brother."
        later = [message(10 + day * 2, "user", trip), message(11 + day * 2, "assistant", "Noted, thanks!")]
        later = [replace(m, occurred_at=m.occurred_at + timedelta(days=day)) for m in later]
        summary = made(summarizer.summarize(summary, later, 300), later, summary.version + 1)
    lines = summary.draft.text.split("\n")
    assert (
        lines[0] == "Conversation of 7 May 2025 to 18 May 2025 between the user and the assistant (messages 1 to 33):"
    )
    assert "Ana Sousa" in summary.draft.text
    assert "flat number 11" in summary.draft.text
    assert "(18 May 2025)" in lines[-1]
    assert COUNTER.count(summary.draft.text) <= 300
    assert len(lines) == len(set(lines))


def test_prose_of_another_producer_is_kept_in_front(
    summarizer: ExtractiveSummarizer, call: list[Message], message: Callable[..., Message]
) -> None:
    from memory.model import SummaryDraft

    own = Summary("s", 1, SummaryDraft("Ana wants a flat.\nShe is in a hurry."), 10, "agent", call[-1].occurred_at)
    text = summarizer.summarize(own, [message(11, "user", "My sister Rita lives in Faro since 2019.")], 200).text
    assert text.startswith(
        "Ana wants a flat.\nShe is in a hurry.\nSince then:\n- [11] The user (7 May 2025): My sister Rita"
    )
    again = Summary("s", 2, SummaryDraft(text), 11, "extractive", call[-1].occurred_at)
    text = summarizer.summarize(again, [message(12, "user", "I also own a garage in Braga.")], 200).text
    assert text.count("Since then:") == 1
    assert "Rita" in text
    assert "Braga" in text


@pytest.mark.parametrize("limit", [20, 40, 80, 160, 1000])
def test_the_text_keeps_to_its_limit(summarizer: ExtractiveSummarizer, call: list[Message], limit: int) -> None:
    assert COUNTER.count(summarizer.summarize(None, call, limit).text) <= limit


@pytest.mark.parametrize(
    "texts",
    [
        [""],
        ["\n \n"],
        ["ok"],
        ["👍"],
        ["```\ncode only\n```"],
        ["a" * 100_000],
        ["明日の午後、京都で大家さんに会います。契約は六月に切れます。"],
    ],
)
def test_nothing_breaks_it(summarizer: ExtractiveSummarizer, message: Callable[..., Message], texts: list[str]) -> None:
    draft = summarizer.summarize(None, [replace(message(n), content=t) for n, t in enumerate(texts, 1)], 200)
    assert draft.text.strip()


def test_tool_results_alone_still_make_a_summary(
    summarizer: ExtractiveSummarizer, message: Callable[..., Message]
) -> None:
    assert summarizer.summarize(None, [message(1, "tool", "{}"), message(2, "system", "x")], 100).text


def test_an_embedder_that_fails_is_done_without(call: list[Message]) -> None:
    class Broken:
        name, dimension = "broken", 3

        def embed_query(self, text: str) -> object:
            raise Unavailable("gone")

        embed_passages = embed_query

    broken = ExtractiveSummarizer(Broken(), COUNTER).summarize(None, call, 300)  # type: ignore[arg-type]
    assert broken == ExtractiveSummarizer(None, COUNTER).summarize(None, call, 300)


def test_sentences() -> None:
    assert split("Dr. Silva is in. Really? Yes! e.g. now. See [the plan](https://x.example/plan).") == [
        "Dr. Silva is in.",
        "Really?",
        "Yes!",
        "e.g. now.",
        "See the plan.",
    ]
    assert split("# Title\n- first **bold** point\n2. second") == ["Title", "first bold point", "second"]
    assert split("京都です。明日？はい！") == ["京都です。", "明日？", "はい！"]
    assert sentences([]) == []
