"""Recall: finding the right messages again."""

from memory.recall.passages import analyzer
from memory.recall.request import SearchRequest, SearchResult, Stretch, TopicRequest, TopicResult
from memory.recall.reranking import Reranker
from memory.recall.searching import Recall

__all__ = [
    "Recall",
    "Reranker",
    "SearchRequest",
    "SearchResult",
    "Stretch",
    "TopicRequest",
    "TopicResult",
    "analyzer",
]
