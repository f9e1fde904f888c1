"""What speaks for each message in a scope: raw figures, not yet weighed."""

from dataclasses import dataclass

import numpy as np

from memory.ports import Vector
from memory.recall.columns import Array
from memory.recall.corpus import Corpus, Mask, Slots
from memory.recall.query import Question
from memory.recall.terms import Token, tokens_of, words

_K1 = 0.9
_B = 0.75


@dataclass(frozen=True, slots=True)
class Evidence:
    """Arrays over `slots`, the messages of the scope; `session` numbers their sessions from 0.

    `bare` is `turn` without the names that the question has; `previous` the row of the message before, or -1.
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


def gather(
    corpus: Corpus, question: Question, vector: Vector | None, base: Mask, population: int | None = None
) -> Evidence:
    """The evidence for each message in `base`; statistics are those of `base` alone.

    `population`: how many messages there are where `base` holds only candidates.
    """
    slots = np.flatnonzero(base)
    columns = corpus.columns
    _, session = np.unique(columns["session"][slots], return_inverse=True)
    if vector is None:
        first = later = np.zeros(len(slots), dtype=np.float32)
        has_vector = np.zeros(len(slots), dtype=np.bool_)
    else:
        near, far = corpus.cosines(vector)
        first, later, has_vector = near[slots], far[slots], columns["embedded"][slots]
    return Evidence(
        slots=slots,
        session=session,
        cosine=first,
        later_cosine=later,
        has_vector=has_vector,
        window=_window_scores(corpus, question.bare_tokens, slots, population or len(slots)),
        turn=_turn_scores(corpus, question.tokens, slots, population or len(slots)),
        bare=_turn_scores(corpus, question.bare_tokens, slots, population or len(slots)),
        previous=_previous_rows(corpus, slots),
    )


def _previous_rows(corpus: Corpus, slots: Slots) -> Slots:
    """The row of the message before each in its session; -1 where there is none in the scope."""
    rows = np.full(corpus.columns.size + 1, -1, dtype=np.int64)
    rows[slots] = np.arange(len(slots))
    return rows[corpus.columns["near"][slots][:, 0]]


def _window_scores(corpus: Corpus, tokens: tuple[Token, ...], slots: Slots, population: int) -> Array:
    """BM25 of each message with the heads of its neighbours."""
    near = corpus.columns["near"][slots]
    heads = np.append(corpus.columns["head"], 0)
    lengths = corpus.columns["length"][slots] + heads[near].sum(axis=1)
    counted = []
    for token in tokens:
        whole, head = corpus.frequencies(token)
        counted.append(whole[slots] + head[near].sum(axis=1))
    return _bm25(counted, lengths, population)


def _turn_scores(corpus: Corpus, tokens: tuple[Token, ...], slots: Slots, population: int) -> Array:
    """BM25 of each message by itself; its speaker's name counts as one of its words."""
    speakers = corpus.columns["speaker"][slots]
    names = {
        code: {t for token in tokens_of(words(name)) for t in token}
        for name, code in corpus.codes["speaker"].items()
        if name
    }
    counted = []
    for token in tokens:
        found = corpus.frequencies(token)[0][slots]
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
            idf = np.log(1 + (max(population, len(lengths)) - having + 0.5) / (having + 0.5))
            total += idf * frequency * (_K1 + 1) / (frequency + norm)
    return total
