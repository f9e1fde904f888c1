"""Searching a history that is not in memory: candidates from the index and the record's tail, in a small corpus.

The same scoring reads it. All messages that hold a rare term of a question are candidates. How often a common one
occurs is known among the candidates alone, against the scope's count of messages, which leaves it a little too rare.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from memory.model import START, Message, MessageFilter, Owner, Position, SessionFilter
from memory.ports import Embedder, PassageIndex, RecordStore, Vector
from memory.recall.corpus import REACH, Corpus
from memory.recall.evidence import Beyond
from memory.recall.query import Question
from memory.recall.rarest import HANDFUL, KNOWN, telling
from memory.recall.request import scope_of
from memory.recall.terms import Token

_CANDIDATES = 100
_TAIL = 300

_LOOKED_UP = 60
"""Terms whose holders are looked up for one search; further ones, of many rewordings, count as common."""

log = logging.getLogger("backstory.recall")


@dataclass(frozen=True, slots=True)
class Candidates:
    """A corpus of candidates with their neighbours, the candidates themselves, and what is known of the rest."""

    corpus: Corpus
    ids: frozenset[str]
    beyond: Beyond


def candidates(
    store: RecordStore,
    index: PassageIndex | None,
    embedder: Embedder | None,
    owner: Owner,
    where: MessageFilter,
    asked: Sequence[tuple[Question, Vector | None]],
) -> Candidates:
    """What the index finds for the questions, and the owner's newest messages that it cannot know yet."""
    scope = scope_of(where)
    ids, held, reached = _from_index(index, owner, where, asked)
    with store.read(owner) as records:
        found = records.messages(ids)
        found.update((m.message_id, m) for m in records.unsettled_messages(reached, _TAIL) if scope.admits(m))
        around = records.windows(_spans(found.values()))
        population = records.message_count(SessionFilter(scope.scope, scope.project_id))
    corpus = Corpus(embedder.dimension if embedder is not None else 1)
    for message in around:
        corpus.put(message)
    if index is not None and embedder is not None and found:
        try:
            corpus.set_vectors(*index.vectors(owner, list(found)))
        except Exception as error:
            log.warning("The vectors could not be read: %s", type(error).__name__)
    return Candidates(corpus, frozenset(found), Beyond(population, held))


def _from_index(
    index: PassageIndex | None, owner: Owner, where: MessageFilter, asked: Sequence[tuple[Question, Vector | None]]
) -> tuple[list[str], Mapping[Token, int], Position]:
    """(message ids, how many messages hold each telling token, how far the keywords had been folded before).

    Nothing when the index fails.
    """
    if index is None:
        return [], {}, START
    found: dict[str, None] = {}
    held: dict[Token, int] = {}
    try:
        reached = index.position("keywords")
        for token, names in _holders(index, owner, where, [question for question, _ in asked]).items():
            held[token] = len(names) if names is not None else KNOWN
            if names is not None and len(names) <= HANDFUL:
                found.update(dict.fromkeys(names))
        for question, vector in asked:
            terms = list(dict.fromkeys(term for token in question.tokens for term in token))
            found.update((name, None) for name, _ in index.keyword_candidates(owner, where, terms, _CANDIDATES))
            if vector is not None:
                found.update((name, None) for name, _ in index.vector_candidates(owner, where, vector, _CANDIDATES))
    except Exception as error:
        log.warning("The index could not be searched: %s", type(error).__name__)
        return list(found), held, START
    return list(found), held, reached


def _holders(
    index: PassageIndex, owner: Owner, where: MessageFilter, questions: Sequence[Question]
) -> dict[Token, list[str] | None]:
    """Who holds each telling token, `KNOWN` of them or more where there are more; None where it was not looked up."""
    tokens = list(dict.fromkeys(t for question in questions for t in telling(question.bare_tokens, question.periods)))
    found: dict[Token, list[str] | None] = dict.fromkeys(tokens)
    looked_up = tokens[:_LOOKED_UP]
    found.update(zip(looked_up, index.holders(owner, scope_of(where), looked_up, KNOWN), strict=True))
    return found


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
