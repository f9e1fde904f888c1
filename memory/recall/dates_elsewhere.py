"""Dates in languages beyond those of `date_words`, by the dateparser library, which is imported when first needed."""

import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import islice

_LOCALES = {
    "swedish": "sv",
    "danish": "da",
    "polish": "pl",
    "turkish": "tr",
    "greek": "el",
    "hindi": "hi",
    "armenian": "hy",
}
_SCRIPTS = (
    (re.compile(r"[\uac00-\ud7af]"), "ko"),
    (re.compile(r"[іїєґ]"), "uk"),
    (re.compile(r"[\u0590-\u05ff]"), "he"),
)
_WORDS = re.compile(r"\w+\.?")
_PARTICLE = re.compile(r"(?<=[\uac00-\ud7af]{2})(?:에는|에도|에|은|는|의)$")
_MOST_WORDS = 16
_LONGEST_WORD = 32
_LONGEST = 4


def locale_of(text: str, languages: Sequence[str]) -> str | None:
    """The library's name of the language of `text`, when it is one of those read here; `languages`: plausible ones."""
    for script, name in _SCRIPTS:
        if script.search(text):
            return name
    return _LOCALES.get(languages[0]) if len(languages) == 1 else None


def read_dates(text: str, locale: str, now: datetime) -> Iterator[tuple[datetime, str, str]]:
    """(midnight of a day in it, its unit, the words) for every time the library finds, the longest words first."""
    from dateparser.date import DateDataParser

    # `now` is local already; with a zone of its own the library does not look for the machine's, and fail over it.
    # The library keeps every settings it was ever given: one set of them a day, not one a question.
    noon = now.replace(tzinfo=None, hour=12, minute=0, second=0, microsecond=0)
    settings = {"RELATIVE_BASE": noon, "PREFER_DATES_FROM": "past", "TIMEZONE": "UTC"}
    parser = DateDataParser(languages=[locale], settings=settings)
    words = [_PARTICLE.sub("", m.group()[:_LONGEST_WORD]) for m in islice(_WORDS.finditer(text), _MOST_WORDS)]
    at = 0
    while at < len(words):
        for length in range(min(_LONGEST, len(words) - at), 0, -1):
            said = " ".join(words[at : at + length])
            found = parser.get_date_data(said) if len(said) > 1 and not said.isdigit() else None
            if found is not None and found.date_obj is not None:
                yield (
                    found.date_obj.replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=now.tzinfo),
                    found.period,
                    said,
                )
                at += length - 1
                break
        at += 1
