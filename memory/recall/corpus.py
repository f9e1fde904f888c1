"""One owner's messages as arrays: what scoring needs of them, kept in step one message at a time.

A corpus that was changed message by message scores like one built afresh from the same messages.
"""

from array import array
from bisect import bisect_left, insort
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from itertools import chain
from typing import get_args

import numpy as np
import numpy.typing as npt

from memory.model import Message, MessageFilter, Role
from memory.names import named
from memory.ports import Vector
from memory.recall.columns import Array, Columns
from memory.recall.languages import plausible
from memory.recall.passages import searchable_text
from memory.recall.sentences import question_share, time_words
from memory.recall.terms import Token, tokens_of, written
from memory.text.order import by_time, time_given

HEAD = 40
"""Tokens of a neighbour that count in a window: long replies do not swamp what stands beside them."""

REACH = 2
"""Neighbours on each side in a window."""

LATE = 6
"""Messages beyond those among which one that was said here may have arrived."""

_SHORT = 512
"""Characters of a text whose terms are kept for the next search."""

Mask = npt.NDArray[np.bool_]
Slots = npt.NDArray[np.int64]
ROLES = get_args(Role)


class Corpus:
    """Not safe for threads by itself. Slots number the messages in the order they came; erased ones stay dead."""

    def __init__(self, dimension: int) -> None:
        self.columns = Columns(
            alive=(np.bool_, 0),
            session=(np.int32, 0),
            project=(np.int32, 0),
            speaker=(np.int32, 0),
            channel=(np.int32, 0),
            role=(np.int8, 0),
            occurred=(np.float64, 0),
            timed=(np.bool_, 0),
            length=(np.int32, 0),
            head=(np.int32, 0),
            near=(np.int32, 2 * REACH),
            question=(np.float32, 0),
            times=(np.float32, 0),
            embedded=(np.bool_, 0),
        )
        self._vectors = Columns(row=(np.float32, dimension))
        self.ids: list[str] = []
        self.slots: dict[str, int] = {}
        self.seqs: list[int] = []
        self.codes: dict[str, dict[str | None, int]] = {"session": {}, "project": {}, "speaker": {}, "channel": {}}
        self.languages: dict[str, int] = {}
        self._prints: dict[str, tuple[object, ...]] = {}
        self._postings: dict[str, array[int]] = {}
        self._order: dict[int, list[tuple[int, int]]] = {}
        self._mixed: set[int] = set()
        self._later: dict[int, list[Vector]] = {}
        self._later_rows: tuple[Array, Vector] | None = None
        self._entries = 0

    def __len__(self) -> int:
        return len(self.slots)

    @property
    def dead(self) -> int:
        """Slots taken by messages that were erased or replaced."""
        return self.columns.size - len(self.slots)

    @property
    def nbytes(self) -> int:
        """About what it takes in memory."""
        later = 2 * sum(len(rows) for rows in self._later.values()) * self._vectors["row"].shape[1] * 4
        return int(
            self.columns.nbytes
            + self._vectors.nbytes
            + later
            + 12 * self._entries
            + 220 * len(self._postings)
            + 450 * len(self.ids)
        )

    def put(self, message: Message) -> None:
        """Adds a message, or replaces the one of that id; nothing happens when it is there as it is."""
        seen = _print(message)
        if self._prints.get(message.message_id) == seen:
            return
        if message.message_id in self.slots:
            self.remove(message.message_id)
        self._prints[message.message_id] = seen
        slot = self.columns.add()
        self._vectors.add()
        self.ids.append(message.message_id)
        self.seqs.append(message.seq)
        self.slots[message.message_id] = slot
        self._describe(slot, message)
        self._post(slot, message)
        session = int(self.columns["session"][slot])
        order = self._order.setdefault(session, [])
        insort(order, (message.seq, slot))
        place = bisect_left(order, (message.seq, slot))
        if session not in self._mixed and self._mixes(order, place):
            self._mixed.add(session)
            for each in range(0, len(order) + REACH + LATE, 2 * (REACH + LATE) + 1):
                self._relink(session, order, each)
        self._relink(session, order, place)

    def remove(self, message_id: str) -> None:
        """Forgets a message; unknown ids are ignored."""
        slot = self.slots.pop(message_id, None)
        if slot is None:
            return
        del self._prints[message_id]
        if self._later.pop(slot, None):
            self._later_rows = None
        self.columns["alive"][slot] = False
        session = int(self.columns["session"][slot])
        order = self._order[session]
        place = bisect_left(order, (self.seqs[slot], slot))
        del order[place]
        self._relink(session, order, place)

    def _describe(self, slot: int, message: Message) -> None:
        columns = self.columns
        columns["alive"][slot] = True
        for name in self.codes:
            value = getattr(message, "session_id" if name == "session" else _FIELD[name])
            columns[name][slot] = self._code(name, named(value) if name == "speaker" and value else value)
        columns["role"][slot] = ROLES.index(message.role)
        columns["occurred"][slot] = message.occurred_at.timestamp()
        columns["timed"][slot] = time_given(message) is not None
        columns["question"][slot] = question_share(message.content[:20_000])
        columns["times"][slot] = time_words(message.content[:2_000])

    def _code(self, name: str, value: str | None) -> int:
        known = self.codes[name]
        return known.setdefault(value, len(known))

    def _post(self, slot: int, message: Message) -> None:
        terms = _terms_of(searchable_text(message))
        if terms.language is not None:
            self.languages[terms.language] = self.languages.get(terms.language, 0) + 1
        self.columns["length"][slot] = terms.length
        self.columns["head"][slot] = min(terms.length, HEAD)
        for term, (count, in_head) in terms.counts.items():
            posting = self._postings.get(term)
            if posting is None:
                posting = self._postings[term] = array("i")
            posting.extend((slot, count, in_head))
        self._entries += len(terms.counts)

    def _relink(self, session: int, order: Sequence[tuple[int, int]], place: int) -> None:
        """Names anew who stands beside whom around `place`, in the order in which things were said."""
        near = self.columns["near"]
        reach = REACH + LATE if session in self._mixed else REACH
        for i in range(max(0, place - reach), min(len(order), place + reach + 1)):
            first = max(0, i - reach)
            slots = [slot for _, slot in order[first : i + reach + 1]]
            at = i - first
            if session in self._mixed:
                said = by_time([self._time(slot) for slot in slots])
                slots, at = [slots[index] for index in said], said.index(at)
            beside = [j for k in range(1, REACH + 1) for j in (at - k, at + k)]
            near[order[i][1]] = [slots[j] if 0 <= j < len(slots) else -1 for j in beside]

    def _time(self, slot: int) -> float | None:
        return float(self.columns["occurred"][slot]) if self.columns["timed"][slot] else None

    def _mixes(self, order: Sequence[tuple[int, int]], place: int) -> bool:
        """Whether the message at `place` was said before one recorded earlier, or after one recorded later."""
        time, reach = self._time(order[place][1]), 2 * (REACH + LATE)
        if time is None:
            return False
        earlier = (self._time(slot) for _, slot in reversed(order[max(0, place - reach) : place]))
        later = (self._time(slot) for _, slot in order[place + 1 : place + 1 + reach])
        before = next((t for t in earlier if t is not None), time)
        after = next((t for t in later if t is not None), time)
        return not before <= time <= after

    def set_vectors(self, message_ids: Sequence[str], parts: Sequence[int], matrix: Vector) -> None:
        """Takes what an index has: one row a passage, L2-normalised; rows of unknown messages are ignored."""
        first = self._vectors["row"]
        for message_id, part, row in zip(message_ids, parts, matrix, strict=True):
            slot = self.slots.get(message_id)
            if slot is None or len(row) != first.shape[1]:
                continue
            if part == 0:
                first[slot] = row
                self.columns["embedded"][slot] = True
            else:
                self._later.setdefault(slot, []).append(np.array(row, dtype=np.float32))
                self._later_rows = None

    def cosines(self, vector: Vector) -> tuple[Array, Array]:
        """(of each slot's first passage, the best of its later passages or -1), against a query's vector."""
        first = _products(self._vectors["row"], vector)
        later = np.full(len(first), -1.0, dtype=np.float32)
        if self._later:
            if self._later_rows is None:
                owners = np.repeat(list(self._later), [len(rows) for rows in self._later.values()])
                self._later_rows = owners, np.stack(list(chain.from_iterable(self._later.values())))
            slots, rows = self._later_rows
            np.maximum.at(later, slots, _products(rows, vector))
        return first, later

    def mask(self, where: MessageFilter) -> Mask:
        """Which slots pass; the same rule as `MessageFilter.admits`."""
        columns = self.columns
        passes = columns["alive"].copy()
        if where.scope != "all":
            is_global = columns["project"] == self.codes["project"].get(None, -1)
            passes &= is_global if where.scope == "global" else ~is_global
        for name, value in (("project", where.project_id), ("session", where.session_id), ("channel", where.channel)):
            if value is not None:
                passes &= columns[name] == self.codes[name].get(value, -1)
        if where.role is not None:
            passes &= columns["role"] == ROLES.index(where.role)
        if where.since is not None:
            passes &= columns["occurred"] >= where.since.timestamp()
        if where.until is not None:
            passes &= columns["occurred"] < where.until.timestamp()
        return passes

    def frequencies(self, token: Token) -> tuple[Array, Array]:
        """(in the whole message, in its head): how often each slot has the token, by the best of its terms."""
        size = self.columns.size
        whole, head = np.zeros(size + 1, dtype=np.float32), np.zeros(size + 1, dtype=np.float32)
        for term in token:
            posting = self._postings.get(term)
            if posting:
                entries = np.frombuffer(posting, dtype=np.intc).reshape(-1, 3)
                slots = entries[:, 0]
                whole[slots] = np.maximum(whole[slots], entries[:, 1])
                head[slots] = np.maximum(head[slots], entries[:, 2])
                del entries, slots
        return whole, head

    def held(self, token: Token) -> int:
        """How many messages hold the token, by the most frequent of its terms."""
        return max((len(self._postings.get(term, ())) // 3 for term in token), default=0)

    def sharing(self, tokens: Sequence[Token], weigh: Callable[[Token], float]) -> Array:
        """For each slot, the weights of those of the tokens that it holds, together."""
        shared = np.zeros(self.columns.size)
        for token in tokens:
            for term in token:
                posting = self._postings.get(term)
                if posting:
                    shared[np.unique(np.frombuffer(posting, dtype=np.intc)[::3])] += weigh(token)
                    break
        return shared

    def names(self, base: Mask) -> list[str]:
        """The speakers of the messages in `base`."""
        present = set(np.unique(self.columns["speaker"][base]).tolist())
        return [name for name, code in self.codes["speaker"].items() if name is not None and code in present]


_FIELD = {"project": "project_id", "speaker": "speaker", "channel": "channel"}


def _products(rows: Vector, vector: Vector) -> Array:
    """Each row times `vector`, on this thread: a BLAS with threads of its own waits for busy cores."""
    products: Array = np.einsum("ij,j->i", rows, vector)
    return products


@dataclass(frozen=True, slots=True)
class _Terms:
    """The terms of one text: how often each is in all of it and in its head; its language where that is evident."""

    length: int
    counts: Mapping[str, tuple[int, int]]
    language: str | None


def _terms_of(text: str) -> _Terms:
    return _kept_terms(text) if len(text) <= _SHORT else _read_terms(text)


@lru_cache(maxsize=2_048)
def _kept_terms(text: str) -> _Terms:
    # One search of a history that is not in memory reads hundreds of messages, and the next one most of them again.
    return _read_terms(text)


def _read_terms(text: str) -> _Terms:
    pieces = written(text)
    found = plausible([piece.text for piece in pieces])
    tokens = tokens_of(pieces, found)
    head = _counts(tokens[:HEAD])
    counts = {term: (count, head.get(term, 0)) for term, count in _counts(tokens).items()}
    return _Terms(len(tokens), counts, found[0] if len(found) == 1 else None)


def _counts(tokens: Sequence[Token]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for token in tokens:
        for term in token:
            counts[term] = counts.get(term, 0) + 1
    return counts


def _print(message: Message) -> tuple[object, ...]:
    """What tells whether a message is as it was."""
    moment: datetime = message.occurred_at
    return (message.session_id, message.seq, message.digest or message.content, message.status, moment, message.speaker)
