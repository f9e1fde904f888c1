"""What was said later, and takes the place of what was said before, comes first; nothing is hidden by it."""

from collections.abc import Callable
from typing import Any

import pytest

from memory.model import MessageFilter, Owner
from memory.ports import Clock
from memory.recall import Recall, SearchRequest, TopicRequest
from storage.sql import SqlRecordStore

Say = Callable[..., list[str]]
FILLER = (
    "We had dinner at my aunt's place on Sunday.",
    "That sounds lovely.",
    "The train was late again this morning.",
    "How annoying.",
    "Our neighbour plays the trumpet at night.",
    "Have you talked to him?",
)
# (said first, said later, asked)
CORRECTED = {
    "English, a number": (
        "My budget for the kitchen is 4,000 euros.",
        "Actually, the kitchen budget is 5,500 euros now.",
        "What is my budget for the kitchen?",
    ),
    "English, a place": (
        "The workshop takes place in the old library.",
        "The library is closed for repairs, so the workshop has been moved to the town hall.",
        "Where does the workshop take place?",
    ),
    "English, a plan given up": (
        "We'll order the blue sofa from Larkin's.",
        "Forget the blue sofa, we're taking the armchairs instead.",
        "Which sofa do we order?",
    ),
    "German, a date": (
        "Der Zahnarzttermin ist am 12. März.",
        "Der Zahnarzttermin wurde verschoben, er ist jetzt am 19. März.",
        "Wann ist der Zahnarzttermin?",
    ),
    "German, what was meant": (
        "Mein Kennzeichen ist KA-RM 418.",
        "Korrektur: das Kennzeichen ist KA-RM 481, ich hatte mich vertan.",
        "Wie lautet mein Kennzeichen?",
    ),
    "French, a choice": (
        "Nous prenons le gîte de Saint-Malo pour les vacances.",
        "Finalement nous ne prenons plus le gîte de Saint-Malo, mais la maison de Cancale.",
        "Quel gîte prenons-nous pour les vacances ?",
    ),
    "Spanish, a time": (
        "La reunión con el arquitecto es a las 10.",
        "La reunión con el arquitecto se ha cambiado, al final es a las 16.",
        "¿A qué hora es la reunión con el arquitecto?",
    ),
}


@pytest.fixture
def recall(sqlite: SqlRecordStore, clock: Clock) -> Recall:
    return Recall(sqlite, None, None, clock)


def search(recall: Recall, owner: Owner, query: str, **how: Any) -> list[tuple[str, str | None]]:
    found = recall.search(owner, SearchRequest(query, **how)).hits
    return [(hit.message.content, hit.superseded_by) for hit in found]


@pytest.mark.parametrize("case", CORRECTED)
def test_a_correction_comes_before_what_it_corrects(recall: Recall, say: Say, owner: Owner, case: str) -> None:
    first, later, question = CORRECTED[case]
    lines = (first, "Noted.", *FILLER, later, "I have changed that.")
    ids = dict(zip(lines, say(*lines), strict=True))
    hits = recall.search(owner, SearchRequest(question)).hits
    told = [hit.message.content for hit in hits]
    assert told[0] == later
    assert first in told, "nothing is hidden"
    marks = {hit.message.content: hit.superseded_by for hit in hits}
    assert (marks[first], marks[later]) == (ids[later], None)
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)


@pytest.mark.parametrize("case", CORRECTED)
def test_what_comes_first_alone_is_not_marked(recall: Recall, say: Say, owner: Owner, case: str) -> None:
    first, _, question = CORRECTED[case]
    say(first, "Noted.", *FILLER)
    assert search(recall, owner, question)[0] == (first, None)


def test_in_a_later_conversation(recall: Recall, say: Say, owner: Owner) -> None:
    first, later, question = CORRECTED["English, a number"]
    say(first, "Noted.", *FILLER, external_id="monday")
    say(*FILLER, later, external_id="tuesday")
    assert search(recall, owner, question)[0] == (later, None)


def test_the_last_of_several_corrections_is_first(recall: Recall, say: Say, owner: Owner) -> None:
    say(
        "The meeting with Dr Osei is on Monday.",
        "Noted.",
        "The meeting with Dr Osei was moved to Tuesday.",
        "Fine.",
        *FILLER,
        "The meeting with Dr Osei has been moved again, it's on Friday now.",
    )
    told = [content for content, _ in search(recall, owner, "When is the meeting with Dr Osei?")]
    assert told[0].endswith("it's on Friday now.")


def test_two_things_of_the_same_kind_are_not_taken_for_a_correction(recall: Recall, say: Say, owner: Owner) -> None:
    say(
        "My sister Greta lives in Oslo.",
        "Nice.",
        *FILLER,
        "My brother Nils works for a bank in Turku and has three children.",
        "I see.",
    )
    assert search(recall, owner, "Where does my sister Greta live?")[0] == ("My sister Greta lives in Oslo.", None)


def test_another_users_words_correct_nothing(recall: Recall, say: Say, owner: Owner) -> None:
    first, later, question = CORRECTED["English, a number"]
    say(first, "Noted.", *FILLER)
    say(*FILLER, later, whose=Owner(owner.tenant_id, "somebody-else"))
    assert search(recall, owner, question)[0] == (first, None)


def test_a_filter_holds_for_corrections_too(recall: Recall, say: Say, owner: Owner) -> None:
    first, later, question = CORRECTED["English, a number"]
    say(first, "Noted.", *FILLER, external_id="one", project_id="house")
    say(*FILLER, later, external_id="two", project_id="boat")
    told = search(recall, owner, question, where=MessageFilter(project_id="house"))
    assert later not in [content for content, _ in told]


def test_the_stretches_around_a_topic_hold_the_correction(recall: Recall, say: Say, owner: Owner) -> None:
    first, later, question = CORRECTED["English, a place"]
    say(first, "Noted.", *FILLER, *FILLER, later, "Good to know.")
    found = recall.topic(owner, TopicRequest(question, max_tokens=300, window=1))
    assert later in [message.content for stretch in found.stretches for message in stretch.messages]
