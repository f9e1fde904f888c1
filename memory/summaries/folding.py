"""Folding a conversation into a summary, a stretch at a time, for as long as there is time."""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from memory.errors import Unavailable
from memory.model import Message, Summary, SummaryDraft
from memory.ports import Clock, Summarizer, TokenCounter
from memory.text.quoting import shortened
from memory.text.turns import cost

log = logging.getLogger("backstory.summarizing")


@dataclass(frozen=True, slots=True)
class Made:
    """A draft with what there is to say about it; not `whole`: there was no time for the rest."""

    draft: SummaryDraft
    covers_to_seq: int
    producer: str
    note: str | None
    whole: bool = True


@dataclass(frozen=True, slots=True)
class Limit:
    """When folding stops short: between two stretches, once it is `over`. One that `moves` gets past a message first,
    however long that is."""

    over: Callable[[], bool]
    moves: bool = False


class Folding:
    """Folds with the first producer that answers. Where there is one alone, all but the last stretch is left to
    `quick`, since little of what it says survives the stretches that follow."""

    def __init__(self, quick: Sequence[Summarizer], counter: TokenCounter, clock: Clock, fold_tokens: int) -> None:
        self._quick = quick
        self._counter = counter
        self._clock = clock
        self._fold_tokens = fold_tokens

    def fold(
        self,
        previous: Summary | None,
        chunks: Iterator[Sequence[Message]],
        tokens: int,
        producers: Sequence[Summarizer],
        limit: Limit,
    ) -> Made:
        """Folds stretch by stretch, so that no message is left unread, until the limit; notes who made it and what
        failed. A message of which only a part was read is not covered."""
        left = list(producers)
        quick = list(self._quick) if len(left) == 1 else left
        notes: list[str] = []
        start = covers = previous.covers_to_seq if previous else 0
        between = previous
        chunk = next(chunks)
        while True:
            following = next(chunks, None)
            covers = chunk[-1].seq if chunk else covers
            asked = quick if following else left
            draft = _first_answer(asked, previous, chunk, tokens, notes)
            draft = replace(draft, text=shortened(draft.text, tokens, self._counter))
            previous = Summary("", version_of(previous), draft, covers, asked[0].name, self._clock())
            if following is None:
                return Made(draft, covers, previous.producer, "; ".join(notes) or None)
            if following[0].seq != covers:
                between = previous
            moved = between is not None and between.covers_to_seq > start
            if (moved or not limit.moves) and limit.over():
                break
            chunk = following
        made = between if between is not None and moved else replace(previous, covers_to_seq=start)
        return Made(made.draft, made.covers_to_seq, made.producer, "; ".join(notes) or None, whole=False)

    def stretches(self, messages: Iterable[Message]) -> Iterator[tuple[Message, ...]]:
        """Stretches of at most `fold_tokens`, the messages in pieces where one alone is larger. One in pieces begins a
        stretch, so that what was read whole before it is covered."""
        current: list[Message] = []
        size = 0
        for message in messages:
            for piece in self._pieces(message):
                price = cost(self._counter, piece)
                opens = piece is not message and piece.seq != (current[-1].seq if current else None)
                if current and (opens or size + price > self._fold_tokens):
                    yield tuple(current)
                    current, size = [], 0
                current.append(piece)
                size += price
        if current:
            yield tuple(current)

    def _pieces(self, message: Message) -> Iterator[Message]:
        length = self._fold_tokens * 3
        if len(message.content) <= length:
            yield message
            return
        for start in range(0, len(message.content), length):
            yield replace(message, content=message.content[start : start + length])


def _first_answer(
    producers: list[Summarizer],
    previous: Summary | None,
    messages: Sequence[Message],
    limit: int,
    notes: list[str],
) -> SummaryDraft:
    """The first producer's draft; those that fail are taken off the list, with a note."""
    while producers:
        try:
            return producers[0].summarize(previous, messages, limit)
        except Unavailable as error:
            notes.append(f"{producers[0].name} could not be used: {error}")
            log.warning("%s The next producer is used.", notes[-1])
            del producers[0]
    raise Unavailable("No summary could be made (" + " ".join(notes) + "); hand in your own words instead.")


def version_of(summary: Summary | None) -> int:
    """Its version; 0 where there is none."""
    return summary.version if summary else 0
