"""Stretches of conversation around what was found, within a token budget."""

from collections.abc import Sequence
from dataclasses import replace

from memory.errors import Invalid
from memory.model import NEIGHBOURS, Hit, Message
from memory.ports import Records, TokenCounter
from memory.recall.passages import speaker_name
from memory.recall.request import Stretch
from memory.text.order import as_said

MOST_HITS = 60
_LEAST_EXCERPT = 20
_LATE = 4
"""Messages beyond a window among which one that was said within it may have arrived."""
_TOKENS_A_TALK = 600
"""For each so many tokens of the budget, one more of the best hits brings along what stands right before and after it.

Measured on three data sets: within 1,500 tokens no evidence is lost by it, and what is given reads as conversation;
within 500 there is room for hits alone.
"""


def _rendered(message: Message) -> str:
    """A message as it is counted against a budget: date, speaker and words."""
    return f"{message.occurred_at:%Y-%m-%d} {speaker_name(message)}: {message.content}\n"


def stretches(
    records: Records, hits: Sequence[Hit], max_tokens: int, window: int, counter: TokenCounter
) -> tuple[list[Stretch], int]:
    """(stretches in the order they happened, tokens taken). Errors: Invalid for a budget or window out of range.

    The hits go in by score, the best ones at once with the messages beside them; what budget is left goes to the
    neighbours of all, nearest first.
    """
    if max_tokens < 1:
        raise Invalid("max_tokens", f"is {max_tokens}", "give 1 or more")
    if not 0 <= window <= NEIGHBOURS:
        raise Invalid("The window", f"is {window}", f"give 0 to {NEIGHBOURS}")
    around = _Around(records.windows(_spans(hits, window + _LATE)))
    budget = _Budget(max_tokens, counter, {h.message.session_id: h.session_title for h in hits})

    def take_beside(hit: Hit, distance: int) -> None:
        for neighbour in around.beside(hit.message, distance):
            if budget.holds(hit.message):
                budget.take(neighbour)

    for place, hit in enumerate(hits):
        budget.take(hit.message, cut=True)
        if window and place < max_tokens // _TOKENS_A_TALK:
            take_beside(hit, 1)
    for distance in range(1, window + 1):
        for hit in hits:
            take_beside(hit, distance)
    return _joined(budget, around), budget.used


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


class _Budget:
    """What was taken so far, never above the limit."""

    def __init__(self, limit: int, counter: TokenCounter, titles: dict[str, str | None]) -> None:
        self.used = 0
        self.titles = titles
        self.taken: dict[str, Message] = {}
        self._limit = limit
        self._counter = counter
        self._sessions: set[str] = set()

    def holds(self, message: Message) -> bool:
        return message.message_id in self.taken

    def take(self, message: Message, cut: bool = False) -> None:
        """Takes the message if it fits; with `cut`, the beginning of one that does not, where that is worth it."""
        if self.holds(message):
            return
        title = 0 if message.session_id in self._sessions else self._heading(message.session_id)
        cost = self._counter.count(_rendered(message)) + title
        if cost > self._limit - self.used and cut and not self.taken:
            shorter = self._excerpt(message, self._limit - self.used - title)
            if shorter is None:
                return
            message, cost = shorter, self._counter.count(_rendered(shorter)) + title
        if cost <= self._limit - self.used:
            self.used += cost
            self.taken[message.message_id] = message
            self._sessions.add(message.session_id)

    def _heading(self, session_id: str) -> int:
        return self._counter.count(f"{self.titles[session_id] or session_id}\n")

    def _excerpt(self, message: Message, room: int) -> Message | None:
        words = message.content[: 8 * max(room, 0)].split(" ")
        low, high = 0, len(words)
        while low < high:
            middle = (low + high + 1) // 2
            if self._counter.count(_rendered(_cut(message, words[:middle]))) <= room:
                low = middle
            else:
                high = middle - 1
        return _cut(message, words[:low]) if low >= _LEAST_EXCERPT else None


def _cut(message: Message, words: Sequence[str]) -> Message:
    return replace(message, content=" ".join(words) + " […]")


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
