"""Words as people write them: one word, two words or a hyphen, a number in any notation, letters that nobody sees."""

from collections.abc import Callable
from itertools import permutations

import pytest

from memory.model import Owner
from memory.ports import Clock
from memory.recall import Recall, SearchRequest
from memory.recall.terms import query_tokens, tokens, written
from storage.sql import SqlRecordStore

ALIKE = (
    ("+44 (0)20 7946 0958", "020 79460958", "02079460958", "+442079460958", "0044 20 7946 0958", "(020) 7946-0958"),
    ("+1 (415) 555-2671", "415.555.2671", "14155552671", "001 415 555 2671", "+१ ४१५ ५५५ २६७१"),
    ("+49 30 / 123 456", "030123456", "030 12-34-56", "+49 (0)30 123456"),
    ("٠٢٠ ٧٩٤٦ ٠٩٥٨", "０２０－７９４６－０９５８", "+442079460958"),
    ("INV-2024-00317", "INV202400317", "inv 2024 00317", "INV/2024/00317", "INV_2024_00317"),
    ("e-mail", "email", "E\u2011Mail"),
    ("re-entries", "reentry"),
    ("BA 2490", "BA2490", "ba-2490"),
    ("O'Brien", "OBrien", "O’Brien's", "obrien"),
    ("Anne-Marie", "AnneMarie", "annemarie", "Anne\u2060Marie"),
    ("getUserName", "get_user_name", "getusername", "get-user-name"),
    ("to-do", "todo"),
    ("U.S.A.", "USA"),
    ("12,500", "12500", "12'500"),
    ("می\u200cخواهم", "میخواهم"),
    ("Whis\u200bkers", "whiskers", "Whis\u00adkers", "\u202bWhiskers\u202c"),
)


def meet(said: str, asked: str) -> bool:
    """Whether `said` has most of what is looked for: a word of parts is looked for as it stands as well."""
    terms = {term for token in tokens(said) for term in token}
    wanted = query_tokens(asked, ())
    return 2 * sum(not terms.isdisjoint(token) for token in wanted) > len(wanted)


@pytest.mark.parametrize("forms", ALIKE, ids=lambda forms: str(forms[-1]).encode("ascii", "replace").decode())
def test_each_form_is_found_by_every_other(forms: tuple[str, ...]) -> None:
    assert [pair for pair in permutations(forms, 2) if not meet(*pair)] == []


@pytest.mark.parametrize(
    ("said", "asked"),
    [
        ("the function getUserName fails", "user name"),
        ("the column user_name is empty", "name of user"),
        ("we spoke on YouTube", "youtube"),
        ("we wrote an XMLHttpRequest", "http request"),
        ("Anne-Marie called", "marie"),
        ("the landlord sent an e-mail", "mail"),
        ("flight BA2490 was late", "flight 2490"),
    ],
)
def test_parts_are_found(said: str, asked: str) -> None:
    terms = {term for token in tokens(said) for term in token}
    assert all(not terms.isdisjoint(token) for token in query_tokens(asked, ("english",)))


@pytest.mark.parametrize(
    "said", ["I'm here, don't go", "qu'il n'est pas là", "in 2023. 15 of them", "a1b2c3d4e5", "1.5"]
)
def test_what_belongs_to_different_words_has_no_whole(said: str) -> None:
    assert [whole for piece in written(said) for whole in piece.within] == []


@pytest.mark.parametrize(
    "said", ["a-b" * 5_000, "aB" * 5_000, "12 " * 5_000, "x1" * 5_000, "a_bC-d'e.f 1,234 5-6 " * 700]
)
def test_a_place_has_few_terms(said: str) -> None:
    assert max(len(token) for token in tokens(said)) <= 60


def test_the_number_meant_comes_first_among_many_like_it(
    sqlite: SqlRecordStore, owner: Owner, clock: Clock, say: Callable[..., list[str]]
) -> None:
    others = [f"Call back on +44 20 7{n:03d} {9999 - 7 * n:04d} about the delivery" for n in range(0, 600, 10)]
    ids = say(*others[:30], "Call Walter back on +44 20 7946 0958 about the delivery", *others[30:])
    recall = Recall(sqlite, None, None, clock)
    for asked in ALIKE[0]:
        assert recall.search(owner, SearchRequest(f"who has {asked}?")).hits[0].message.message_id == ids[30], asked
