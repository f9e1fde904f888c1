"""Words as people write them: e-mail is email, BA 2490 is BA2490, getUserName is get_user_name, and a telephone number
is the same in any notation.

A text is read into *pieces*, the smallest words, each with the *wholes* that it is part of: the other ways to write
that place. Both are searched for, so that either is found by the other.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

from memory.recall.languages import LONGEST_WORD, is_grammar

HUMP = "\x1f"
"""Put between the parts of one word, as between get, User and Name, or BA and 2490; a sign that no text has."""

_HYPHENS = "\\-\u2010\u2012\u2013\u2212"
_APOSTROPHES = "'’‘ʼ"
_LOWER, _UPPER = "a-zß-öø-ÿα-ωа-яё", "A-ZÀ-ÖØ-ÞΑ-ΩА-ЯЁ"
_HUMPS = re.compile(
    rf"(?<=[{_LOWER}])(?=[{_UPPER}])|(?<=[{_UPPER}])(?=[{_UPPER}][{_LOWER}])"
    r"|(?<=[^\W\d_])(?=\d)|(?<=\d)(?=[^\W\d_])"
)

BETWEEN = (
    rf"[{HUMP}{_HYPHENS}{_APOSTROPHES}&_]"
    r"|(?<=\d)[.,](?=\d\d\d(?!\d))"  # of a long number
    r"|(?<![^\W_][^\W_])(?<=[^\W\d_])\.(?=[^\W\d_](?![^\W_]))"  # of an abbreviation
    rf"|(?<=\d)(?!  |\. )[ ()./{_HYPHENS}]{{1,3}}(?=\d)"  # of a telephone or order number
)
"""What may stand between the words of a chain."""

_PART = re.compile(r"((?:[^\w\u0300-\u0dff]|_){0,4}+)((?:[^\W_]|[\u0300-\u0dff])++)")
_ONLY_PARTS = re.compile(r"(?:[^\W_]|[\u0300-\u0dff])++")
_MOST_PARTS = 8
_LONGEST_CHAIN = 512
"""Characters. What is longer is a table, a key or noise: its words are read, and no wholes looked for among them."""
_SHORTEST_JOINED, _SHORTEST_NUMBER, _LONGEST_NUMBER = 5, 7, 24
_NATIONAL, _INTERNATIONAL = 10, 16
"""Digits of a telephone number without its country's code, and with all that people write before it, at most."""

_COUNTRY = re.compile(r"[17]|2[07]|3[0-469]|4[013-9]|5[1-8]|6[0-6]|8[1246]|9[0-58]|\d{3}")
_ABROAD = re.compile(r"00(?=[1-9]\d{7})|011(?=[1-9]\d{9})")

Span = tuple[int, int, str]
"""The first part of a whole, the part behind its last, and the whole."""


class Piece(NamedTuple):
    """One of the smallest words. `begins`: the wholes that begin with it; `within`: all that it is part of; `word`:
    the one of them that has nothing between its parts, or ''."""

    text: str
    begins: tuple[str, ...] = ()
    within: tuple[str, ...] = ()
    word: str = ""


def humped(text: str) -> str:
    """`text`, its case kept, with marks between the parts of words."""
    return _HUMPS.sub(HUMP, text)


def pieces_of(chain: str) -> Sequence[Piece]:
    """The pieces of a chain: words with nothing but `BETWEEN` between them, after a plus or nothing."""
    if chain.isalpha() or (chain.isalnum() and len(chain) < _SHORTEST_NUMBER):
        return (Piece(chain),)
    if len(chain) > _LONGEST_CHAIN:
        words_alone = _ONLY_PARTS.findall(chain.replace(HUMP, ""))
        made = {word: Piece(word) for word in set(words_alone)}
        return [made[word] for word in words_alone]
    return _kept_pieces(chain) if len(chain) <= LONGEST_WORD else _pieces(chain)


@lru_cache(maxsize=8_192)
def _kept_pieces(chain: str) -> Sequence[Piece]:
    return _pieces(chain)


def _pieces(chain: str) -> Sequence[Piece]:
    gaps, parts = _parts(chain)
    if len(parts) == 1 and not parts[0].isdigit():
        return (Piece(parts[0]),)
    words = list(_words(gaps, parts))
    begins: list[dict[str, None]] = [{} for _ in parts]
    within: list[dict[str, None]] = [{} for _ in parts]
    for start, end, whole in (*words, *_compounds(gaps, parts), *_numbers(gaps, parts)):
        begins[start][whole] = None
        for at in range(start, end):
            within[at][whole] = None
    word = {at: whole for start, end, whole in words for at in range(start, end)}
    return tuple(Piece(part, tuple(begins[i]), tuple(within[i]), word.get(i, "")) for i, part in enumerate(parts))


def _parts(chain: str) -> tuple[list[str], list[str]]:
    """(what stands before each part, the parts). A word of too many parts is a key or a hash, and stays whole."""
    gaps: list[str] = []
    words: list[list[str]] = []
    for gap, part in _PART.findall(chain):
        if gap == HUMP and words:
            words[-1].append(part)
        else:
            gaps.append(gap)
            words.append([part])
    parts: list[str] = []
    before: list[str] = []
    for gap, word in zip(gaps, words, strict=True):
        single = sum(len(part) == 1 for part in word)
        kept = word if len(word) <= _MOST_PARTS and 2 * single <= max(len(word), 2) else ["".join(word)]
        parts += kept
        before += [gap, *[HUMP] * (len(kept) - 1)]
    return before, parts


def _words(gaps: Sequence[str], parts: Sequence[str]) -> Iterator[Span]:
    """getusername: what was written as one word and has parts."""
    for start, end in _stretches(len(parts), lambda at: gaps[at] == HUMP):
        if end - start > 1:
            yield start, end, "".join(parts[start:end])


def _compounds(gaps: Sequence[str], parts: Sequence[str]) -> Iterator[Span]:
    """email, obrien, inv202400317: what has no space in it."""

    def joined(at: int) -> bool:
        if gaps[at] in _APOSTROPHES:  # I'm, qu'il
            return not is_grammar(parts[at])
        if gaps[at] == ".":
            return len(parts[at]) == 3 or not parts[at].isdigit()
        return len(gaps[at]) == 1 and gaps[at] not in " ()/"

    for start, end in _stretches(len(parts), joined):
        whole = "".join(parts[start:end])
        if 1 < end - start <= _MOST_PARTS and len(whole) <= LONGEST_WORD:
            yield start, end, whole


def _numbers(gaps: Sequence[str], parts: Sequence[str]) -> Iterator[Span]:
    """2079460958: the digits that stand together."""

    def goes_on(at: int) -> bool:
        another = gaps[at] == " / " and parts[at].startswith("0")
        return parts[at].isdigit() and parts[at - 1].isdigit() and not another

    for start, end in _stretches(len(parts), goes_on):
        digits = "".join(parts[start:end])
        if digits.isdigit() and len(digits) <= _LONGEST_NUMBER:
            for whole in _notations(digits, gaps[start].endswith("+"), joined=end - start > 1):
                yield start, end, whole


def _notations(digits: str, abroad: bool, *, joined: bool) -> dict[str, None]:
    """Forms of a number that its other notations have as well; `abroad`: its country's code stands first."""
    found: dict[str, None] = {}
    if joined and len(digits) >= _SHORTEST_JOINED:
        found[digits] = None
    if len(digits) >= _SHORTEST_NUMBER:
        prefix = _ABROAD.match(digits)
        full = digits[prefix.end() if prefix else 0 :].lstrip("0")
        found[full] = None
        if _NATIONAL < len(full) <= _INTERNATIONAL:
            found[full[-_NATIONAL:].lstrip("0")] = None
        if abroad or prefix or (_NATIONAL < len(full) <= _INTERNATIONAL and digits[0] != "0"):
            found[_COUNTRY.sub("", full, count=1).lstrip("0")] = None
    return {form: None for form in found if len(form) >= _SHORTEST_JOINED}


def _stretches(size: int, goes_on: Callable[[int], bool]) -> Iterator[tuple[int, int]]:
    """The longest stretches of parts, each of which goes on from the one before."""
    start = 0
    for at in range(1, size + 1):
        if at == size or not goes_on(at):
            yield start, at
            start = at
