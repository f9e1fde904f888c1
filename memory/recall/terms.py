"""Text to search terms: normalised, folded, stemmed per language, n-grams where words are not spaced.

A *token* is the tuple of terms one place of the text may be found by (usually one term). Matching takes the best of a
token's terms, so a word that was analysed under several languages does not count several times.
"""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from functools import lru_cache
from hashlib import blake2b
from itertools import pairwise
from typing import Literal

from memory.model import QUERY_LENGTH
from memory.names import seen
from memory.recall.languages import LONGEST_WORD, is_function_word, plausible, script_language, stem
from memory.recall.spellings import BETWEEN, HUMP, Piece, humped, pieces_of

Token = tuple[str, ...]

_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1100-\u11ff\u1780-\u17ff\u3005-\u3007\u3041-\u30ff\u3100-\u318f\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff\U00020000-\U000323af"
_MARKS = "\u0300-\u036f\u0483-\u0487\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u0610-\u061a\u0640\u064b-\u065f\u0670\u06d6-\u06dc\u06df-\u06e8\u0900-\u0963\u0966-\u0dff"
_SYMBOLS = "\u2600-\u27bf\U0001f300-\U0001faff"
_WORD = rf"(?:(?![{_UNSPACED}])[^\W_]|[{_MARKS}])++"
_PIECES = re.compile(rf"([{_UNSPACED}]+)|({_WORD})|([{_SYMBOLS}])")
_CHAINS = re.compile(rf"([{_UNSPACED}]+)|(\+?{_WORD}(?:(?:{BETWEEN}){_WORD})*+)|([{_SYMBOLS}])")
_ASCII_WORDS = re.compile(r"[a-z0-9]+")
_ASCII_CHAINS = re.compile(rf"\+?[a-z0-9]++(?:(?:{BETWEEN})[a-z0-9]++)*+", re.ASCII)
_FOREIGN_DIGIT = re.compile(r"(?![0-9])\d")
_POSSESSIVE = re.compile(r"['’](?:s\b|(?=\s|$))")
_UNSPACED_CHARACTER = re.compile(rf"[{_UNSPACED}]")
_MANY_MARKS = re.compile(r"[^\w\s\x00-\x7f]{32}")
_EXPANSION = 2
_MOST_JOINED = 4
_NON_JOINER = "\u200c"
"""Parts a word where letters would be joined: some write a space for it, some nothing."""
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


def _normalise(text: str, parted: bool = False) -> str:
    """NFKC and casefolded, without what nobody sees; accents kept, possessive endings gone. `parted`: with marks
    between the parts of words."""
    if text.isascii():
        text = (humped(text) if parted else text).lower()
    else:
        # What single characters expand to is cut off where it makes the text several times as long.
        most = max(LONGEST_WORD, _EXPANSION * len(text))
        text = _composed("NFKC", seen(text.replace(_NON_JOINER, HUMP)))[:most]
        text = _FOREIGN_DIGIT.sub(lambda digit: str(unicodedata.decimal(digit.group())), text)
        text = _composed("NFKC", (humped(text) if parted else text).casefold())[: 2 * most]
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


def written(text: str) -> list[Piece]:
    """The same with the parts of words, each knowing what it is part of."""
    text = _normalise(text, parted=True)
    if text.isascii():
        return [piece for chain in _ASCII_CHAINS.findall(text) for piece in pieces_of(chain)]
    found = ((m.group(), m.group(2)) for m in _CHAINS.finditer(text))
    return [piece for said, chain in found for piece in (pieces_of(chain) if chain else (Piece(said),))]


def tokens(text: str) -> list[Token]:
    """The tokens of a document, in order."""
    return tokens_of(written(text))


def tokens_of(pieces: Sequence[Piece], languages: Sequence[str] | None = None) -> list[Token]:
    """The tokens of `pieces`; `languages` says which Latin-script ones to assume (default: what detection leaves).
    A whole is a term of its first piece."""
    assumed = tuple(languages) if languages is not None else plausible([piece.text for piece in pieces])
    found: list[Token] = []
    for piece in pieces:
        if _is_unspaced(piece.text):
            found.extend(_grams(piece.text))
        else:
            found.append(_forms((piece.text, *piece.begins), assumed))
    return found


def _forms(words: Sequence[str], languages: tuple[str, ...]) -> Token:
    """The distinct terms that one place is found by, which can be written as each of `words`."""
    if len(words) == 1:
        return _variants(words[0], languages)
    return tuple(dict.fromkeys(term for word in words for term in _variants(word, languages)))


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

    A piece is found by the wholes as well that it is within; a word of parts is one token more.
    `languages` are assumed besides those that `text` itself may be in.
    """
    pieces = written(text[:QUERY_LENGTH])
    own = plausible([piece.text for piece in pieces])
    assumed = tuple(dict.fromkeys((*own, *languages)))
    kept = [piece for piece in pieces if not is_function_word(piece.text, own)]
    found: dict[Token, None] = {}
    for whole in _wholes(pieces, kept, own):
        found[_variants(whole, assumed)] = None
    joined = _joined(pieces, own)
    for piece in kept or ([] if found else pieces):
        if _is_unspaced(piece.text):
            found.update(dict.fromkeys(_query_grams(piece.text)))
        elif len(piece.text) > 1 or not piece.word:
            terms = _forms((piece.text, *piece.within), assumed)
            found[tuple(dict.fromkeys((*terms, *_forms(joined.get(piece.text, ()), own))))] = None
    return list(found)


def _may_join(piece: Piece, languages: tuple[str, ...]) -> bool:
    word = piece.text
    plain = len(word) > 2 and word.isalpha() and not piece.within
    return plain and not _is_unspaced(word) and not is_function_word(word, languages)


def _joined(pieces: Sequence[Piece], languages: tuple[str, ...]) -> dict[str, list[str]]:
    """Each word with what it and its neighbour make as one word: somebody may have written "web site" so."""
    found: dict[str, list[str]] = {}
    for one, other in pairwise(pieces):
        if _may_join(one, languages) and _may_join(other, languages):
            for word in (one.text, other.text):
                found.setdefault(word, []).append(one.text + other.text)
    return {word: wholes[:_MOST_JOINED] for word, wholes in found.items()}


def _wholes(pieces: Sequence[Piece], kept: Sequence[Piece], languages: Sequence[str]) -> Iterator[str]:
    """The words that have parts, and what has none but function words in it: YouTube, to-do, but no French est-ce."""
    covered = {whole for piece in kept for whole in piece.within}
    grammar = "french" in languages
    for piece in pieces:
        for whole in piece.begins:
            if whole == piece.word or not (grammar or whole in covered or is_function_word(whole, languages)):
                yield whole


def _query_grams(run: str) -> list[Token]:
    return [(run[i : i + 2],) for i in range(len(run) - 1)] if len(run) > 1 else [(run,)]
