"""The use case: a question in, messages out, best first."""

import logging
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, tzinfo
from heapq import nsmallest

import numpy as np

from memory.model import Hit, Interpreted, MessageFilter, Owner
from memory.names import named
from memory.ports import Clock, Embedder, PassageIndex, RecordStore, TokenCounter, Vector
from memory.recall.cold import candidates
from memory.recall.columns import Array
from memory.recall.corpus import Corpus, Mask
from memory.recall.evidence import Beyond, gather
from memory.recall.hot import Entry, HotCorpora
from memory.recall.query import Question
from memory.recall.ranking import scene, score, spoken_for
from memory.recall.rarest import first
from memory.recall.request import (
    SearchRequest,
    SearchResult,
    TopicRequest,
    TopicResult,
    bounded,
    checked_limit,
    checked_queries,
    scope_of,
)
from memory.recall.reranking import TOP, Reranker, reranked
from memory.recall.superseding import AMONG, Ties, in_order
from memory.recall.topic import MOST_HITS, stretches
from memory.recall.understanding import interpreted, understood
from memory.recall.variety import Ranked, varied
from memory.recall.weights import weights_for
from memory.text.excerpts import words_of
from memory.text.tokens import EstimatedTokens

_HOT_BYTES = 256 << 20
_HOT_MESSAGES = 60_000
_SPARE = 20
"""Messages read back beyond the limit, in case some were erased in the meantime."""

_Asked = Sequence[tuple[Question, Vector | None]]
log = logging.getLogger("backstory.recall")


@dataclass(frozen=True, slots=True)
class _Found:
    """What a question found, how it was understood, and what is needed to look for corrections."""

    ranked: Ranked
    told: Interpreted
    where: MessageFilter
    ties: Ties
    asked: frozenset[str]


class Recall:
    """Search over one record and its index; safe for threads. Without index or embedder it goes by keywords.

    `zone` is where dates in words ("yesterday") are meant.
    """

    def __init__(
        self,
        store: RecordStore,
        index: PassageIndex | None,
        embedder: Embedder | None,
        clock: Clock,
        *,
        zone: tzinfo = UTC,
        counter: TokenCounter | None = None,
        reranker: Reranker | None = None,
        weights: Mapping[str, float] | None = None,
        hot_bytes: int = _HOT_BYTES,
        hot_messages: int = _HOT_MESSAGES,
    ) -> None:
        self._store = store
        self._index = index
        self._embedder = embedder
        self._clock = clock
        self._zone = zone
        self._counter = counter
        self._reranker = reranker
        self._weights = dict(weights) if weights is not None else None
        self._hot = HotCorpora(
            store,
            index,
            embedder,
            most_bytes=hot_bytes,
            most_messages=hot_messages if index is not None else 2**62,
        )

    def search(self, owner: Owner, request: SearchRequest) -> SearchResult:
        """The messages that answer best. Errors: Invalid for an empty query and for values out of range."""
        limit = checked_limit(request.limit)
        found = self._ranked(owner, request)
        hits = self._corrected(owner, found, limit)
        if self._reranker is not None:
            hits = reranked(self._reranker, request.query, hits[: max(limit, TOP)])
        return SearchResult(hits[:limit], found.told)

    def topic(self, owner: Owner, request: TopicRequest) -> TopicResult:
        """The stretches of conversation around a topic, within the token budget. Errors: as `search`."""
        asked = SearchRequest(request.topic, where=request.where, days_back=request.days_back)
        ranked = self._ranked(owner, asked)
        hits = self._corrected(owner, ranked, MOST_HITS)[:MOST_HITS]
        with self._store.read(owner) as records:
            words = words_of(request.topic)
            found, tokens = stretches(records, hits, request.max_tokens, request.window, self._tokens(), words)
        return TopicResult(found, tokens, ranked.told)

    def forget(self) -> None:
        """Forgets what it keeps of the record; the next search reads it anew."""
        self._hot.clear()

    def _tokens(self) -> TokenCounter:
        if self._counter is None:
            self._counter = EstimatedTokens()
        return self._counter

    def _corrected(self, owner: Owner, found: "_Found", limit: int) -> list[Hit]:
        """At least `limit` hits, as far as there are so many, in the light of what was said later."""
        hits = self._read_back(owner, found.where, found.ranked, max(limit, AMONG, TOP if self._reranker else 0))

        def read_back(ids: Sequence[str]) -> Mapping[str, Hit]:
            others = self._read_back(owner, found.where, [(each, 0.0) for each in ids], len(ids)) if ids else []
            return {hit.message.message_id: hit for hit in others}

        return in_order(hits, found.ties, found.asked, read_back)

    def _ranked(self, owner: Owner, request: SearchRequest) -> "_Found":
        texts = checked_queries(request.query, request.queries)
        now = self._clock()
        where = bounded(request.where, request.days_back, now)
        local = now.astimezone(self._zone)
        entry = self._hot.current(owner)
        names, languages = self._known(owner, where, entry)
        questions = [understood(text, names, languages, local, where) for text in texts]
        asked = [(question, self._embedded(question.bare)) for question in questions]
        told = interpreted(questions[0], where)
        if entry is not None:
            with entry.lock:
                ranked = self._scored(entry.corpus, where, asked)
            ties = Ties(entry.corpus, where, entry.lock)
        else:
            small = candidates(self._store, self._index, self._embedder, owner, where, asked)
            ranked = self._scored(small.corpus, where, asked, small.ids, small.beyond)
            ties = Ties(small.corpus, where, nullcontext())
        terms = frozenset(term for question in questions for token in question.bare_tokens for term in token)
        return _Found(ranked, told, where, ties, terms)

    def _known(self, owner: Owner, where: MessageFilter, entry: Entry | None) -> tuple[list[str], list[str]]:
        """(participants in scope, languages that messages are in)."""
        if entry is None:
            with self._store.read(owner) as records:
                return [named(name) for name in records.participants(where.project_id)], []
        with entry.lock:
            corpus = entry.corpus
            return corpus.names(corpus.mask(scope_of(where))), list(corpus.languages)

    def _embedded(self, text: str) -> Vector | None:
        if self._embedder is None or self._index is None:
            return None
        try:
            return self._embedder.embed_query(text)
        except Exception as error:
            log.warning("The query could not be embedded, keywords alone are used: %s", type(error).__name__)
            return None

    def _scored(
        self,
        corpus: Corpus,
        where: MessageFilter,
        asked: _Asked,
        only: frozenset[str] | None = None,
        beyond: Beyond | None = None,
    ) -> Ranked:
        base, admitted = corpus.mask(scope_of(where)), corpus.mask(where)
        slots = np.flatnonzero(base)
        if not len(slots):
            return []
        weights = self._weights_for(asked)
        looked = [_looked_at(corpus, base, *pair, beyond, weights) for pair in asked]
        scores = np.max([score for score, _, _ in looked], axis=0)
        keep = admitted[slots] & np.any([speaks for _, speaks, _ in looked], axis=0)
        stands = np.zeros(corpus.columns.size)
        stands[slots] = np.max([places for _, _, places in looked], axis=0)
        if only is not None:
            keep &= np.fromiter((corpus.ids[slot] in only for slot in slots), dtype=np.bool_, count=len(slots))
        slots = slots[keep]
        ranked = _best(corpus, slots, first(scores[keep], stands[slots]))
        if not asked[0][0].gathers:
            return ranked
        sessions = corpus.columns["session"]
        ranked = varied(ranked, lambda name: int(sessions[corpus.slots[name]]), weights.get("variety", 0.0))
        slots = np.array([corpus.slots[name] for name, _ in ranked], dtype=np.int64)
        return _best(corpus, slots, first(np.array([value for _, value in ranked]), stands[slots]))

    def _weights_for(self, asked: _Asked) -> Mapping[str, float]:
        if self._weights is not None:
            return self._weights
        return weights_for(self._embedder.name if self._embedder is not None and asked[0][1] is not None else None)

    def _read_back(self, owner: Owner, where: MessageFilter, ranked: Ranked, limit: int) -> list[Hit]:
        """Hits from the record: what is not there any more, or not as asked, is left out."""
        hits: list[Hit] = []
        titles: dict[str, str | None] = {}
        with self._store.read(owner) as records:
            for at in range(0, len(ranked), limit + _SPARE):
                some = ranked[at : at + limit + _SPARE]
                present = records.messages([message_id for message_id, _ in some])
                hits += [
                    Hit(present[message_id], None, value)
                    for message_id, value in some
                    if message_id in present and where.admits(present[message_id])
                ]
                if len(hits) >= limit:
                    break
            for session_id in {hit.message.session_id for hit in hits[:limit]}:
                found = records.session(session_id)
                titles[session_id] = found.title if found is not None else None
        return [replace(hit, session_title=titles[hit.message.session_id]) for hit in hits[:limit]]


def _looked_at(
    corpus: Corpus,
    base: Mask,
    question: Question,
    vector: Vector | None,
    beyond: Beyond | None,
    weights: Mapping[str, float],
) -> tuple[Array, Mask, Array]:
    """(score, whether anything speaks for it at all, where it stands) of each message in `base`."""
    seen = scene(corpus, gather(corpus, question, vector, base, beyond), question)
    return score(seen, weights), spoken_for(seen), seen.evidence.stands


def _best(corpus: Corpus, slots: Array, scores: Array) -> Ranked:
    """By score, ties by message id; scores rounded, so that the order does not hang on the last bit."""
    rounded = np.round(scores, 6)
    most = 400
    if len(slots) > most:
        cut = np.partition(rounded, len(rounded) - most)[len(rounded) - most]
        above = rounded > cut
        tied = nsmallest(most - int(above.sum()), slots[rounded == cut], key=lambda slot: corpus.ids[slot])
        slots = np.concatenate([slots[above], np.array(tied, dtype=slots.dtype)])
        rounded = np.concatenate([rounded[above], np.full(len(tied), cut)])
    pairs = [(corpus.ids[slot], float(value)) for slot, value in zip(slots, rounded, strict=True)]
    return sorted(pairs, key=lambda pair: (-pair[1], pair[0]))
