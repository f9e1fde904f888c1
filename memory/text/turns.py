"""The shape of a conversation: turns, tool calls with their results, and what of it fits into a number of tokens."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from memory.model import Message
from memory.ports import TokenCounter
from memory.text import forms, quoting
from memory.text.tokens import json_text

Cost = Callable[[Message], int]
Shorten = Callable[[str, int], str]

_PRICED = 40_000
_NEW_LINE = 6
"""Tokens that a line may gain when it is quoted: a bar, and a word before what looks like a speaker."""


def turns(messages: Sequence[Message]) -> list[tuple[Message, ...]]:
    """Splits before every user message; what comes before the first one is a turn of its own."""
    found: list[list[Message]] = []
    for message in messages:
        if message.role == "user" or not found:
            found.append([])
        found[-1].append(message)
    return [tuple(turn) for turn in found]


def user_turns(messages: Iterable[Message]) -> int:
    """How many user messages there are, which is how turns are counted."""
    return sum(message.role == "user" for message in messages)


def last_turns(messages: Sequence[Message], count: int) -> tuple[Message, ...]:
    """The messages from the `count`-th last user message on; all of them when there are fewer."""
    if count == 0:
        return ()
    left = count
    for index in range(len(messages) - 1, -1, -1):
        left -= messages[index].role == "user"
        if left == 0:
            return tuple(messages[index:])
    return tuple(messages)


def calls(message: Message) -> frozenset[str]:
    """The ids of the tool calls that this message makes (its own, or those a client put into `metadata`)."""
    if message.role == "tool":
        return frozenset()
    own = {message.tool_call_id} if message.tool_call_id else set()
    listed = (message.metadata or {}).get("tool_calls")
    if isinstance(listed, list):
        own |= {str(call["id"]) for call in listed if isinstance(call, dict) and call.get("id")}
    return frozenset(own)


def without_orphans(kept: Sequence[Message], every: Sequence[Message]) -> tuple[Message, ...]:
    """`kept` (in order, out of `every`) without results whose call was left out, and not beginning with a result."""
    inside = {call for message in kept for call in calls(message)}
    outside = {call for message in every for call in calls(message)} - inside
    whole = [m for m in kept if not (m.role == "tool" and m.tool_call_id in outside)]
    if whole and every and whole[0].message_id != every[0].message_id:
        while whole and whole[0].role == "tool":
            del whole[0]
    return tuple(whole)


def fit(messages: Sequence[Message], limit: int, cost: Cost, shorten: Shorten) -> tuple[Message, ...]:
    """The newest whole turns that cost at most `limit`; of a newest turn that is too large by itself, its opening
    and its newest parts, shortened where even they are too large. Never splits a call from its result."""
    kept: list[Message] = []
    left = limit
    for turn in reversed(turns(messages)):
        price = sum(map(cost, turn))
        if price > left:
            break
        kept[:0] = turn
        left -= price
    if not kept and messages:
        kept = _part_of_turn(turns(messages)[-1], limit, cost, shorten)
    return without_orphans(kept, messages)


def _part_of_turn(turn: Sequence[Message], limit: int, cost: Cost, shorten: Shorten) -> list[Message]:
    opening = [turn[0]] if turn[0].role == "user" else []
    rest = list(turn[len(opening) :])
    start = [m for message in opening if (m := _opening(message, limit, bool(rest), cost, shorten))]
    left = limit - sum(map(cost, start))
    end: list[Message] = []
    for group in reversed(_groups(rest)):
        price = sum(map(cost, group))
        if price > left:
            break
        end[:0] = group
        left -= price
    if not end and rest:
        last = _groups(rest)[-1]
        cut = [_shortened(message, left // len(last), cost, shorten) for message in last]
        end = [message for message in cut if message] if all(cut) else []
    return start + end


def _opening(message: Message, limit: int, shared: bool, cost: Cost, shorten: Shorten) -> Message | None:
    """The turn's first message, in half of the room where there is more to show; in all of it before it is lost."""
    half = _shortened(message, limit // 2, cost, shorten) if shared else None
    return half or _shortened(message, limit, cost, shorten)


def _shortened(message: Message, limit: int, cost: Cost, shorten: Shorten) -> Message | None:
    """The message with its content cut until it costs at most `limit`; None when nothing worth reading is left."""
    if cost(message) <= limit:
        return message
    bare = replace(message, tool_arguments=None, entities=None)
    frame = cost(replace(bare, content=""))
    room = limit - frame
    for _ in range(6):
        if room < 8:
            return None
        cut = replace(bare, content=shorten(message.content, room))
        over = cost(cut) - limit
        if over <= 0:
            return cut
        room -= max(over, room // 6)
    return None


def _groups(messages: Sequence[Message]) -> list[tuple[Message, ...]]:
    """Stretches that must stay together: from a call to its last result, whatever lies between."""
    last_use: dict[str, int] = {}
    for index, message in enumerate(messages):
        if message.role == "tool" and message.tool_call_id:
            last_use[message.tool_call_id] = index
    found: list[tuple[Message, ...]] = []
    start, end = 0, 0
    for index, message in enumerate(messages):
        end = max([end, index, *(last_use.get(call, 0) for call in calls(message))])
        if index == end:
            found.append(tuple(messages[start : index + 1]))
            start = index + 1
            end = start
    return found


def within(
    messages: Sequence[Message], tokens: int, counter: TokenCounter, *, as_data: bool = False
) -> tuple[Message, ...]:
    """The newest of `messages` that cost at most `tokens` as turns (with `as_data`: in the larger of the two forms);
    turns and tool calls stay whole."""
    dated = {m.message_id for m, new_day in zip(messages, quoting.new_days(messages), strict=True) if new_day}
    # The first that is kept tells its day as well, wherever the cut falls.
    room = tokens - (counter.count("2025-12-31, ") + 1)

    def price(message: Message) -> int:
        return cost(counter, message, message.message_id in dated, as_data=as_data)

    if sum(map(price, messages)) <= tokens:
        return tuple(messages)
    return fit(messages, room, price, lambda text, size: quoting.shortened(text, size, counter))


def cost(counter: TokenCounter, message: Message, dated: bool = False, *, as_data: bool = False) -> int:
    """What a message costs a model that is shown it as a turn, with role and speaker; with `as_data`, what it costs in
    the larger of the two forms.

    What lies beyond 40,000 characters is priced as it was said, on the high side: it is not neutralised to be left out.
    """
    beyond = message.content[_PRICED:]
    if beyond:
        message = replace(message, content=message.content[:_PRICED])
    if message.tool_arguments is not None and len(arguments := json_text(message.tool_arguments)) > _PRICED:
        beyond += arguments
        message = replace(message, tool_arguments=None)
    shown = counter.count(quoting.turn(message, dated)) + 1
    if as_data:
        shown = max(shown, forms.cost(counter, forms.message(message)))
    return shown + (counter.count(beyond) + _NEW_LINE * beyond.count("\n") if beyond else 0)


def total_cost(counter: TokenCounter, messages: Sequence[Message], *, as_data: bool = False) -> int:
    """What a conversation's turns cost together, their dates included."""
    days = quoting.new_days(messages)
    return sum(cost(counter, m, dated, as_data=as_data) for m, dated in zip(messages, days, strict=True))
