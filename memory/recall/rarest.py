"""The rarest words of a question: a message that has one of them comes before all messages that have none.

A number or a name that one message alone holds says more than any closeness in meaning: a thousand messages about
orders mean the same. A word that nobody said changes nothing.
"""

import re
from collections.abc import Mapping, Sequence

import numpy as np

from memory.recall.columns import Array
from memory.recall.date_bounds import Period
from memory.recall.terms import Token, words

HANDFUL = 10
"""Messages of a scope that may hold a code for it to be rare."""

_FEW = 3
"""Messages of a scope that may hold any other word for it to be rare."""

_APART = 10
"""How many times as many messages hold the question's next rarest word, for a word that is no code to come first."""

_COMMON, _COMMON_SHARE = 50, 0.1
"""So many messages of a scope, or that share of a small one, hold that next word at least."""

_LEAST = 50
"""Messages of a scope from which on a word that is no code can be told to be rare: among few, every word is.

Measured: with any word of one to three messages first, nDCG@10 on LoCoMo's conversations 0 to 4 fell by 1 to 3; with
words told to be rare among the thirty messages of each of our users with an assistant, there by 3.
"""

KNOWN = max(_COMMON, _APART * _FEW, HANDFUL + 1)
"""From this number on it does not matter how many messages hold a word."""

_MOST_LOOKED_AT = 24
"""Words of one question that may be its rarest: who pastes a page does not ask for one word of it."""

_CODE = re.compile(r"\A(?!\d{1,2}\D*$)(?=\D*\d).{3,}")
"""A word with a digit in it; one or two digits, alone or before letters (2nd, 30min), count things."""

_A_LITTLE = 0.001
"""More than scores are rounded by."""

Standing = tuple[Array, Array]

_WORDLESS, _SOME_WORD, _ONLY_ONE, _FIRST = range(4)
"""Where a message stands: it has no word of the question; some; one that no other has; one that puts it first."""


def telling(tokens: Sequence[Token], periods: Sequence[Period]) -> tuple[Token, ...]:
    """The tokens that may be a question's rarest, codes first; those of a time that it speaks of are none."""
    said = {word for period in periods for word in words(period.said)}
    named = [token for token in tokens if said.isdisjoint(token)]
    return tuple(sorted(named, key=lambda token: not _is_code(token))[:_MOST_LOOKED_AT])


def rarest(held: Mapping[Token, int], size: int) -> list[Token]:
    """Which of the tokens put their holders first, by how many of the scope's `size` messages hold each.

    Codes that a handful holds; other words that a few hold, where all that are not as rare are common.
    """
    apart = _told_apart(sorted(count for count in held.values() if count), size)
    return [token for token, count in held.items() if 0 < count <= (HANDFUL if _is_code(token) else apart)]


def _told_apart(counts: Sequence[int], size: int) -> int:
    """Up to how many messages may hold a word that is no code, for it to be told apart; 0: none is."""
    if size < _LEAST:
        return 0
    common = min(_COMMON, _COMMON_SHARE * size)
    for count, following in zip(counts, [*counts[1:], size], strict=False):
        if count <= _FEW and following >= max(_APART * count, common):
            return count
    return 0


def standing(holders: Mapping[Token, Array], held: Mapping[Token, int], size: int, some_word: Array) -> Standing:
    """(how many of the rarest words each message has, as a share of the most; where it stands, 0..3).

    `holders`: which messages hold each token; `held` and `size` as for `rarest`. Who holds a rare word that is no code
    comes first only with more than half of the question's words: else the word may be there by chance.
    """
    has = np.zeros(len(some_word))
    only_one = np.zeros(len(some_word), dtype=np.bool_)
    most = _shares_most(holders)
    for token in rarest(held, size):
        has += holders[token] if _is_code(token) else holders[token] & most
    for token, count in held.items():
        if count == 1 and size >= _LEAST:
            only_one |= holders[token]
    stands = np.select([has > 0, only_one, some_word], [_FIRST, _ONLY_ONE, _SOME_WORD], _WORDLESS)
    return has / max(float(has.max(initial=0.0)), 1.0), stands


def _shares_most(holders: Mapping[Token, Array]) -> Array:
    most: Array = 2 * sum(holders.values(), np.zeros(1)) > len(holders)
    return most


def first(scores: Array, stands: Array) -> Array:
    """`scores`, raised for messages that come first: all others are below them.

    The only message with some word is at least above those that have no word of the question.
    """
    raised = scores
    wordless, only_one, before = stands == _WORDLESS, stands == _ONLY_ONE, stands == _FIRST
    if wordless.any() and only_one.any():
        raised = np.where(only_one, np.maximum(raised, raised[wordless].max() + _A_LITTLE), raised)
    if before.any() and not before.all():
        gap = float(raised[~before].max() - raised[before].min()) + _A_LITTLE
        raised = np.where(before, raised + max(0.0, gap), raised)
    return raised


def _is_code(token: Token) -> bool:
    return any(_CODE.match(term) for term in token)
