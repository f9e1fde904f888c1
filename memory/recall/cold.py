"""Searching a history that is not in memory: candidates from the index and the record's tail, in a small corpus.

The same scoring reads it. How often a term occurs is then known among the candidates alone, against the owner's count
of messages, which leaves rare terms right and common ones a little too rare.
"""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from memory.model import START, Message, MessageFilter, Owner, Position
from memory.ports import Embedder, PassageIndex, RecordStore, Vector
from memory.recall.corpus import REACH, Corpus
from memory.recall.query import Question

_CANDIDATES = 100
_TAIL = 300

log = logging.getLogger("backstory.recall")


@dataclass(frozen=True, slots=True)
class Candidates:
    """A corpus of candidates with their neighbours, the candidates themselves, and how many messages there are."""

    corpus: Corpus
    ids: frozenset[str]
    population: int


def candidates(
    store: RecordStore,
    index: PassageIndex | None,
    embedder: Embedder | None,
    owner: Owner,
    where: MessageFilter,
    asked: Sequence[tuple[Question, Vector | None]],
) -> Candidates:
    """What the index finds for the questions, and the owner's newest messages that it cannot know yet."""
    ids, reached = _from_index(index, owner, where, asked)
    with store.read(owner) as records:
        found = records.messages(ids)
        found.update((m.message_id, m) for m in records.unsettled_messages(reached, _TAIL) if where.admits(m))
        around = records.windows(_spans(found.values()))
        population = records.message_count()
    corpus = Corpus(embedder.dimension if embedder is not None else 1)
    for message in around:
        corpus.put(message)
    if index is not None and embedder is not None and found:
        try:
            corpus.set_vectors(*index.vectors(owner, list(found)))
        except Exception as error:
            log.warning("The vectors could not be read: %s", type(error).__name__)
    return Candidates(corpus, frozenset(found), population)


def _from_index(
    index: PassageIndex | None, owner: Owner, where: MessageFilter, asked: Sequence[tuple[Question, Vector | None]]
) -> tuple[list[str], Position]:
    """(message ids, how far both replicas had folded before); nothing when the index fails."""
    if index is None:
        return [], START
    found: dict[str, None] = {}
    try:
        reached = index.position("keywords")
        for question, vector in asked:
            terms = list(dict.fromkeys(term for token in question.tokens for term in token))
            found.update((name, None) for name, _ in index.keyword_candidates(owner, where, terms, _CANDIDATES))
            if vector is not None:
                found.update((name, None) for name, _ in index.vector_candidates(owner, where, vector, _CANDIDATES))
    except Exception as error:
        log.warning("The index could not be searched: %s", type(error).__name__)
        return list(found), START
    return list(found), reached


def _spans(messages: Iterable[Message]) -> list[tuple[str, int, int]]:
    """The windows around messages, those of one session that touch joined."""
    spans: list[tuple[str, int, int]] = []
    for session_id, seq in sorted((m.session_id, m.seq) for m in messages):
        low, high = max(1, seq - REACH), seq + REACH
        if spans and spans[-1][0] == session_id and spans[-1][2] >= low - 1:
            spans[-1] = (session_id, spans[-1][1], high)
        else:
            spans.append((session_id, low, high))
    return spans
