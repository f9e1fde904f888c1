"""Hits in the light of what was said later: a correction comes before what it corrects, which says so."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace

import numpy as np

from memory.model import Hit, Message, MessageFilter
from memory.recall.corpus import Corpus
from memory.recall.corrections import comes_after, read, replaces
from memory.recall.terms import Token

LOOKED_AT = 8
"""Hits, best first, for which later statements are looked up."""
AMONG = 20
"""Hits that may correct one of them."""
_TIED = 8
_TOKENS = 16
_COMMON = 0.2
"""Share of a scope's messages from which on a word ties nothing together."""
_ABOVE = 0.001


class Ties:
    """What of a corpus holds the same words as a message. `lock` guards the corpus."""

    def __init__(self, corpus: Corpus, where: MessageFilter, lock: AbstractContextManager[object]) -> None:
        self._corpus = corpus
        self._where = where
        self._lock = lock

    def weigh(self, token: Token) -> float:
        """How much it says that two messages hold the token."""
        population = len(self._corpus)
        return float(np.log((population + 1) / (min(population, self._corpus.held(token)) + 0.5)))

    def later(self, message: Message) -> list[str]:
        """Ids of the messages after this one that share most with it, and of those right behind it."""
        with self._lock:
            corpus = self._corpus
            slot = corpus.slots.get(message.message_id)
            if slot is None:
                return []
            tokens = {token for sentence in read(message.content) for token in sentence.tokens}
            telling = sorted(tokens, key=lambda token: (corpus.held(token), token))[:_TOKENS]
            most = max(2.0, _COMMON * len(corpus))
            shared = corpus.sharing([token for token in telling if corpus.held(token) <= most], self.weigh)
            shared *= corpus.mask(self._where)
            occurred = corpus.columns["occurred"]
            shared[occurred < occurred[slot]] = 0.0
            best = np.argsort(-shared, kind="stable")[:_TIED]
            beside = corpus.columns["near"][slot]
            found = [int(each) for each in (*best[shared[best] > 0], *beside) if each >= 0 and each != slot]
            return [corpus.ids[each] for each in dict.fromkeys(found)]


def in_order(
    hits: Sequence[Hit],
    ties: Ties,
    asked: frozenset[str],
    read_back: Callable[[Sequence[str]], Mapping[str, Hit]],
) -> list[Hit]:
    """The hits, each correction before what it corrects and never below it; corrections that were no hits are added.

    `asked`: the terms of the question; `read_back`: hits of the scope by message id.
    """
    known = {hit.message.message_id: hit for hit in hits}
    waiting = [hit.message for hit in hits[:LOOKED_AT] if _says(hit.message)]
    tied = {message.message_id: ties.later(message) for message in waiting}
    unknown = {each for ids in tied.values() for each in ids} - known.keys()
    known.update(read_back(sorted(unknown)))
    links: dict[str, str] = {}
    among = [hit.message.message_id for hit in hits[:AMONG]]
    for earlier in waiting:
        candidates = [
            known[each].message for each in dict.fromkeys((*tied[earlier.message_id], *among)) if each in known
        ]
        best, link = 0.0, ""
        for later in candidates:
            if comes_after(later, earlier) and _says(later):
                judged = replaces(later, earlier, read(later.content), read(earlier.content), ties.weigh, asked)
                if judged > best:
                    best, link = judged, later.message_id
        if link:
            links[earlier.message_id] = link
    return _placed(hits, known, links)


def _says(message: Message) -> bool:
    return message.role in ("user", "assistant") and bool(message.content)


def _placed(hits: Sequence[Hit], known: Mapping[str, Hit], links: Mapping[str, str]) -> list[Hit]:
    placed: dict[str, Hit] = {}
    for hit in hits:
        chain = [hit.message.message_id]
        while (link := links.get(chain[-1])) is not None:
            chain.append(link)
        for each in reversed(chain):
            score = max(known[each].score, hit.score) if each != chain[0] else hit.score
            corrected = replace(known[each], score=score, superseded_by=links.get(each))
            placed.setdefault(each, corrected)
    found = list(placed.values())
    for at in range(len(found) - 2, -1, -1):
        if (
            found[at].score < found[at + 1].score + _ABOVE
            and found[at + 1].superseded_by == found[at].message.message_id
        ):
            found[at] = replace(found[at], score=found[at + 1].score + _ABOVE)
    return found
