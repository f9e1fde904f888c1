"""Text to search terms: normalised, folded, stemmed per language, n-grams where words are not spaced.

A *token* is the tuple of terms one place of the text may be found by (usually one term). Matching takes the best of a
token's terms, so a word that was analysed under several languages does not count several times.
"""

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from hashlib import blake2b
from itertools import pairwise
from typing import Literal

from memory.recall.languages import LONGEST_WORD, is_function_word, plausible, script_language, stem

Token = tuple[str, ...]

_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1100-\u11ff\u1780-\u17ff\u3005-\u3007\u3041-\u30ff\u3100-\u318f\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff\U00020000-\U000323af"
_MARKS = "\u0300-\u036f\u0483-\u0487\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u0610-\u061a\u0640\u064b-\u065f\u0670\u06d6-\u06dc\u06df-\u06e8\u0900-\u0963\u0966-\u0dff"
_SYMBOLS = "\u2600-\u27bf\U0001f300-\U0001faff"
_PIECES = re.compile(rf"([{_UNSPACED}]+)|((?:(?![{_UNSPACED}])[^\W_]|[{_MARKS}])+)|([{_SYMBOLS}])")
_ASCII_WORDS = re.compile(r"[a-z0-9]+")
_POSSESSIVE = re.compile(r"['’](?:s\b|(?=\s|$))")
_UNSPACED_CHARACTER = re.compile(rf"[{_UNSPACED}]")
_MANY_MARKS = re.compile(r"[^\w\s\x00-\x7f]{32}")
_EXPANSION = 4
_STRIPPED = re.compile("[\u0300-\u036f\u0591-\u05c7\u0610-\u061a\u0640\u064b-\u065f\u0670]")
_LETTERS = str.maketrans(
    {
        "æ": "ae",
        "œ": "oe",
        "ø": "o",
        "ł": "l",
        "đ": "d",
        "ð": "d",
        "ı": "i",
        "þ": "th",
        "ß": "ss",
        "أ": "ا",
        "إ": "ا",
        "آ": "ا",
        "ٱ": "ا",
        "ى": "ي",
        "ة": "ه",
        "ؤ": "و",
        "ئ": "ي",
        "ک": "ك",
        "ی": "ي",
    }
)
_DROPPED = {"ﾞ", "ﾟ"}


def _normalise(text: str) -> str:
    """NFKC and casefolded; accents kept, possessive endings gone."""
    if text.isascii():
        text = text.lower()
    else:
        # What single characters expand to is cut off where it makes the text several times as long.
        most = max(LONGEST_WORD, _EXPANSION * len(text))
        text = _composed("NFKC", _composed("NFKC", text)[:most].casefold())[:most]
    return _POSSESSIVE.sub("", text)


def fold(word: str) -> str:
    """A normalised word without accents, vowel points and letter variants."""
    if word.isascii():
        return word
    return _kept_fold(word) if len(word) <= LONGEST_WORD else _folded(word)


@lru_cache(maxsize=32_768)
def _kept_fold(word: str) -> str:
    return _folded(word)


def _folded(word: str) -> str:
    bare = _STRIPPED.sub("", _composed("NFD", word))
    return _composed("NFC", bare).translate(_LETTERS) or word


def _composed(form: Literal["NFC", "NFD", "NFKC"], text: str) -> str:
    """`text` in a normal form. To order a run of combining marks takes the square of its length: a run is cut."""
    if _MANY_MARKS.search(text) is None:
        return unicodedata.normalize(form, text)
    cuts = [0, *(match.end() for match in _MANY_MARKS.finditer(text)), len(text)]
    return "".join(unicodedata.normalize(form, text[start:end]) for start, end in pairwise(cuts))


def words(text: str) -> list[str]:
    """The pieces of `text` in order: words (accents kept), unspaced runs, symbols."""
    text = _normalise(text)
    if text.isascii():
        return _ASCII_WORDS.findall(text)
    return [m.group() for m in _PIECES.finditer(text)]


def tokens(text: str) -> list[Token]:
    """The tokens of a document, in order."""
    return tokens_of(words(text))


def tokens_of(pieces: Sequence[str], languages: Sequence[str] | None = None) -> list[Token]:
    """The tokens of `pieces`; `languages` says which Latin-script ones to assume (default: what detection leaves)."""
    assumed = tuple(languages) if languages is not None else plausible(pieces)
    found: list[Token] = []
    for piece in pieces:
        if _is_unspaced(piece):
            found.extend(_grams(piece))
        else:
            found.append(_variants(piece, assumed))
    return found


def _variants(word: str, languages: tuple[str, ...]) -> Token:
    """The distinct terms one word is found by under each of `languages`; a word beyond any is found by its hash."""
    if len(word) > LONGEST_WORD:
        return (blake2b(fold(word).encode("utf-8", "surrogatepass"), digest_size=16).hexdigest(),)
    return _kept_variants(word, languages)


@lru_cache(maxsize=32_768)
def _kept_variants(word: str, languages: tuple[str, ...]) -> Token:
    folded = fold(word)
    script = script_language(word)
    if script == "" or len(word) < 3 or word.isdigit():
        return (folded,)
    found: dict[str, None] = {}
    for language in (script,) if script else languages:
        found[fold(stem(word, language))] = None
        if folded != word:
            found[fold(stem(folded, language))] = None
        if language == "dutch":  # its stemmer takes off an s that is the root's own: fiets, but fietsen
            found[folded] = None
    return tuple(found)


def _is_unspaced(piece: str) -> bool:
    """Whether the piece is of a script that writes no spaces between words (or glues particles to them)."""
    return piece[0] >= "\u0e00" and _UNSPACED_CHARACTER.match(piece) is not None


def _grams(run: str) -> list[Token]:
    """Overlapping pairs of characters, and each character by itself for queries of one character."""
    if len(run) == 1:
        return [(run,)]
    return [(run[i : i + 2], run[i]) if i < len(run) - 1 else (run[i],) for i in range(len(run))]


def query_tokens(text: str, languages: Sequence[str]) -> list[Token]:
    """The tokens to search by: function words off (unless nothing else is left), each once, pairs for unspaced runs.

    `languages` are assumed besides those that `text` itself may be in.
    """
    pieces = words(text)
    own = plausible(pieces)
    assumed = tuple(dict.fromkeys((*own, *languages)))
    kept = [piece for piece in pieces if not is_function_word(piece, own)] or pieces
    found: dict[Token, None] = {}
    for piece in kept:
        if _is_unspaced(piece):
            found.update(dict.fromkeys(_query_grams(piece)))
        else:
            found[_variants(piece, assumed)] = None
    return list(found)


def _query_grams(run: str) -> list[Token]:
    return [(run[i : i + 2],) for i in range(len(run) - 1)] if len(run) > 1 else [(run,)]
