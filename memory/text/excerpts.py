"""A part of a long message around the words that were asked for, with a mark that says how to read the rest."""

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from urllib.parse import quote

from memory.model import Message
from memory.ports import TokenCounter
from memory.text.tokens import json_text

_MOST_WORDS = 32
_SHORTEST = 3
_LOOKED_AT = 400_000
_LONGEST_STEM = 64
_PLACES = 2_000
_A_FEW = 24
_CHARACTERS_A_TOKEN = 16
_ROOM_FOR_ADDRESS = 200
"""Tokens. In a shorter excerpt the address is named by its end; its session stands beside it."""
_WORD = re.compile(r"\w+")


def words_of(*texts: str) -> list[str]:
    """The words of a question that an excerpt should be around, longest first."""
    found = {word.lower() for text in texts for word in _WORD.findall(text[:_LOOKED_AT]) if len(word) >= _SHORTEST}
    return sorted(found, key=lambda word: (-len(word), word))[:_MOST_WORDS]


def excerpt(message: Message, tokens: int, counter: TokenCounter, words: Sequence[str] = ()) -> str:
    """The content, or at most `tokens` of it around most of the `words`, with a mark where the rest is to be read."""
    text = message.content
    if len(text) <= tokens * _CHARACTERS_A_TOKEN and counter.count(text) <= tokens:
        return text
    middle = _densest(text, words, tokens * 4)
    low, high = 0, min(len(text), tokens * _CHARACTERS_A_TOKEN)
    while low < high:
        half = (low + high + 1) // 2
        if counter.count(_clipped(message, middle, half, tokens)) <= tokens:
            low = half
        else:
            high = half - 1
    return _clipped(message, middle, low, tokens)


def fitted(
    message: Message,
    room: int,
    price: Callable[[Message], int],
    counter: TokenCounter,
    words: Sequence[str] = (),
    *,
    least: int = 0,
) -> Message | None:
    """The message with its words cut until it costs at most `room`; None where not even `least` tokens of them fit.

    Where `least` is 0, a few words are given in any case. Of what is cut, a call's arguments are left out, unless they
    are all it has.
    """
    if price(message) <= room:
        return message
    words_of_it = message.content or f"arguments {json_text(message.tool_arguments)}"
    bare = replace(message, content=words_of_it, tool_arguments=None, entities=None)
    left = room - price(replace(bare, content=""))
    for _ in range(6):
        if left < max(least, 1):
            break
        cut = replace(bare, content=excerpt(bare, left, counter, words))
        over = price(cut) - room
        if over <= 0:
            return cut
        left -= max(over, left // 8)
    return None if least else replace(bare, content=excerpt(bare, _A_FEW, counter, words))


def _densest(text: str, words: Sequence[str], width: int) -> int:
    """The place around which, within `width` characters, most different words stand; the beginning without any."""
    stems = [re.escape(word[: max(_SHORTEST, len(word) - 2)][:_LONGEST_STEM]) for word in words[:_MOST_WORDS]]
    if not stems:
        return 0
    pattern = re.compile("|".join(stems), re.IGNORECASE)
    places: list[tuple[int, str]] = []
    for match in pattern.finditer(text, 0, _LOOKED_AT):
        places.append((match.start(), match.group().lower()))
        if len(places) == _PLACES:
            break
    best, found, start = 0, 0, 0
    inside: dict[str, int] = {}
    for at, word in places:
        inside[word] = inside.get(word, 0) + 1
        while places[start][0] < at - width:
            gone = places[start][1]
            inside[gone] -= 1
            if not inside[gone]:
                del inside[gone]
            start += 1
        if len(inside) > found:
            best, found = (places[start][0] + at) // 2, len(inside)
    return best


def _clipped(message: Message, middle: int, keep: int, tokens: int) -> str:
    text = message.content
    start = max(0, min(middle - keep // 2, len(text) - keep))
    after = len(text) - start - keep
    rest = f"messages?from={message.seq}"
    if tokens >= _ROOM_FOR_ADDRESS:
        rest = f"memory://sessions/{quote(message.session_id, safe='')}/{rest}&to={message.seq}"
    before = f"[…{start:,} before] " if start else ""
    return f"{before}{text[start : start + keep].strip()} […{after:,} more characters: {rest}]"
