"""A message to what is indexed of it: searchable text, terms, and passages that fit the embedder's window."""

import json
import re
from collections.abc import Iterator

from memory.model import Message, Passage
from memory.ports import Analyzer
from memory.recall.terms import tokens

_WINDOW = 230
"""Estimated word pieces that a passage may take, below the 256 of the smallest embedder with its special marks."""

_EMBEDDED = 8
"""Passages of one message that are embedded; what follows is found by its words."""

_KEYWORD_CHARACTERS = 20_000
"""Length of the further passages, which only keywords search."""

_ANALYSED_CHARACTERS = 1_000_000
"""What lies beyond in one message is kept and shown, but not searched."""

_ROLE_NAMES = {"user": "User", "assistant": "Assistant", "system": "System", "tool": "Tool"}
_PIECE = re.compile(r"\S{1,400}+\s*+")


def analyzer() -> Analyzer:
    """What indexes and searches agree on."""
    return _PassageAnalyzer()


class _PassageAnalyzer:
    """Implements `memory.ports.Analyzer`: deterministic, without state."""

    version = "3"
    """Counted up when the same message would give other terms or passages."""

    def passages(self, message: Message) -> list[Passage]:
        """The first few passages carry `text` for the embedder; later ones have an empty `text` and only terms."""
        return [
            Passage(message.message_id, part, embedded, " ".join(term for token in tokens(words) for term in token))
            for part, (embedded, words) in enumerate(_parts(message))
        ]


def searchable_text(message: Message) -> str:
    """What of a message its words are searched in: the content, and for tools their name and arguments."""
    parts = [message.content[:_ANALYSED_CHARACTERS]]
    if message.tool_name:
        parts.append(message.tool_name.replace("_", " "))
    if message.tool_arguments is not None:
        parts.append(json.dumps(message.tool_arguments, ensure_ascii=False)[:_KEYWORD_CHARACTERS])
    return "\n".join(part for part in parts if part.strip())


def speaker_name(message: Message) -> str:
    """Who speaks, for people and embedders: the speaker's name, or the role's."""
    return message.speaker or _ROLE_NAMES[message.role]


def _parts(message: Message) -> Iterator[tuple[str, str]]:
    """(what is embedded, what is searched by words) of each passage."""
    text = searchable_text(message)
    if not text:
        return
    speaker = speaker_name(message)
    start = 0
    for _ in range(_EMBEDDED):
        end = _cut(text, start, _WINDOW - _weight(speaker))
        yield f"{speaker}: {text[start:end].strip()}", text[start:end]
        start = end
        if not text[start:].strip():
            return
    while start < len(text):
        end = _space_before(text, start + _KEYWORD_CHARACTERS)
        yield "", text[start:end]
        start = end


def _cut(text: str, start: int, budget: int) -> int:
    """Where a passage that begins at `start` ends: at a word's end, at a sentence's where one ends near the limit."""
    used = 0
    end = last_stop = start
    for match in _PIECE.finditer(text, start):
        used += _weight(match.group())
        if used > budget:
            break
        end = match.end()
        if match.group().rstrip()[-1] in ".!?。！？؟" or "\n" in match.group():
            last_stop = end
    else:
        return len(text)
    if end == start:
        return _fit(text, start, budget)
    return last_stop if last_stop > start + 0.75 * (end - start) else end


def _fit(text: str, start: int, budget: int) -> int:
    """The end of the stretch of one very long word that fits."""
    used, end = 0.0, start
    while end < len(text) and used < budget:
        used += 0.5 if text[end].isascii() else 1.0
        end += 1
    return max(end - 1, start + 1)


def _weight(word: str) -> int:
    """Word pieces of a word, estimated on the high side."""
    word = word.strip()
    if word.isascii():
        marks = sum(not c.isalnum() for c in word)
        letters = len(word) - marks
        return marks + (0 if not letters else 1 if letters <= 7 and word.isalpha() else 1 + letters // 4)
    return sum(1 if not c.isascii() and ord(c) > 0x24F else 0 for c in word) + (len(word) + 1) // 2


def _space_before(text: str, limit: int) -> int:
    if limit >= len(text):
        return len(text)
    space = text.rfind(" ", limit - 200, limit)
    return space + 1 if space > 0 else limit
