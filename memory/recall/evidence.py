"""What speaks for each message in a scope: raw figures, not yet weighed."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from memory.ports import Vector
from memory.recall.columns import Array
from memory.recall.corpus import Corpus, Mask, Slots
from memory.recall.query import Question
from memory.recall.rarest import Standing, standing, telling
from memory.recall.terms import Token, tokens_of, written

_K1 = 0.9
_B = 0.75


_Frequencies = Mapping[Token, tuple[Array, Array]]


@dataclass(frozen=True, slots=True)
class Beyond:
    """What is known of a scope whose candidates alone are looked at.

    `population`: how many messages it has; `held`: how many of them hold each token, at least `rarest.KNOWN` where it
    is no matter how many more.
    """

    population: int = 0
    held: Mapping[Token, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Evidence:
    """Arrays over `slots`, the messages of the scope; `session` numbers their sessions from 0.

    `bare` is `turn` without the names that the question has; `previous` the row of the message before, or -1;
    `rarest` how many of the question's rarest words the message has, as a share of the most; `stands` as in `rarest`.
    """

    slots: Slots
    session: Array
    cosine: Array
    later_cosine: Array
    has_vector: Mask
    window: Array
    turn: Array
    bare: Array
    previous: Slots
    rarest: Array
    stands: Array


def gather(
    corpus: Corpus, question: Question, vector: Vector | None, base: Mask, beyond: Beyond | None = None
) -> Evidence:
    """The evidence for each message in `base`; statistics are those of `base` alone.

    `beyond`: what is known of the rest where `base` holds only candidates.
    """
    beyond = beyond or Beyond()
    slots = np.flatnonzero(base)
    columns = corpus.columns
    _, session = np.unique(columns["session"][slots], return_inverse=True)
    if vector is None:
        first = later = np.zeros(len(slots), dtype=np.float32)
        has_vector = np.zeros(len(slots), dtype=np.bool_)
    else:
        near, far = corpus.cosines(vector)
        first, later, has_vector = near[slots], far[slots], columns["embedded"][slots]
    frequencies = {token: corpus.frequencies(token) for token in {*question.tokens, *question.bare_tokens}}
    population = max(beyond.population, len(slots))
    turn = _turn_scores(corpus, frequencies, question.tokens, slots, population)
    rarest, stands = _rarest_words(frequencies, question, turn > 0, slots, beyond)
    return Evidence(
        slots=slots,
        session=session,
        cosine=first,
        later_cosine=later,
        has_vector=has_vector,
        window=_window_scores(corpus, frequencies, question.bare_tokens, slots, population),
        turn=turn,
        bare=_turn_scores(corpus, frequencies, question.bare_tokens, slots, population),
        previous=_previous_rows(corpus, slots),
        rarest=rarest,
        stands=stands,
    )


def _rarest_words(
    frequencies: _Frequencies, question: Question, some_word: Mask, slots: Slots, beyond: Beyond
) -> Standing:
    holders = {t: frequencies[t][0][slots] > 0 for t in telling(question.bare_tokens, question.periods)}
    held = {t: max(int(np.count_nonzero(has)), beyond.held.get(t, 0)) for t, has in holders.items()}
    return standing(holders, held, max(beyond.population, len(slots)), some_word)


def _previous_rows(corpus: Corpus, slots: Slots) -> Slots:
    """The row of the message before each in its session; -1 where there is none in the scope."""
    rows = np.full(corpus.columns.size + 1, -1, dtype=np.int64)
    rows[slots] = np.arange(len(slots))
    return rows[corpus.columns["near"][slots][:, 0]]


def _window_scores(
    corpus: Corpus, frequencies: _Frequencies, tokens: tuple[Token, ...], slots: Slots, population: int
) -> Array:
    """BM25 of each message with the heads of its neighbours."""
    near = corpus.columns["near"][slots]
    heads = np.append(corpus.columns["head"], 0)
    lengths = corpus.columns["length"][slots] + heads[near].sum(axis=1)
    counted = []
    for token in tokens:
        whole, head = frequencies[token]
        counted.append(whole[slots] + head[near].sum(axis=1))
    return _bm25(counted, lengths, population)


def _turn_scores(
    corpus: Corpus, frequencies: _Frequencies, tokens: tuple[Token, ...], slots: Slots, population: int
) -> Array:
    """BM25 of each message by itself; its speaker's name counts as one of its words."""
    speakers = corpus.columns["speaker"][slots]
    names = {
        code: {t for token in tokens_of(written(name)) for t in token}
        for name, code in corpus.codes["speaker"].items()
        if name
    }
    counted = []
    for token in tokens:
        found = frequencies[token][0][slots]
        for code, terms in names.items():
            if not terms.isdisjoint(token):
                found = found + (speakers == code)
        counted.append(found)
    return _bm25(counted, corpus.columns["length"][slots] + 4, population)


def _bm25(counted: list[Array], lengths: Array, population: int) -> Array:
    total = np.zeros(len(lengths), dtype=np.float64)
    if not len(lengths):
        return total
    norm = _K1 * (1 - _B + _B * lengths / max(float(lengths.mean()), 1.0))
    for frequency in counted:
        having = np.count_nonzero(frequency)
        if having:
            idf = np.log(1 + (population - having + 0.5) / (having + 0.5))
            total += idf * frequency * (_K1 + 1) / (frequency + norm)
    return total
