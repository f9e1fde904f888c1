"""The ways of ranking that are compared: recall itself, with or without a feature, and the usual baselines."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime

from memory.model import MessageFilter
from memory.ports import Embedder
from memory.recall import Recall, SearchRequest, TopicRequest
from memory.recall.terms import query_tokens
from server.bench.datasets import APART, BenchQuestion, Conversation
from server.bench.metrics import Found
from server.bench.store import OWNER, Asking, BenchStore, Told

_DEPTH = 50
_FUSED = 100
_RRF = 60
_BUDGETS = (500, 1500)
Ranking = Callable[[Conversation, BenchQuestion], list[Found]]


def recall_ranking(bench: BenchStore, weights: Mapping[str, float] | None = None, *, reworded: bool = False) -> Ranking:
    """What a caller of `search_conversation_history` gets who asks within the conversation's project."""
    clock = Asking(datetime.now(UTC))
    recall = Recall(bench.store, bench.index, bench.embedder, clock, weights=weights)

    def rank(conversation: Conversation, question: BenchQuestion) -> list[Found]:
        clock.now = question.asked_at
        request = SearchRequest(
            question.text,
            question.queries if reworded else (),
            MessageFilter(project_id=conversation.name),
            limit=_DEPTH,
        )
        hits = recall.search(OWNER, request).hits
        return [Found(h.message.message_id, h.message.session_id, len(h.message.content.split())) for h in hits]

    return rank


def topic_evidence(
    bench: BenchStore, weights: Mapping[str, float], conversations: Sequence[Conversation], told: Told
) -> dict[int, float]:
    """The mean share of a question's evidence that a topic's stretches hold, by their budget in tokens."""
    clock = Asking(datetime.now(UTC))
    recall = Recall(bench.store, bench.index, bench.embedder, clock, weights=weights)
    asked = [(c, q) for c in conversations for q in c.questions if q.category not in APART]
    shares: dict[int, list[float]] = {budget: [] for budget in _BUDGETS}
    for done, (conversation, question) in enumerate(asked):
        told("topics", done, len(asked))
        clock.now = question.asked_at
        evidence = {bench.ids[conversation.name, name] for name in question.evidence}
        for budget in _BUDGETS:
            request = TopicRequest(question.text, MessageFilter(project_id=conversation.name), max_tokens=budget)
            given = {m.message_id for stretch in recall.topic(OWNER, request).stretches for m in stretch.messages}
            shares[budget].append(len(evidence & given) / len(evidence))
    told("topics", len(asked), len(asked))
    return {budget: sum(found) / len(found) if found else 0.0 for budget, found in shares.items()}


def baselines(bench: BenchStore) -> dict[str, Ranking]:
    """Keywords alone, the vector alone, and their reciprocal rank fusion, all as LanceDB answers."""
    embedder = bench.embedder

    def keywords(conversation: Conversation, question: BenchQuestion) -> list[str]:
        terms = [term for token in query_tokens(question.text, ()) for term in token]
        where = MessageFilter(project_id=conversation.name)
        return [name for name, _ in bench.index.keyword_candidates(OWNER, where, terms, _FUSED)]

    def nearest(conversation: Conversation, question: BenchQuestion, model: Embedder) -> list[str]:
        where = MessageFilter(project_id=conversation.name)
        vector = model.embed_query(question.text)
        return [name for name, _ in bench.index.vector_candidates(OWNER, where, vector, _FUSED)]

    found: dict[str, Ranking] = {"BM25 alone": lambda c, q: _rows(bench, keywords(c, q))}
    if embedder is not None:
        found["vector alone"] = lambda c, q: _rows(bench, nearest(c, q, embedder))
        found["RRF of both"] = lambda c, q: _rows(bench, _fused([keywords(c, q), nearest(c, q, embedder)]))
    return found


def _fused(rankings: Sequence[Sequence[str]]) -> list[str]:
    """Reciprocal rank fusion, ties by id."""
    scores: dict[str, float] = {}
    for ranking in rankings:
        for place, name in enumerate(ranking, 1):
            scores[name] = scores.get(name, 0.0) + 1 / (_RRF + place)
    return sorted(scores, key=lambda name: (-scores[name], name))


def _rows(bench: BenchStore, names: Sequence[str]) -> list[Found]:
    with bench.store.read(OWNER) as records:
        messages = records.messages(names[:_DEPTH])
    present = [messages[name] for name in names[:_DEPTH] if name in messages]
    return [Found(m.message_id, m.session_id, len(m.content.split())) for m in present]
