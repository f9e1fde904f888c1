"""Messages cut into sentences, with what each says in words that count."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from memory.model import Message

_CODE = re.compile(r"```.*?(?:```|\Z)|~~~.*?(?:~~~|\Z)", re.DOTALL)
_LINK = re.compile(r"!?\[([^\[\]\n]{1,200}+)\]\([^\[)\s]{1,500}+\)")
_ADDRESS = re.compile(r"https?://\S{30,}")
_BULLET = re.compile(r"^\s*+(?:[-*•‣]|\d{1,2}[.)]|#{1,6})\s++")
_MARKS = re.compile(r"(\*\*|__|`)(?=\S)(.{1,200}?)(?<=\S)\1")
_END = re.compile(r"(?<=[.!?…])[\"'”’)\]]*+\s++(?=[\"'“‘(\[]*+[\w¿¡])|(?<=[。！？])")
_ABBREVIATION = re.compile(
    r"(?:\b(?:mr|mrs|ms|dr|prof|st|no|vs|etc|e\.g|i\.e|approx|dept|fig|inc|ltd|jr|sr|a\.m|p\.m|bzw|usw|nr)|\b[A-Z])\.$",
    re.IGNORECASE,
)
_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
_CJK = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\u0e00-\u0e7f]")
_LONGEST = 400
_STOP_WORDS = """
a about actually after again all also always am an and any anything are around as at aw awesome back be been before
being but by can can't come could cool did didn't do does doesn't doing don't done each else even ever every for
from get getting give go going gonna good got great had happy has have haven't having he he's hello her here hey hi
him his hope how how's i i'd i'll i'm i've if in into is isn't it it's its it’s just keep kind know let let's like
little lol look looking lot lots love make makes maybe me mean more most much my nah need never nice no not now of
off oh ok okay on one only or other our out over own please pretty quite really right same say see seem she she's
should so some something soon sorry sounds still stuff such super sure take tell than thank thanks that that's the
their them then there there's these they they're thing things think this those though time to today too totally try
up us very want was wasn't way we we'd we'll we're we've well were what what's when where which while who why will
with won't would wow yeah yep yes yet you you'd you'll you're you've your und der die das ich du ist nicht ein eine
zu wir mit auf für es sie et le la les un une je tu il est pas que de des en el los las una y no por con
"""
_STOP = frozenset(_STOP_WORDS.split())


@dataclass(frozen=True, slots=True)
class Sentence:
    """One sentence of a message. `order` counts through the messages; `words` are its telling words, folded."""

    text: str
    order: int
    message: Message
    position: int
    words: frozenset[str]
    length: int


class ByWord:
    """Sentences in order, found by their words: what is compared with all of them is compared with few."""

    def __init__(self, found: Sequence[Sentence]) -> None:
        self._found = found
        self._places: dict[str, list[int]] = {}
        for index, sentence in enumerate(found):
            for word in sentence.words:
                self._places.setdefault(word, []).append(index)

    def has(self, words: frozenset[str], least: int, after_seq: int = 0) -> bool:
        """Whether a sentence of a message after `after_seq` has at least `least` (1 or more) of the words.

        Such a sentence has one of any `len(words) - least + 1` of them: only those with the rarest are looked at.
        """
        rarest = sorted(words, key=lambda word: len(self._places.get(word, ())))[: len(words) - least + 1]
        for word in rarest:
            for place in reversed(self._places.get(word, ())):
                sentence = self._found[place]
                if sentence.message.seq <= after_seq:
                    break
                if len(words & sentence.words) >= least:
                    return True
        return False


def sentences(messages: Sequence[Message]) -> list[Sentence]:
    """Every sentence that somebody said, in order; tool results and system texts are no conversation."""
    found: list[Sentence] = []
    for message in messages:
        if message.role not in ("user", "assistant"):
            continue
        for position, text in enumerate(split(message.content)):
            said = words(text)
            found.append(Sentence(text, len(found), message, position, _telling(said), len(said)))
    return found


def telling(text: str) -> frozenset[str]:
    """The words that carry what a text says, folded; empty talk has none."""
    return _telling(words(text))


def _telling(said: Sequence[str]) -> frozenset[str]:
    return frozenset(fold(word) for word in said if word.lower() not in _STOP and (len(word) > 1 or word.isdigit()))


def split(text: str) -> list[str]:
    """Sentences of a text, without code blocks, list marks and emphasis."""
    text = _LINK.sub(r"\1", _CODE.sub("\n", text[:200_000]))
    text = _ADDRESS.sub(lambda m: m.group()[:28] + "…", text)
    found: list[str] = []
    for line in text.split("\n"):
        line = _MARKS.sub(r"\2", _BULLET.sub("", line)).strip()
        if line:
            found.extend(_line_sentences(line))
    return found


def words(text: str) -> list[str]:
    """Words as written; in scripts without spaces, pairs of characters."""
    found: list[str] = []
    for word in _WORD.findall(text):
        if _CJK.search(word):
            found.extend(word[i : i + 2] for i in range(max(1, len(word) - 1)))
        else:
            found.append(word)
    return found


def fold(word: str) -> str:
    """A word without the commonest endings, so that 'contracts' meets 'contract'."""
    word = word.lower().replace("’", "'").removesuffix("'s")
    word = _IRREGULAR.get(word, word)
    for ending in ("ing", "ed", "es", "s"):
        if len(word) - len(ending) >= 4 and word.endswith(ending):
            return word[: -len(ending)]
    return word


def rarity(found: Sequence[Sentence]) -> dict[str, int]:
    """In how many sentences each telling word stands."""
    return Counter(word for sentence in found for word in sentence.words)


def _line_sentences(line: str) -> list[str]:
    parts: list[str] = []
    for part in _END.split(line):
        if parts and len(parts[-1]) <= _LONGEST and _ABBREVIATION.search(parts[-1][-12:]):
            parts[-1] += " " + part
        elif part.strip():
            parts.append(part.strip())
    return [piece for part in parts for piece in _pieces(part)]


def _pieces(sentence: str) -> list[str]:
    """A sentence beyond any measure (a pasted log, a table row) is cut where it can be."""
    if len(sentence) <= _LONGEST:
        return [sentence]
    cut = max(sentence.rfind(mark, _LONGEST // 2, _LONGEST) for mark in ("; ", ", ", " "))
    cut = cut if cut > 0 else _LONGEST
    return [sentence[:cut].rstrip(",; ") + " …"]


_IRREGULAR = {
    "sent": "send",
    "bought": "buy",
    "paid": "pay",
    "made": "make",
    "brought": "bring",
    "met": "meet",
    "spoke": "speak",
    "wrote": "write",
    "told": "tell",
    "took": "take",
    "gave": "give",
    "found": "find",
    "left": "leave",
    "kept": "keep",
    "began": "begin",
    "chose": "choose",
    "went": "go",
}
