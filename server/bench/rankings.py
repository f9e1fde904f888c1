"""The ways of ranking that are compared: recall itself, recall without a feature, and the usual baselines."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime

from memory.model import MessageFilter
from memory.recall import Recall, SearchRequest
from memory.recall.terms import query_tokens
from memory.recall.weights import weights_for
from server.bench.datasets import BenchQuestion, Conversation
from server.bench.metrics import Found
from server.bench.store import OWNER, Asking, BenchStore

DEPTH = 50
RRF = 60
"""The constant of reciprocal rank fusion (Cormack, Clarke, Buettcher, SIGIR 2009)."""

Ranking = Callable[[Conversation, BenchQuestion], list[Found]]


def recall_ranking(bench: BenchStore, *, without: Sequence[str] = (), reworded: bool = False) -> Ranking:
    """What a caller of `search_conversation_history` within the conversation's project gets."""
    clock = Asking(datetime.now(UTC))
    weights = lessened(weights_for(bench.embedder.name if bench.embedder else None), without)
    recall = Recall(bench.store, bench.index, bench.embedder, clock, weights=weights)

    def rank(conversation: Conversation, question: BenchQuestion) -> list[Found]:
        clock.now = question.asked_at
        where = MessageFilter(project_id=conversation.name)
        queries = question.queries if reworded else ()
        hits = recall.search(OWNER, SearchRequest(question.text, queries, where, limit=DEPTH)).hits
        return [Found(h.message.message_id, h.message.session_id, len(h.message.content.split())) for h in hits]

    return rank


def lessened(weights: Mapping[str, float], without: Sequence[str]) -> dict[str, float]:
    """The weights with these features switched off."""
    return {name: 0.0 if name in without else weight for name, weight in weights.items()}


def baseline_rankings(bench: BenchStore) -> dict[str, Ranking]:
    """BM25 of single messages, the vector alone and their reciprocal rank fusion, all from the index itself."""
    if bench.embedder is None:
        return {"BM25": lambda c, q: found(bench, keyword_ids(bench, c, q))}
    return {
        "BM25": lambda c, q: found(bench, keyword_ids(bench, c, q)),
        "vector": lambda c, q: found(bench, vector_ids(bench, c, q)),
        "RRF": lambda c, q: found(bench, fused(keyword_ids(bench, c, q), vector_ids(bench, c, q))),
    }


def keyword_ids(bench: BenchStore, conversation: Conversation, question: BenchQuestion) -> list[str]:
    terms = list(dict.fromkeys(term for token in query_tokens(question.text, []) for term in token))
    where = MessageFilter(project_id=conversation.name)
    return [message_id for message_id, _ in bench.index.keyword_candidates(OWNER, where, terms, DEPTH * 2)]


def vector_ids(bench: BenchStore, conversation: Conversation, question: BenchQuestion) -> list[str]:
    if bench.embedder is None:
        return []
    where = MessageFilter(project_id=conversation.name)
    vector = bench.embedder.embed_query(question.text)
    return [message_id for message_id, _ in bench.index.vector_candidates(OWNER, where, vector, DEPTH * 2)]


def fused(*rankings: Sequence[str]) -> list[str]:
    scores: dict[str, float] = {}
    for ranking in rankings:
        for place, message_id in enumerate(ranking, 1):
            scores[message_id] = scores.get(message_id, 0.0) + 1 / (RRF + place)
    return sorted(scores, key=lambda message_id: (-scores[message_id], message_id))


def found(bench: BenchStore, ranked: Sequence[str]) -> list[Found]:
    first = ranked[:DEPTH]
    with bench.store.read(OWNER) as records:
        messages = records.messages(first)
    present = [messages[message_id] for message_id in first if message_id in messages]
    return [Found(m.message_id, m.session_id, len(m.content.split())) for m in present]
