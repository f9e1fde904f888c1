"""A text to a row of marks: figures and words of time, and where they stand."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from memory.model import QUERY_LENGTH
from memory.recall.date_words import PHRASES, UNSPACED, lexicon
from memory.recall.languages import plausible, script_language
from memory.recall.terms import fold, words

_UNSPACED_MARKS = dict(UNSPACED)
_UNSPACED_WORDS = re.compile("|".join(re.escape(said) for said, _ in sorted(UNSPACED, key=lambda p: -len(p[0]))))
_CJK = re.compile(r"[\u3041-\u30ff\u4e00-\u9fff]")
_CJK_NUMBERS = str.maketrans("一二两三四五六七八九", "1223456789")
_CJK_NUMBER = re.compile(r"(?<![一-鿿])([一二两三四五六七八九])(?=[ヶか个カヵ周週日天年]|星期)")
_CJK_WEEKDAY = re.compile(r"(上|下|这)个?(?:周|星期)([一二三四五六日天])")
_CJK_SHIFT = {"上": "last", "下": "next", "这": "this"}
_JOINING = {"の", "的"}
_LETTERS = re.compile(r"[^\W\d_]+")
_SEPARATORS = re.compile(r"[/.]")
_TOKEN = re.compile(
    r"(?P<iso>\b\d{4}-\d{1,2}(?:-\d{1,2})?(?:t[\d:.]+z?)?\b)"
    r"|(?P<ymd>\b\d{4}[/.]\d{1,2}[/.]\d{1,2}\b)"
    r"|(?P<dmy>\b\d{1,2}(?P<sep>[./-])\d{1,2}(?P=sep)(?:\d{4}|\d{2})\b)"
    r"|(?P<dm>\b\d{1,2}\.\d{1,2}\.(?!\d))"
    r"|(?P<cjk>(?:(?P<y>\d{4})年)?(?P<m>\d{1,2})月(?:(?P<d>\d{1,2})[日号])?|(?P<yy>\d{4})年)"
    r"|(?P<mark>(?<![a-z_])[a-z_]++:[-\w:]+)"
    r"|(?P<number>(?<!\d)\d++)(?P<ordinal>st|nd|rd|th|er|e|º|ª|ste|de|го)?(?=[^\w]|$|_)\.?"
    r"|(?P<word>[^\W\d_]+)"
    r"|(?P<stop>[?!;]|\.(?=\s|$))"
)


_TIMES = frozenset(
    ["date", "year", "month", "weekday", "unit", "season", "feast", "day", "days", "weeks", "months", "years"]
)


@dataclass(frozen=True, slots=True)
class Mark:
    """`kind` and `value` as in `date_words`, or `date` (year, month, day as y-m-d) or `year`; `text` as it stands."""

    kind: str
    value: str
    text: str

    @property
    def number(self) -> int:
        return int(self.value)


def may_speak_of_time(marks: Sequence[Mark]) -> bool:
    """Whether there is anything to understand at all."""
    return any(mark.kind in _TIMES for mark in marks)


def scan(text: str) -> list[Mark]:
    """The marks of `text`, in order; words that say nothing of time are marked `word`."""
    folded = " ".join(text[:QUERY_LENGTH].casefold().replace("’", "'").split())
    pieces = words(text[:QUERY_LENGTH])
    languages = [*plausible(pieces), *sorted({script for script in map(script_language, pieces) if script})]
    said: dict[str, str] = {}
    if _CJK.search(folded):
        folded = _CJK_WEEKDAY.sub(lambda m: _marked(m, said), folded)
        folded = _CJK_NUMBER.sub(lambda m: m.group().translate(_CJK_NUMBERS), folded)
        folded = _UNSPACED_WORDS.sub(lambda m: _marked(m, said), folded)
    if not folded.isascii():
        folded = _LETTERS.sub(lambda m: fold(m.group()), folded)
    for phrase, mark in PHRASES:
        if phrase in folded:
            folded = folded.replace(phrase, mark)
            said[mark.strip()] = phrase
    return [replace(mark, text=said.get(mark.text, mark.text)) for mark in _marks(folded, languages)]


def _marked(match: re.Match[str], said: dict[str, str]) -> str:
    """The marks for what stands in an unspaced text; `said` keeps the text under the last of them."""
    text = match.group()
    if text[0] in _CJK_SHIFT and text not in _UNSPACED_MARKS:
        weekday = min("一二三四五六日天".index(match[2]), 6)
        marks = [f"rel:{_CJK_SHIFT[text[0]]}", "unit:week", f"weekday:{weekday}"]
    else:
        marks = [f"rel:{part}" if ":" not in part else part for part in _UNSPACED_MARKS[text].split("_") if part]
    for mark in marks:
        said[mark] = ""
    said[marks[-1]] = text
    return f" {' '.join(marks)} "


def _marks(folded: str, languages: Sequence[str]) -> Iterator[Mark]:
    for match in _TOKEN.finditer(folded):
        said = match.group()
        if match["iso"]:
            yield Mark("date", said.split("t")[0], said)
        elif match["ymd"]:
            yield Mark("date", _SEPARATORS.sub("-", said), said)
        elif match["dmy"]:
            yield Mark("date", _day_first(said, match["sep"]), said)
        elif match["dm"]:
            day, month, _ = said.split(".")
            yield Mark("date", f"0-{month}-{day}", said)
        elif match["cjk"]:
            yield Mark("date", f"{match['yy'] or match['y'] or 0}-{match['m'] or 0}-{match['d'] or 0}", said)
        elif match["mark"]:
            kind, _, value = said.partition(":")
            yield Mark(value if kind == "rel" else kind, value, said)
        elif match["number"]:
            number = int(match["number"][:6])
            is_year = 1900 <= number <= 2100 and not match["ordinal"]
            yield Mark("year" if is_year else "number", str(number), said)
        elif match["stop"] or said in _JOINING:
            yield Mark("stop" if match["stop"] else "fill", "", said)
        else:
            yield _word(said, languages)


def _word(said: str, languages: Sequence[str]) -> Mark:
    for language in languages:
        mark = lexicon(language).get(said)
        if mark:
            kind, _, value = mark.partition(":")
            return Mark(kind, value, said)
    return Mark("word", "", said)


def _day_first(said: str, separator: str) -> str:
    """Day before month, unless that cannot be, or slashes speak for the American order and allow it."""
    first, second, year = (int(part) for part in said.split(separator))
    full = year if year > 99 else 2000 + year if year < 70 else 1900 + year
    american = second > 12 or (separator == "/" and first <= 12)
    month, day = (first, second) if american else (second, first)
    return f"{full}-{month}-{day}"
