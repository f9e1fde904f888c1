"""Stretches of conversation around what was found, within a token budget."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from memory.errors import Invalid
from memory.model import NEIGHBOURS, Hit, Message
from memory.ports import Records, TokenCounter
from memory.recall.request import Stretch
from memory.text import forms
from memory.text.excerpts import fitted
from memory.text.order import as_said
from memory.text.quoting import CLOSE, OPEN, quotation
from memory.text.tokens import json_text
from memory.text.wording import place_line

MOST_HITS = 60
_LATE = 4
"""Messages beyond a window among which one that was said within it may have arrived."""
_TOKENS_A_TALK = 600
"""For each so many tokens given, one more of the best hits brings along what stands right before and after it.

Measured on three data sets: within 1,500 tokens no evidence is lost by it, and what is given reads as conversation;
within 500 there is room for hits alone.
"""
_LARGEST_SHARE = 1 / 3
"""Of the budget, that one message may take."""
_LEAST_SHARE = 200
_READ = 200_000
"""Characters: more of a message cannot be given anyway."""
_LEAST_EXCERPT = 24
"""Tokens of a message's words. Less of it says nothing."""

_Sizes = tuple[int, int]
"""Tokens as text, and as data."""


def stretches(
    records: Records,
    hits: Sequence[Hit],
    max_tokens: int,
    window: int,
    counter: TokenCounter,
    words: Sequence[str] = (),
) -> tuple[list[Stretch], int]:
    """(stretches in the order they happened, tokens taken in the larger of their two forms). Errors: Invalid for a
    budget or window out of range.

    What may go in has one order, whatever the budget: the hits by score, the best ones with the messages beside them,
    then the neighbours of all, nearest first. A budget holds the first of these that fit, and of the next one a part,
    around the `words` asked for; so a larger one holds all that a smaller one did.
    """
    if max_tokens < 1:
        raise Invalid("max_tokens", f"is {max_tokens}", "give 1 or more")
    if not 0 <= window <= NEIGHBOURS:
        raise Invalid("The window", f"is {window}", f"give 0 to {NEIGHBOURS}")
    around = _Around(records.windows(_spans(hits, window + _LATE)))
    titles = {h.message.session_id: h.session_title for h in hits}
    budget = _Budget(max_tokens, counter, titles, words, around)
    for message in _in_order(hits, around, window, budget.price):
        if not budget.take(message):
            break
    return _joined(budget, around), int(max(budget.used)) if budget.taken else 0


class _Around:
    """The messages around hits, each session's in the order in which they were said."""

    def __init__(self, messages: Sequence[Message]) -> None:
        self._said: dict[str, list[Message]] = {}
        for message in messages:
            self._said.setdefault(message.session_id, []).append(message)
        self._places: dict[str, int] = {}
        for session_id, some in self._said.items():
            self._said[session_id] = as_said(some)
            self._places.update((m.message_id, place) for place, m in enumerate(self._said[session_id]))

    def place(self, message: Message) -> int:
        return self._places.get(message.message_id, -1)

    def beside(self, message: Message, distance: int) -> list[Message]:
        """What was said so many messages before and after it, as far as it is known."""
        said, place = self._said.get(message.session_id, []), self.place(message)
        if place < 0:
            return []
        return [said[i] for i in (place - distance, place + distance) if 0 <= i < len(said)]


def _in_order(
    hits: Sequence[Hit], around: _Around, window: int, price: Callable[[Message], _Sizes]
) -> Iterator[Message]:
    """All that may be given, each once."""
    given: set[str] = set()
    talks, spent = 0, 0

    def beside(hit: Hit, distance: int) -> Iterator[Message]:
        for neighbour in around.beside(hit.message, distance):
            if neighbour.message_id not in given:
                given.add(neighbour.message_id)
                yield neighbour

    for hit in hits:
        if hit.message.message_id not in given:
            given.add(hit.message.message_id)
            spent += min(max(price(hit.message)), _TOKENS_A_TALK)
            yield hit.message
        while window and talks < len(hits) and spent >= (talks + 1) * _TOKENS_A_TALK:
            talks += 1
            for neighbour in beside(hits[talks - 1], 1):
                spent += min(max(price(neighbour)), _TOKENS_A_TALK)
                yield neighbour
    for distance in range(1, window + 1):
        for hit in hits:
            yield from beside(hit, distance)


class _Budget:
    """What was taken so far, never above the limit in either form; but something of the best hit in any case."""

    def __init__(
        self,
        limit: int,
        counter: TokenCounter,
        titles: dict[str, str | None],
        words: Sequence[str],
        around: _Around,
    ) -> None:
        self.used: tuple[float, float] = (counter.count(f"{OPEN}{CLOSE}") + 14, 20)
        self.titles = titles
        self.taken: dict[str, Message] = {}
        self._around = around
        self._limit = limit
        self._counter = counter
        self._words = words
        self._prices: dict[str, _Sizes] = {}

    def price(self, message: Message) -> _Sizes:
        """What the message costs whole, without the heading of its stretch."""
        place = message.message_id
        if place not in self._prices:
            self._prices[place] = _sizes(self._counter, message)
        return self._prices[place]

    def take(self, message: Message) -> bool:
        """Takes the message, cut where it is longer than its share or the room left; False when nothing more fits."""
        beside = any(m.message_id in self.taken for m in self._around.beside(message, 1))
        heading = (0, 0) if beside else self._heading(message.session_id)
        left = min(self._limit - used - more for used, more in zip(self.used, heading, strict=True))
        share = max(self._limit * _LARGEST_SHARE, _LEAST_SHARE)
        sizes = self.price(message)
        if max(sizes) > min(share, left):
            room = int(min(share, left))
            least = _LEAST_EXCERPT if self.taken else 0
            cut = fitted(message, room, self._larger, self._counter, self._words, least=least)
            if cut is None:
                return False
            message, fits = cut, max(sizes) <= left or share <= left
            sizes = (min(sizes[0], room), min(sizes[1], room))
        else:
            fits = True
        self.taken[message.message_id] = message
        text, data = (sum(parts) for parts in zip(self.used, heading, sizes, strict=True))
        self.used = (text, data)
        return fits

    def _larger(self, message: Message) -> int:
        return max(_sizes(self._counter, message))

    def _heading(self, session_id: str) -> _Sizes:
        title = self.titles[session_id]
        data = {
            "session_id": session_id,
            "session_title": title,
            "from_seq": 100_000,
            "to_seq": 100_000,
            "messages": (),
        }
        line = place_line(session_id, title, 100_000, 100_000)
        return self._counter.count(line) + 1, forms.cost(self._counter, data)


def _sizes(counter: TokenCounter, message: Message) -> _Sizes:
    """What a message of a stretch costs as text and as data; one far beyond any budget, at least that."""
    if len(message.content) > _READ:
        message = replace(message, content=message.content[:_READ])
    if message.tool_arguments is not None and len(json_text(message.tool_arguments)) > _READ:
        message = replace(message, tool_arguments=None, content="x" * _READ)
    return counter.count(quotation(message)) + 1, forms.cost(counter, forms.message(message))


def _spans(hits: Sequence[Hit], window: int) -> list[tuple[str, int, int]]:
    return [(h.message.session_id, max(1, h.message.seq - window), h.message.seq + window) for h in hits]


def _joined(budget: _Budget, around: _Around) -> list[Stretch]:
    """What was taken, as runs of what was said one after the other, oldest first."""
    found: list[list[Message]] = []
    for message in sorted(budget.taken.values(), key=lambda m: (m.session_id, around.place(m), m.seq)):
        last = found[-1][-1] if found else None
        if (
            last is not None
            and last.session_id == message.session_id
            and around.place(last) == around.place(message) - 1
        ):
            found[-1].append(message)
        else:
            found.append([message])
    found.sort(key=lambda run: (run[0].occurred_at, run[0].session_id, run[0].seq))
    return [
        Stretch(
            run[0].session_id,
            budget.titles[run[0].session_id],
            min(m.seq for m in run),
            max(m.seq for m in run),
            tuple(run),
        )
        for run in found
    ]
