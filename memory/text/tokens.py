"""How many tokens a text costs: an estimate that errs high for every script, or a real tokenizer's count."""

import json
import math
import re
from collections import Counter
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from memory.errors import Invalid, shown
from memory.ports import TokenCounter

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_WORDS = re.compile(r"[A-Za-z]+")
_SPACES = re.compile(r" {2,}| (?=[0-9])")
_WIDE = re.compile(r"[^\x00-\x7f]+")
_HUB_NAME = re.compile(r"[\w.-]+(?:/[\w.-]+)?")
_FUNCTION_WORDS_TEXT = """
a about after all also am an and any are as at back be because been before but by can could did do does for from get go
got had has have he her here him his how i if in into is it its just know like me more my need no not now of on one or
our out over she so some than that the their them then there they think this time to too up us want was we well went
were what when which who will with would yes you your
"""
_FUNCTION_WORDS = frozenset(_FUNCTION_WORDS_TEXT.split())
_CASE_CHANGE = re.compile(r"[a-z][A-Z]|[A-Z]{2}[a-z]")
_NO_WORD = re.compile(r"[^aeiouyAEIOUY]{5}")
_LONG = 40_000
_VERY_LONG = 400_000
_KEPT_LINE = 512
# (first code point, last, tokens a character): the worst that common vocabularies (100k and 200k byte-pair, Claude's
# older one, Qwen, Mistral, DeepSeek) needed for ordinary prose, rounded up. Scripts not listed cost their UTF-8 bytes.
_SCRIPTS = (
    (0x80, 0x24F, 1.25),
    (0x370, 0x3FF, 1.3),
    (0x400, 0x4FF, 0.85),
    (0x590, 0x5FF, 1.2),
    (0x600, 0x6FF, 1.2),
    (0x900, 0x97F, 1.3),
    (0xE00, 0xE7F, 2.0),
    (0x1E00, 0x1EFF, 2.5),
    (0x2010, 0x203F, 2.0),
    (0x20A0, 0x20CF, 2.0),
    (0x3000, 0x30FF, 1.2),
    (0x4E00, 0x9FFF, 1.5),
    (0xAC00, 0xD7AF, 1.55),
)


class EstimatedTokens:
    """A TokenCounter without a vocabulary: about a quarter above the truth for English, more for code and JSON."""

    def count(self, text: str) -> int:
        """Tokens of `text`; texts beyond 40,000 characters are counted by their bytes, since none fits a budget."""
        if len(text) > _LONG:
            return _bound(text)
        return _estimate(text)


class TokenizerTokens:
    """A TokenCounter over a real tokenizer; special tokens are not counted."""

    def __init__(self, tokenizer: "Tokenizer") -> None:
        self._tokenizer = tokenizer

    def count(self, text: str) -> int:
        """Tokens of `text`, exactly; texts beyond 400,000 characters are counted by their bytes."""
        if len(text) > _VERY_LONG:
            return _bound(text)
        return len(self._tokenizer.encode(text, add_special_tokens=False).ids)


def tokenizer_counter(path_or_name: str) -> TokenCounter:
    """The counter of a `tokenizer.json` (a file, or a folder that holds one), or of a hub model named `owner/model`.

    Only a name that is no path is looked up at the hub, and only because it was configured. Errors: Invalid.
    """
    from tokenizers import Tokenizer

    path = Path(path_or_name).expanduser()
    file = path / "tokenizer.json" if path.is_dir() else path
    try:
        if file.is_file():
            return TokenizerTokens(Tokenizer.from_file(str(file)))
        if path.suffix != ".json" and not path.is_absolute() and _HUB_NAME.fullmatch(path_or_name):
            return TokenizerTokens(Tokenizer.from_pretrained(path_or_name))
    except Exception as error:  # the library raises bare Exception
        raise Invalid(
            f"The tokenizer {shown(path_or_name)}",
            f"could not be read ({shown(str(error))})",
            "give the path of a tokenizer.json file, or leave it out to estimate",
        ) from error
    raise Invalid(
        f"The tokenizer {shown(path_or_name)}",
        "is not there",
        "give the path of a tokenizer.json file, or leave it out to estimate",
    )


def json_text(value: object) -> str:
    """`value` as compact JSON, keys in their order, non-ASCII kept."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)


def _estimate(text: str) -> int:
    """Line by line, so that the parts of a text cost what the whole does."""
    if "\n" not in text:
        return _line(text)
    lines = text.split("\n")
    return min(sum(map(_line, lines)) + len(lines) - 1, _bound(text))


def _line(text: str) -> int:
    return _kept_line(text) if len(text) <= _KEPT_LINE else _counted(text)


@lru_cache(maxsize=8192)
def _kept_line(text: str) -> int:
    return _counted(text)


def _counted(text: str) -> int:
    """Words, wide characters and runs of spaces by their own prices; every other character but a space costs one."""
    words = _WORDS.findall(text)
    common = sum(word.lower() in _FUNCTION_WORDS for word in words)
    english = common * 5 >= len(words)
    wide = "" if text.isascii() else "".join(_WIDE.findall(text))
    total: float = len(text) - len(wide) - sum(map(len, words)) - text.count(" ")
    total += sum(_word(word, english) for word in words)
    total += sum(1 + len(spaces) // 4 for spaces in _SPACES.findall(text))
    total += sum(_wide(character) * count for character, count in Counter(wide).items())
    return min(math.ceil(total * 1.05), _bound(text))


def _bound(text: str) -> int:
    """What a byte-level vocabulary can need at most, with room for those that normalise first or mark the start."""
    size = len(text.encode("utf-8", "surrogatepass"))
    return size + size // 20 + 2 if size else 0


def _word(word: str, english: bool) -> float:
    length = len(word)
    if length <= 2:
        return 1
    if _NO_WORD.search(word):
        return length / 1.4
    if _CASE_CHANGE.search(word):
        return 1 + length / 1.7
    if word.isupper():
        return 1 + length / 2.5
    if english:
        return 1 if length <= 5 else length / 4
    return max(1.0, length / 2.1)


@lru_cache(maxsize=8192)
def _wide(character: str) -> float:
    point = ord(character)
    for first, last, cost in _SCRIPTS:
        if first <= point <= last:
            return cost
    return len(character.encode("utf-8", "surrogatepass")) * 1.1
