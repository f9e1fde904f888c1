"""A session's messages in answers of a bounded size: nothing is lost, and where an answer ends, the next one begins."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pydantic_core

from memory.model import Message, Owner
from memory.ports import Records, RecordStore, TokenCounter
from memory.record.cursors import foreign_cursor, read_cursor, write_cursor
from memory.record.sessions import existing
from memory.text.forms import RESULT_TOKENS
from server.wire import answers
from server.wire.schemas import MessageOut, MessagePart

PAGE_BYTES = 256 * 1024
_FRAME = 1024
"""Bytes of JSON around the messages, which are more than its tokens."""
_CHARACTERS = 8
"""In a byte or a token, at most, of what is usual."""


@dataclass(frozen=True, slots=True)
class _Limit:
    """How much a page holds, and how much of it a message takes."""

    room: int
    size: Callable[[MessageOut], int]


@dataclass(frozen=True, slots=True)
class Place:
    """Where reading goes on: at message `seq`, and within its content at character `offset`."""

    seq: int
    offset: int = 0


@dataclass(frozen=True, slots=True)
class Page:
    """`part` is set where the one message of the page is longer than a page, and only a part of its content fits."""

    rows: list[MessageOut]
    next: Place | None
    part: MessagePart | None = None


def read_page(
    store: RecordStore,
    owner: Owner,
    session_id: str,
    start: Place,
    *,
    to_seq: int | None = None,
    most: int | None = None,
    counter: TokenCounter | None = None,
) -> Page:
    """The messages from `start` on, to `to_seq` and `most` of them at most, in about PAGE_BYTES of JSON; with a
    `counter`, for a model, in no more tokens than a result may have.

    Errors: NotFound.
    """
    limit = _Limit(PAGE_BYTES - _FRAME, _bytes)
    if counter is not None:
        limit = _Limit(RESULT_TOKENS - _FRAME, lambda row: counter.count(row.model_dump_json()) + 1)
    with store.read(owner) as records:
        session_id = existing(records, session_id).session_id
        return _page(records, session_id, start, to_seq, most, limit)


def cursor_of(place: Place) -> str:
    """The place as an opaque text."""
    return write_cursor(place.seq, place.offset)


def place_of(cursor: str | None) -> Place:
    """The place that a cursor names; the start without one. Errors: Invalid for a cursor that is none of ours."""
    match [1, 0] if cursor is None else read_cursor(cursor):
        case [int(seq), int(offset)] if 0 <= seq < 2**62 and offset >= 0 and bool not in (type(seq), type(offset)):
            return Place(seq, offset)
    raise foreign_cursor()


def _page(records: Records, session_id: str, start: Place, to_seq: int | None, most: int | None, limit: _Limit) -> Page:
    left = limit.room
    rows: list[MessageOut] = []
    for message in _to(records.read_on(session_id, start.seq), to_seq):
        if len(rows) == most:
            return Page(rows, Place(message.seq))
        row = answers.message(message, whole=True)
        offset = start.offset if message.seq == start.seq else 0
        # To measure all of a very long message for each of its parts would take the square of its length.
        size = limit.size(row) if not offset and len(row.content) <= limit.room * _CHARACTERS else limit.room + 1
        if not rows and size > left:
            return _cut(records, row, offset, limit, to_seq)
        if size > left:
            return Page(rows, Place(message.seq))
        left -= size
        rows.append(row)
    return Page(rows, None)


def _to(messages: Iterator[Message], to_seq: int | None) -> Iterator[Message]:
    for message in messages:
        if to_seq is not None and message.seq > to_seq:
            return
        yield message


def _cut(records: Records, row: MessageOut, offset: int, limit: _Limit, to_seq: int | None) -> Page:
    """One message alone: what of its content fits from `offset` on. Its other fields stand in every part."""
    whole = row.content
    bare = limit.size(row.model_copy(update={"content": ""}))
    room = limit.room - bare
    end = min(len(whole), offset + max(1, room * _CHARACTERS))
    while (
        end - offset > 1 and (size := limit.size(row.model_copy(update={"content": whole[offset:end]})) - bare) > room
    ):
        end = offset + max(1, min((end - offset) * room // size, end - offset - 1)) if room > 0 else offset + 1
    cut = row.model_copy(update={"content": whole[offset:end]})
    part = MessagePart(seq=row.seq, from_character=offset, to_character=end, of=len(whole))
    if end < len(whole):
        return Page([cut], Place(row.seq, end), part)
    following = next(_to(records.read_on(str(row.session_id), row.seq + 1), to_seq), None)
    return Page([cut], Place(following.seq) if following else None, part)


def _bytes(row: MessageOut) -> int:
    """What it takes on the wire, where a resource's JSON travels as a string in JSON."""
    return len(pydantic_core.to_json(row.model_dump_json())) + 1
