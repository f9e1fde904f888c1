"""The corpora kept in memory: each a fold of its owner's part of the feed, bounded in bytes, oldest use out first."""

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from memory.model import START, Message, Owner, Position
from memory.ports import Embedder, PassageIndex, Records, RecordStore
from memory.recall.corpus import Corpus

_PAGE = 2_000
_AT_ONCE = 4_000
"""Messages that a search waits for; longer histories load in the background."""

_AT_A_STRETCH = 20
"""Messages that a load in the background takes in before it rests for as long as they took: half of the interpreter is
for those who wait for an answer."""
_LONGEST_REST_S = 0.05

log = logging.getLogger("backstory.recall")


@dataclass(slots=True)
class Entry:
    """One owner's corpus and how far it has folded. Everything in it is used under `lock`."""

    corpus: Corpus
    lock: threading.Lock = field(default_factory=threading.Lock)
    position: Position = START
    lacking: dict[str, Position] = field(default_factory=dict)
    """Messages whose vector the index may have once it has passed that position."""
    vectors_at: Position | None = None
    loaded: bool = False
    bytes: int = 0


class HotCorpora:
    """`most_bytes` bounds all corpora together, `most_messages` a single owner's."""

    def __init__(
        self,
        store: RecordStore,
        index: PassageIndex | None,
        embedder: Embedder | None,
        *,
        most_bytes: int,
        most_messages: int,
    ) -> None:
        self._store = store
        self._index = index if embedder is not None else None
        self._dimension = embedder.dimension if embedder is not None else 1
        self._most_bytes = most_bytes
        self._most_messages = most_messages
        self._entries: OrderedDict[Owner, Entry] = OrderedDict()
        self._loading: set[Owner] = set()
        self._too_large: dict[Owner, float] = {}
        self._lock = threading.Lock()

    def current(self, owner: Owner) -> Entry | None:
        """The owner's corpus with everything that is committed now; None when it is too large or still loading."""
        entry = self._known(owner)
        if entry is None:
            return None
        with entry.lock:
            if not entry.loaded and not self._load(owner, entry):
                return None
            with self._store.read(owner) as records:
                self._fold(records, entry)
                tail = records.unsettled_messages(entry.position, _PAGE)
            for message in tail:
                entry.corpus.put(message)
                entry.lacking.setdefault(message.message_id, Position(2**62, 2**62))
            self._take_vectors(owner, entry)
            entry.bytes = entry.corpus.nbytes
            worn = entry.corpus.dead > 256 + len(entry.corpus) // 3
        if worn:
            self.forget(owner)
        self._evict(owner)
        return entry

    def forget(self, owner: Owner) -> None:
        """Drops the owner's corpus; the next search builds it anew."""
        with self._lock:
            self._entries.pop(owner, None)

    def clear(self) -> None:
        """Drops every corpus: another record lies where theirs lay."""
        with self._lock:
            self._entries.clear()
            self._too_large.clear()

    def _known(self, owner: Owner) -> Entry | None:
        with self._lock:
            entry = self._entries.get(owner)
            if entry is not None:
                self._entries.move_to_end(owner)
                return entry
            if owner in self._loading or self._too_large.get(owner, 0.0) > time.monotonic():
                return None
        with self._store.read(owner) as records:
            count = records.message_count()
        if count > self._most_messages:
            self._too_large[owner] = time.monotonic() + 600.0
            return None
        if count > _AT_ONCE:
            self._load_behind(owner)
            return None
        with self._lock:
            return self._entries.setdefault(owner, Entry(Corpus(self._dimension)))

    def _load_behind(self, owner: Owner) -> None:
        with self._lock:
            if owner in self._loading:
                return
            self._loading.add(owner)
        threading.Thread(target=self._load_alone, args=(owner,), name="backstory-recall-load", daemon=True).start()

    def _load_alone(self, owner: Owner) -> None:
        entry = Entry(Corpus(self._dimension))
        try:
            done = self._load(owner, entry, patient=True)
        except Exception as error:
            log.warning("A history could not be loaded for fast search: %s", type(error).__name__)
            done = False
        with self._lock:
            self._loading.discard(owner)
            if done:
                self._entries[owner] = entry
            else:
                self._too_large[owner] = time.monotonic() + 60.0

    def _load(self, owner: Owner, entry: Entry, patient: bool = False) -> bool:
        with self._store.read(owner) as records:
            self._fold(records, entry, patient)
        if entry.corpus.nbytes > self._most_bytes:
            self._too_large[owner] = time.monotonic() + 600.0
            self.forget(owner)
            return False
        entry.loaded = True
        return True

    def _fold(self, records: Records, entry: Entry, patient: bool = False) -> None:
        while changes := records.changes_after(entry.position, _PAGE):
            present = records.messages(list({change.message_id for change in changes}))
            for change in changes:
                if change.message_id not in present:
                    entry.corpus.remove(change.message_id)
                    entry.lacking.pop(change.message_id, None)
                elif change.kind != "message_erased":
                    entry.lacking[change.message_id] = change.position
            self._put(entry.corpus, list(present.values()), patient)
            entry.position = changes[-1].position
            if len(changes) < _PAGE:
                break

    @staticmethod
    def _put(corpus: Corpus, messages: Sequence[Message], patient: bool) -> None:
        began = time.perf_counter()
        for number, message in enumerate(messages):
            corpus.put(message)
            if patient and number % _AT_A_STRETCH == 0:
                time.sleep(min(time.perf_counter() - began, _LONGEST_REST_S))
                began = time.perf_counter()

    def _take_vectors(self, owner: Owner, entry: Entry) -> None:
        """What the index has embedded since the last look. An index that fails leaves keywords alone."""
        if self._index is None or not entry.lacking:
            return
        with suppress(Exception):
            reached = self._index.position("vectors")
            if reached == entry.vectors_at:
                return
            due = [message_id for message_id, position in entry.lacking.items() if position <= reached]
            if due:
                entry.corpus.set_vectors(*self._index.vectors(owner, due if len(due) <= _PAGE else None))
                for message_id in due:
                    del entry.lacking[message_id]
            entry.vectors_at = reached

    def _evict(self, kept: Owner) -> None:
        with self._lock:
            total = sum(entry.bytes for entry in self._entries.values())
            for owner in list(self._entries):
                if total <= self._most_bytes:
                    return
                if owner != kept:
                    total -= self._entries.pop(owner).bytes
