"""What of a long answer fits into one result, and the sentence that says what is left and how to get it."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from memory.model import Hit, Message, Session, Summary, SummaryDraft, UserContextEntry
from memory.ports import TokenCounter
from memory.record.sessions import SessionPage, page_to
from memory.text import forms
from memory.text.excerpts import fitted
from memory.text.forms import RESULT_TOKENS
from memory.text.quoting import hit_quotation, shortened
from memory.text.results import VALUE
from memory.text.tokens import json_text
from memory.text.turns import within
from memory.text.wording import counted, entry_line, session_line

T = TypeVar("T")
_ROOM = RESULT_TOKENS - 2_000
"""Tokens; the rest is for what stands around, and for the note."""
_A_HIT = 800
_LEAST_OF_A_HIT = 60
_NAMED = 1_000
_SUMMARY = 12_000
_MORE_OF_A_SUMMARY = "Not all of this summary fits into one answer; an export has it whole"


def beginning(rows: Sequence[T], cost: Callable[[T], int], room: int = _ROOM) -> int:
    """How many of the rows, from the first on, fit."""
    for place, row in enumerate(rows):
        room -= cost(row)
        if room < 0:
            return place
    return len(rows)


def hits(
    found: Sequence[Hit], words: Sequence[str], counter: TokenCounter, room: int = _ROOM
) -> tuple[list[Hit], str | None]:
    """The hits, long ones cut around the words; where even so not all fit, the best ones, with a note."""

    def price(m: Message, hit: Hit) -> int:
        data = forms.cost(counter, forms.hit(replace(hit, message=m)))
        return max(counter.count(hit_quotation(replace(hit, message=m))) + 40, data)

    whole = [min(price(_in_reach(hit.message), hit), _A_HIT) for hit in found]
    bare = [price(replace(hit.message, content="", tool_arguments=None), hit) + _LEAST_OF_A_HIT for hit in found]
    kept = beginning([min(pair) for pair in zip(whole, bare, strict=True)], lambda cost: cost, room)
    low, high = 0, _A_HIT
    while low < high:
        middle = (low + high + 1) // 2
        if sum(max(min(w, middle), min(w, b)) for w, b in zip(whole[:kept], bare, strict=False)) <= room:
            low = middle
        else:
            high = middle - 1
    shown = []
    for hit, w, b in zip(found[:kept], whole, bare, strict=False):
        limit = max(min(w, low), min(w, b))
        cut = fitted(hit.message, limit, lambda m, hit=hit: price(_in_reach(m), hit), counter, words)  # type: ignore[misc]
        shown.append(replace(hit, message=cut or hit.message))
    left = len(found) - kept
    note = f"{counted(left, 'more message')} found {'is' if left == 1 else 'are'} left out: ask for fewer at once."
    return shown, note if left else None


def _in_reach(m: Message) -> Message:
    """The message with no more than can matter for what it costs here."""
    return m if len(m.content) <= 20 * RESULT_TOKENS else replace(m, content=m.content[: 20 * RESULT_TOKENS])


def entries(rows: Sequence[UserContextEntry], counter: TokenCounter) -> tuple[Sequence[UserContextEntry], str | None]:
    """The entries, of too many the newest version of each key first; the note names the keys that are not whole."""

    def cost(row: UserContextEntry) -> int:
        line = counter.count(entry_line(row, VALUE, kept=True)) + 3
        return max(line, forms.cost(counter, forms.entry(row)))

    after: dict[tuple[str, str | None], int] = {}
    ages = []
    for row in reversed(rows):
        age = after.get((row.key, row.project_id), 0)
        after[row.key, row.project_id] = age + 1
        ages.append(age)
    ages.reverse()
    order = sorted(range(len(rows)), key=lambda place: (ages[place], place))
    kept = beginning(order, lambda place: cost(rows[place]))
    if kept == len(rows):
        return rows, None
    places = sorted(order[:kept])
    missing = list(dict.fromkeys(rows[place].key for place in sorted(order[kept:])))
    named = missing[: beginning(missing, lambda key: counter.count(key) + 3, _NAMED)]
    more = f" and {len(missing) - len(named):,} more" if len(named) < len(missing) else ""
    note = (
        f"{counted(len(rows) - kept, 'entry', 'entries')} of these keys left out: {', '.join(named)}{more}. "
        "Ask for fewer `keys` at once, or without history."
    )
    return [rows[place] for place in places], note


def sessions(page: SessionPage, counter: TokenCounter, data: Callable[[Session], object]) -> SessionPage:
    """The page, a long one ended earlier; its cursor goes on from there."""

    def cost(session: Session) -> int:
        return max(counter.count(session_line(session)) + 3, forms.cost(counter, data(session)))

    kept = max(1, beginning(page.sessions, cost))
    return page if kept >= len(page.sessions) else page_to(page.sessions[:kept])


def summary(made: Summary, counter: TokenCounter, room: int = _SUMMARY) -> Summary:
    """The summary; of a very long one the beginning and the end of its text and the newest notes, and a note."""
    if forms.cost(counter, forms.summary(made)) <= room:
        return made
    text = made.draft.text
    most = room // 2
    while forms.cost(counter, shorter := shortened(text, most, counter)) > room // 2 and most > 20:
        most -= most // 4
    left = room - forms.cost(counter, shorter) - 200

    def newest(notes: Sequence[T], form: Callable[[T], object]) -> tuple[T, ...]:
        nonlocal left
        costs = [forms.cost(counter, form(one)) for one in reversed(notes)]
        kept = beginning(costs, lambda cost: cost, left)
        left -= sum(costs[:kept])
        return tuple(notes[len(notes) - kept :])

    draft = SummaryDraft(
        text=shorter,
        commitments=newest(made.draft.commitments, forms.commitment),
        open_questions=newest(made.draft.open_questions, forms.note),
        decisions=newest(made.draft.decisions, forms.note),
        facts=newest(made.draft.facts, forms.note),
    )
    note = f"{_MORE_OF_A_SUMMARY}. {made.note}" if made.note else f"{_MORE_OF_A_SUMMARY}."
    return replace(made, draft=draft, note=note)


def last(messages: Sequence[Message], counter: TokenCounter, room: int) -> tuple[Message, ...]:
    """The newest messages that fit."""
    return within(messages, room, counter, as_data=True)


def profile(document: dict[str, Any], counter: TokenCounter) -> dict[str, Any]:
    """A profile's document: long summaries cut, and of too many values the first, with a note."""
    if counter.count(json_text(document)) <= _ROOM:
        return document
    share = _ROOM // 3
    summaries = document["summaries"]
    each = share // max(1, len(summaries))
    cut = [{**one, "text": shortened(one["text"], max(60, each - 200), counter)} for one in summaries]
    shown: dict[str, Any] = {
        **document,
        "summaries": cut[: beginning(cut, lambda one: forms.cost(counter, one), share)],
    }
    for name in ("preferences", "metadata"):
        pairs = sorted(document[name].items(), key=lambda pair: pair[0] != "message_count")
        kept = beginning(pairs, lambda pair: forms.cost(counter, dict([pair])), share)
        shown[name] = dict(pairs[:kept])
    shown["note"] = "Not all of it fits into one answer; the user context by `keys` and each session's summary have it."
    return shown
