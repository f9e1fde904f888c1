"""A summary without a model that writes: the session's own telling sentences, and what they promise and decide."""

import logging
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from inference.summarizers import cues
from inference.summarizers.sentences import Sentence, rarity, sentences, split, telling
from memory.errors import Unavailable
from memory.model import Fact, Message, Summary, SummaryDraft
from memory.ports import Embedder, TokenCounter

log = logging.getLogger("backstory.summarizing")

_Matrix = npt.NDArray[np.float32]
Item = TypeVar("Item")

_CANDIDATES = 64
_LINES = 14
_DULL = 0.3
_HEADING = re.compile(r"^Conversation of (?P<first>\d{1,2} \w+ -?\d{1,4}).* \(messages? 1(?: to \d+)?\):$")
_NUMBERED = re.compile(r"^- \[(\d+)\] ")
_SINCE = "Since then:"
_PROMISES = 200
"""Of one stretch of a conversation, the newest that are looked at: 20 are kept."""
_LIMITS = {"decisions": 20, "commitments": 20, "open_questions": 10, "facts": 30, "entities": 40}


@dataclass(frozen=True, slots=True)
class _Line:
    """A candidate for the text: what it says, what it is worth, and where it stands."""

    text: str
    worth: float
    order: int
    sentence: Sentence | None = None


class ExtractiveSummarizer:
    """A Summarizer that never fails: with an embedder, central means close to what the session is about in meaning;
    without one, in words."""

    name = "extractive"

    def __init__(self, embedder: Embedder | None = None, counter: TokenCounter | None = None) -> None:
        self._embedder = embedder
        self._count: Callable[[str], int] = counter.count if counter else _rough_count

    def summarize(self, previous: Summary | None, messages: Sequence[Message], max_tokens: int) -> SummaryDraft:
        """Folds `messages` into `previous`, whoever wrote that: prose is kept as it is as far as it fits."""
        found = sentences(messages)
        prose, old_lines = _read(previous)
        later = cues.Later(found)
        old_lines = [line for line in old_lines if not cues.is_kept_promise(line, later)]
        heading = _heading(previous, messages)
        heading = heading if self._count(heading) * 3 <= max_tokens else ""
        room = max_tokens - self._count(heading) - 4
        prose = self._within(prose, room * 2 // 3 if found else room)
        room -= self._count(prose)
        share = self._old_share(previous, messages)
        new = self._worthy(found)
        known = _HEADING.match(heading)
        chosen = self._chosen(old_lines, new, room, share, known["first"] if known else "")
        parts = [heading, prose, _SINCE if prose and chosen else "", *chosen]
        return replace(
            _lists(previous, found, later), text="\n".join(part for part in parts if part) or "Nothing was said."
        )

    def _worthy(self, found: list[Sentence]) -> list[_Line]:
        """The sentences worth a line, with their worth, by order."""
        some = [s for s in found if not cues.is_phatic(s) and 4 <= s.length <= 60] or found
        if not some:
            return []
        plain = _plain_centrality(some)
        worth = [0.35 * c + _bonus(s) for s, c in zip(some, plain, strict=True)]
        best = sorted(range(len(some)), key=lambda i: (-worth[i], i))[:_CANDIDATES]
        meaning = self._meaning_centrality([some[i] for i in best])
        if meaning is not None:
            for i, close in zip(best, meaning, strict=True):
                worth[i] += 0.5 * close
        return [_Line(some[i].text, worth[i], some[i].order, some[i]) for i in sorted(best)]

    def _meaning_centrality(self, found: Sequence[Sentence]) -> list[float] | None:
        if self._embedder is None or len(found) < 3:
            return None
        try:
            vectors = self._embedder.embed_passages([s.text for s in found])
        except Unavailable as error:
            log.warning("The summary is made from words alone: %s", error)
            return None
        return _standing(vectors @ vectors.T)

    def _chosen(self, old: list[str], new: list[_Line], room: int, share: float, first_day: str) -> list[str]:
        """Lines that fit, the old ones' share first, then the new ones by worth and difference, in order of time."""
        kept = _thinned(old, int(room * share) if new else room, self._count)
        left = room - sum(self._count(line) + 1 for line in kept)
        picked: list[_Line] = []
        pool = _Pool(new, [telling(line.partition(": ")[2]) for line in kept])
        while pool.lines and len(picked) < max(4, min(_LINES, math.ceil(len(new) * 0.75))):
            best = max(pool.lines, key=lambda line: (line.worth - 1.6 * pool.nearest(line), -line.order))
            nearest = pool.nearest(best)
            pool.lines.remove(best)
            price = self._count(_written([best], first_day)[0]) + 1
            dull = best.worth < _DULL and len(picked) > 2
            if price <= left and not dull and nearest < 0.6:
                picked.append(best)
                pool.took(best)
                left -= price
                # "It made me think": what "it" is stands in the sentence before.
                before = _what_it_leans_on(best, picked, pool.lines) if cues.leans_back(best.text) else None
                price = self._count(before.text) + 1 if before else 0
                if before and price <= left:
                    pool.lines.remove(before)
                    picked.append(before)
                    pool.took(before)
                    left -= price
        return kept + _written(sorted(picked, key=lambda line: line.order), first_day)

    @staticmethod
    def _old_share(previous: Summary | None, messages: Sequence[Message]) -> float:
        if previous is None or not messages:
            return 1.0 if previous is not None else 0.0
        return min(0.75, max(0.35, previous.covers_to_seq / max(1, messages[-1].seq)))

    def _within(self, prose: str, room: int) -> str:
        """As many whole sentences of the prose as fit."""
        if self._count(prose) <= room:
            return prose
        kept: list[str] = []
        for sentence in split(prose):
            if self._count(" ".join([*kept, sentence])) > room:
                break
            kept.append(sentence)
        return " ".join(kept)


def _read(previous: Summary | None) -> tuple[str, list[str]]:
    """The prose and the lines of an earlier summary; its heading is made anew."""
    if previous is None:
        return "", []
    prose: list[str] = []
    lines: list[str] = []
    for line in previous.draft.text.splitlines():
        if _NUMBERED.match(line):
            lines.append(line)
        elif line.strip() and line != _SINCE and not _HEADING.match(line):
            prose.append(line)
    return "\n".join(prose), lines


def _heading(previous: Summary | None, messages: Sequence[Message]) -> str:
    """Who talked, when, and which messages this is about."""
    told = previous.draft.text.split("\n", 1)[0] if previous else ""
    if not messages:
        return told if _HEADING.match(told) else ""
    known = _HEADING.match(told)
    start, end = _day(messages[0]), _day(messages[-1])
    start = known["first"] if known else start
    if previous is not None and not known:
        return ""
    names = list(dict.fromkeys(cues.speaker(m) for m in messages if m.role in ("user", "assistant")))
    first, _, last = told.partition(" between ")[2].rpartition(" (")[0].rpartition(" and ") if known else ("", "", "")
    names = list(dict.fromkeys([*(name for name in (first, last) if first and last), *names]))
    who = f" between {', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else ""
    days = start if start == end else f"{start} to {end}"
    count = "message 1" if messages[-1].seq == 1 else f"messages 1 to {messages[-1].seq}"
    return f"Conversation of {days}{who} ({count}):"


def _day(message: Message) -> str:
    moment = message.occurred_at
    return f"{moment.day} {moment:%B} {moment.year}"


def _plain_centrality(found: Sequence[Sentence]) -> list[float]:
    """How much of what a sentence says the others speak of too, by rarity of the words."""
    counts = rarity(found)
    total = len(found)
    weight = {word: math.log(1 + total / count) * (count > 1) for word, count in counts.items()}
    raw = [sum(weight[word] for word in s.words) / math.sqrt(len(s.words) + 3) for s in found]
    return _standard(np.asarray(raw, dtype=np.float32))


def _standing(similar: _Matrix) -> list[float]:
    return _standard(similar.mean(axis=1))


def _standard(raw: _Matrix) -> list[float]:
    spread = float(raw.std())
    return [float(x) for x in (raw - raw.mean()) / spread] if spread > 1e-9 else [0.0] * len(raw)


def _bonus(s: Sentence) -> float:
    """What speaks for a sentence besides being central: that it says something of its own."""
    text = s.text
    bonus = 0.3 * min(4, cues.specifics(text)) + 0.12 * min(8, len(s.words))
    bonus += 1.2 * cues.is_decision(text) + 1.3 * cues.states_fact(text) + 0.8 * cues.tells_when(text)
    bonus += 1.0 * (cues.commitment(s) is not None)
    bonus += 0.6 * (s.message.role == "user" and s.message.speaker is None)
    bonus -= 1.5 * cues.is_question(text) + 1.4 * cues.opens_phatic(text) + 1.6 * cues.is_general(text)
    bonus -= 0.8 * cues.leans_back(text)
    bonus -= 0.6 * (s.length < 7) + 0.02 * max(0, s.length - 30)
    return bonus


def _what_it_leans_on(line: _Line, picked: Sequence[_Line], pool: Sequence[_Line]) -> _Line | None:
    """The nearest sentence before this one in its message that stands by itself; None when that is picked already."""
    mine = line.sentence
    assert mine is not None
    same = [p for p in (*picked, *pool) if p.sentence and p.sentence.message.seq == mine.message.seq]
    earlier = [p for p in same if p.order < line.order and not cues.leans_back(p.text)]
    nearest = max(earlier, key=lambda p: p.order, default=None)
    return None if nearest in picked else nearest


class _Pool:
    """Lines to choose from; how near each is to what is in already is kept up to date, not worked out anew."""

    def __init__(self, lines: Sequence[_Line], kept: Sequence[frozenset[str]]) -> None:
        self.lines = list(lines)
        self._nearest = {line.order: max((_overlap(line, other) for other in kept), default=0.0) for line in lines}

    def nearest(self, line: _Line) -> float:
        """The overlap in words with the most similar line that is in already, 0 to 1."""
        return self._nearest[line.order]

    def took(self, line: _Line) -> None:
        """Notes that `line` is in now."""
        if line.sentence is not None:
            for other in self.lines:
                nearest = _overlap(other, line.sentence.words)
                self._nearest[other.order] = max(nearest, self._nearest[other.order])


def _overlap(line: _Line, other: frozenset[str]) -> float:
    """How much of the shorter one the other says too; another number makes another line."""
    if line.sentence is None or not line.sentence.words:
        return 1.0
    mine = line.sentence.words
    numbers = {word for word in mine if word[0].isdigit()}
    same = len(mine & other) / min(len(mine), max(1, len(other)))
    return same - 0.4 * bool(numbers and len(mine) > 4 and not numbers <= other)


def _thinned(lines: list[str], room: int, count: Callable[[str], int]) -> list[str]:
    """Lines that fit, dropped where they stand closest and say what others say too, so that every part of the past
    keeps a voice; the first stays longest, and what decides, promises or states a fact counts half as much again."""
    kept = [_Kept(int(match[1]), line) for line in lines if (match := _NUMBERED.match(line))]
    spent = sum(count(one.line) + 1 for one in kept)
    alike = {(a.line, b.line): len(a.said & b.said) / max(1, len(a.said)) for a in kept for b in kept}
    while kept and spent > room:
        places = [0, *(one.place for one in kept), kept[-1].place]

        def worth(i: int, places: list[int] = places) -> float:
            one = kept[i]
            others = (alike[one.line, other.line] for j, other in enumerate(kept) if j != i)
            return (places[i + 2] - places[i]) * one.weight * (1.2 - max(others, default=0.0))

        drop = min(range(min(1, len(kept) - 1), len(kept)), key=lambda i: (worth(i), i))
        spent -= count(kept.pop(drop).line) + 1
    return [one.line for one in kept]


class _Kept:
    """A line of an earlier summary: its message's number, its telling words, and how much it counts."""

    __slots__ = ("line", "place", "said", "weight")

    def __init__(self, place: int, line: str) -> None:
        self.place = place
        self.line = line
        self.said = telling(line.partition(": ")[2])
        self.weight = 1.5 if cues.matters(line) else 1.0


def _written(lines: Sequence[_Line], first_day: str) -> list[str]:
    """One bullet for each message, with its number, its speaker and, where it is not the first day, the date."""
    found: list[str] = []
    last: int | None = None
    for line in lines:
        assert line.sentence is not None
        message = line.sentence.message
        if last == message.seq:
            found[-1] += " " + line.text
        else:
            when = f" ({_day(message)})" if _day(message) != first_day else ""
            found.append(f"- [{message.seq}] {cues.sentence_start(cues.speaker(message))}{when}: {line.text}")
        last = message.seq
    return found


def _lists(previous: Summary | None, found: list[Sentence], later: cues.Later) -> SummaryDraft:
    """What was decided, promised, asked and stated: carried over, settled where later words settle it, and added to."""
    old = previous.draft if previous else SummaryDraft(text="")
    promised = [(s, c) for s in found if (c := cues.commitment(s))][-_PROMISES:]
    open_old = [c for c in old.commitments if not cues.is_kept(c.what, later)]
    open_new = [c for s, c in promised if not cues.is_kept(c.what, later, after_seq=s.message.seq)]
    asked = [q for q in old.open_questions if cues.still_open(q, later)] + cues.open_questions(found)
    decided = [cues.said_by(s) for s in found if cues.is_decision(s.text)]
    return SummaryDraft(
        text="",
        decisions=_latest("decisions", [*old.decisions, *decided], lambda f: f.text),
        commitments=_latest("commitments", [*open_old, *open_new], lambda c: c.what),
        open_questions=_latest("open_questions", asked, lambda f: f.text),
        facts=_latest("facts", [*old.facts, *_facts(found)], lambda f: f.text),
        entities=_latest("entities", [*old.entities, *cues.entities(found)], lambda e: e),
    )


def _facts(found: list[Sentence]) -> list[Fact]:
    """The most telling statements about themselves that people made."""
    stated = [s for s in found if cues.states_fact(s.text) and not cues.is_phatic(s) and s.length >= 4]
    stated = [s for s in stated if len(s.words) > 2 and (s.message.role == "user" or s.message.speaker)]
    best = sorted(stated, key=lambda s: (-(2 * min(3, cues.specifics(s.text)) + min(6, len(s.words))), s.order))[:10]
    return [cues.said_by(s) for s in sorted(best, key=lambda s: s.order)]


def _latest(kind: str, items: Sequence[Item], text: Callable[[Item], str]) -> tuple[Item, ...]:
    """Each once, the newest where there are too many."""
    seen: dict[str, Item] = {}
    for item in items:
        seen.setdefault(" ".join(text(item).lower().split()), item)
    return tuple(seen.values())[-_LIMITS[kind] :]


def _rough_count(text: str) -> int:
    return len(text) // 3 + 1
