"""Which statement takes the place of an earlier one: "Actually, 1,600" of "My budget is 1,400".

A judgement on two texts alone, sentence by sentence: cues that something has changed, words in common, and another
value of the same kind. It can be wrong, so nothing is hidden by it: what comes later is put before what it corrects.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache, lru_cache

from memory.model import Message
from memory.recall.correction_cues import OBJECTS, PLAIN, STRONG, UNSURE, WEAK
from memory.recall.date_words import lexicon
from memory.recall.languages import is_function_word, plausible
from memory.recall.terms import Token, fold, tokens_of, written

_CHARACTERS, _SENTENCES = 1_500, 12
"""Of a message, at most, that is looked at: corrections are short."""

_SHORT = 512

_SENTENCE = re.compile(r"[^.!?;\n。！？]*+(?:[.!?;\n。！？](?=\d)[^.!?;\n。！？]*+)*+(?:[.!?;\n。！？]++|$)")
_NUMBER = re.compile(r"\d[\d.,:]*")
_LANGUAGES = ("english", "german", "french", "spanish", "portuguese", "italian", "dutch")
_KINDS = ("month", "weekday", "number", "unit", "day")

_CUE, _HINT, _NEAR = 0.8, 0.3, 0.7
"""What a strong cue and a weak one add; the share of it that counts for the sentences beside."""
_MATTER, _LEAST = 1.2, 6.0
"""For all of a sentence's words in common; sentences that say less than `_LEAST` count as if they said that much."""
_ASKED, _ELSEWHERE = 0.3, 0.4
"""What a word of the question in common adds, and what it takes off that nothing asked for is in the later message."""
_VALUE, _REPEATED = 0.3, 0.4
"""Another value of the same kind; with a cue, the earlier value said again ("not 4")."""
_OBJECTS_TO, _SETTLED = 0.5, 0.4
"""An answer to what was just said that begins with no; a statement where the earlier one was unsure."""
_ENOUGH = 1.1
"""Chosen on conversations of our own: each of these is a rough figure, and none does it alone."""

Weigh = Callable[[Token], float]
"""How much a token says: 0 for one that every message holds."""


@dataclass(frozen=True, slots=True)
class Sentence:
    """`terms`: what its content words are found by; `tokens` these words; `values` each as (kind, value)."""

    tokens: tuple[Token, ...]
    terms: frozenset[str]
    values: frozenset[tuple[str, str]]
    strong: bool
    weak: bool
    unsure: bool
    asks: bool


def read(text: str) -> tuple[Sentence, ...]:
    """The sentences of a text, as far as they matter here."""
    return _kept(text) if len(text) <= _SHORT else _read(text)


@lru_cache(maxsize=2_048)
def _kept(text: str) -> tuple[Sentence, ...]:
    return _read(text)


def _read(text: str) -> tuple[Sentence, ...]:
    found = (part.strip() for part in _SENTENCE.findall(text[:_CHARACTERS]))
    return tuple(_sentence(part) for part in [part for part in found if part][:_SENTENCES])


def _sentence(text: str) -> Sentence:
    pieces = written(text)
    languages = plausible([piece.text for piece in pieces])
    content = [piece for piece in pieces if not is_function_word(piece.text, languages)]
    matter = [piece for piece in content if not _says_little(piece.text)]
    tokens = tuple(dict.fromkeys(tokens_of(matter, languages)))
    plain = text.replace("’", "'").casefold()
    return Sentence(
        tokens=tokens,
        terms=frozenset(term for token in tokens for term in token),
        values=frozenset(_values(plain)),
        strong=STRONG.search(plain) is not None,
        weak=WEAK.search(plain) is not None,
        unsure=UNSURE.search(plain) is not None,
        asks=text.endswith(("?", "？")),
    )


def _says_little(word: str) -> bool:
    """Whether the word speaks of change or of time: that two sentences do says nothing about what they are about."""
    if word.isdigit():
        return len(word) < 3
    return (
        fold(word) in _marks()
        or STRONG.fullmatch(word) is not None
        or WEAK.fullmatch(word) is not None
        or word in PLAIN
    )


def _values(plain: str) -> Sequence[tuple[str, str]]:
    figures = [("number", figure.group().rstrip(".,:")) for figure in _NUMBER.finditer(plain)]
    named = []
    for word in set(plain.split()):
        mark = _marks().get(fold(word.strip(".,;:!?()\"'")), "")
        kind = mark.partition(":")[0]
        if kind in _KINDS and mark:
            named.append((kind, mark))
    return [*figures, *named]


@cache
def _marks() -> dict[str, str]:
    return {word: mark for language in _LANGUAGES for word, mark in lexicon(language).items()}


def comes_after(later: Message, earlier: Message) -> bool:
    """Whether `later` was said after `earlier`."""
    return _moment(later) > _moment(earlier) or (
        later.session_id == earlier.session_id and _moment(later) == _moment(earlier) and later.seq > earlier.seq
    )


def _moment(message: Message) -> datetime:
    return message.occurred_at


def replaces(
    later: Message,
    earlier: Message,
    new: Sequence[Sentence],
    old: Sequence[Sentence],
    weigh: Weigh,
    asked: frozenset[str] = frozenset(),
) -> float:
    """By how much more than is needed `later` seems to take the place of `earlier`; below 0: it does not.

    `asked`: the terms of a question that both may answer.
    """
    same = (later.role, later.speaker) == (earlier.role, earlier.speaker)
    beside = later.session_id == earlier.session_id and 0 < later.seq - earlier.seq <= 2
    strong = any(sentence.strong for sentence in new)
    objects = beside and strong and OBJECTS.match(later.content) is not None
    if not (same or objects) or _about_another(new, old, asked):
        return -1.0
    about = [sentence for sentence in old if not asked.isdisjoint(sentence.terms)] or old
    cue = max((_cue(sentence) for sentence in new), default=0.0)
    found = max(
        (_judged(a, b, max(_cue(a), _NEAR * cue), objects, weigh, asked) for a in new if not a.asks for b in about),
        default=-1.0,
    )
    elsewhere = bool(asked) and not objects and all(asked.isdisjoint(part.terms) for part in new)
    return found - _ENOUGH - (_ELSEWHERE if elsewhere else 0.0)


def _about_another(new: Sequence[Sentence], old: Sequence[Sentence], asked: frozenset[str]) -> bool:
    """Whether the question names a number or code that only the earlier message has."""
    codes = {term for part in old for term in part.terms & asked if len(term) > 2 and not term.isalpha()}
    return not codes <= {term for part in new for term in part.terms}


def _cue(sentence: Sentence) -> float:
    if sentence.asks:
        return 0.0
    return _CUE if sentence.strong else _HINT if sentence.weak else 0.0


def _judged(new: Sentence, old: Sentence, cue: float, objects: bool, weigh: Weigh, asked: frozenset[str]) -> float:
    common = [token for token in old.tokens if not new.terms.isdisjoint(token)]
    shared = sum(map(weigh, common))
    other = bool({kind for kind, _ in old.values} & {kind for kind, _ in new.values - old.values})
    again = bool(new.values & old.values)
    if not shared and not (objects and cue):
        return -1.0
    if not (new.strong or objects or (cue and (other or again))):
        return -1.0
    least = max(_LEAST, min(sum(map(weigh, new.tokens)), sum(map(weigh, old.tokens))))
    told = cue + _MATTER * min(1.0, shared / least)
    told += _ASKED if any(not asked.isdisjoint(token) for token in common) else 0.0
    told += (_VALUE if other else 0.0) + (_REPEATED if again else 0.0) + (_OBJECTS_TO if objects else 0.0)
    return told + (_SETTLED if old.unsure and not new.unsure else 0.0)
