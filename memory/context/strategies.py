"""Memory strategies: which part of a transcript a model is shown. Views over the record, which they never change."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from memory.errors import Invalid, shown
from memory.model import KNOBS, Json, Message, Mode, Owner, Strategy, Summary
from memory.names import named
from memory.ports import Records, RecordStore, TokenCounter
from memory.record.sessions import existing, open_now
from memory.record.validation import check_choice, check_name
from memory.text.turns import calls, last_turns, total_cost, user_turns, within, without_orphans
from memory.text.wording import result_left_out, summary_text

Level = Literal["session", "agent"]
Layer = Literal["request", "session", "agent", "none"]

_FIELDS = ("mode", *KNOBS)


@dataclass(frozen=True, slots=True)
class ResolvedStrategy:
    """The strategy in force. `decided_by` names for each knob the layer it comes from; 'none' stands for the default.

    `max_tokens` None means no limit of the strategy's own.
    """

    mode: Mode
    keep_turns: int
    summarize_after: int
    max_tokens: int | None
    keep_tool_results: int
    decided_by: Mapping[str, Layer]


@dataclass(frozen=True, slots=True)
class View:
    """What a strategy shows of a transcript: `messages` in its order, and the summary that stands for others, if any.

    `left_out` counts messages of the transcript that are not shown; `placeholders` are the ids of the tool messages
    whose arguments and results are only named.
    """

    messages: tuple[Message, ...]
    summary: Summary | None = None
    left_out: int = 0
    placeholders: tuple[str, ...] = ()


def resolve(request: Strategy | None, session: Strategy | None, agent: Strategy | None) -> ResolvedStrategy:
    """Knob by knob: the request's, else the session's, else the agent's, else the default."""
    layers: tuple[tuple[Layer, Strategy | None], ...] = (("request", request), ("session", session), ("agent", agent))
    values: dict[str, Json] = {
        "mode": "none",
        "keep_turns": 10,
        "summarize_after": 20,
        "max_tokens": None,
        "keep_tool_results": 3,
    }
    decided_by: dict[str, Layer] = {}
    for knob in _FIELDS:
        decided_by[knob] = "none"
        for layer, strategy in layers:
            value = getattr(strategy, knob) if strategy else None
            if value is not None:
                values[knob], decided_by[knob] = value, layer
                break
    return ResolvedStrategy(**values, decided_by=decided_by)


def read_strategy(values: Mapping[str, Json]) -> Strategy:
    """A strategy from outside; knobs that are absent or None inherit. Errors: Invalid, naming the knob."""
    for knob, value in values.items():
        _check(knob, value)
    return Strategy(**{knob: value for knob, value in values.items() if value is not None})


def set_strategy(
    store: RecordStore, owner: Owner, level: Level, name: str | None, patch: Mapping[str, Json] | None
) -> ResolvedStrategy:
    """Changes the strategy of a session (`name` is its id; None: the open global one) or of an agent (`name`).

    Knobs absent from `patch` stay, knobs that are None are cleared and inherit again, a None patch clears all.
    Returns what is then in force at that level. Errors: Invalid, NotFound.
    """
    check_choice("level", level, Level)
    for knob, value in (patch or {}).items():
        _check(knob, value)
    with store.write(owner) as records:
        name, agent = _named(records, level, name)
        changed = Strategy() if patch is None else replace(records.strategy(level, name) or Strategy(), **patch)
        records.put_strategy(level, name, None if changed == Strategy() else changed)
        return in_force(records, name if level == "session" else None, agent)


def in_force(
    records: Records, session_id: str | None, agent: str | None, request: Strategy | None = None
) -> ResolvedStrategy:
    """The strategy for a session and the agent that asks, with what this one request wants."""
    session = records.strategy("session", session_id) if session_id else None
    return resolve(request, session, records.strategy("agent", named(agent)) if agent else None)


def apply(
    strategy: ResolvedStrategy, messages: Sequence[Message], summary: Summary | None, counter: TokenCounter
) -> View:
    """The view of `messages` (one session's, as they were said) under the strategy; pure, and every message shown whole
    except compacted tool results and what alone exceeds `max_tokens`."""
    if strategy.mode == "none":
        return View(tuple(messages))
    used: Summary | None = None
    kept = tuple(messages)
    placeholders: tuple[str, ...] = ()
    if strategy.mode == "trim":
        kept = last_turns(messages, strategy.keep_turns)
    elif strategy.mode == "compact":
        kept, placeholders = compacted(messages, strategy.keep_tool_results)
    elif summary is not None and needs_summary(strategy, messages, counter):
        used = summary
        recent = {m.message_id for m in last_turns(messages, strategy.keep_turns)}
        kept = tuple(m for m in messages if m.seq > summary.covers_to_seq or m.message_id in recent)
    kept = without_orphans(kept, messages)
    if strategy.max_tokens is not None:
        kept = within(kept, strategy.max_tokens, counter)
    shown_ids = {m.message_id for m in kept}
    return View(kept, used, len(messages) - len(kept), tuple(i for i in placeholders if i in shown_ids))


def saved(
    strategy: ResolvedStrategy, view: View, messages: Sequence[Message], earlier: int, counter: TokenCounter
) -> int:
    """The tokens that `view`, the strategy's of `messages`, spares a model: what all of the session costs as turns,
    less what the view costs, with the summary that stands in it. What a budget cuts off a view is not among them.

    `earlier` counts the session's messages before `messages`, which nobody has read: where the view leaves out what
    follows them, they are left out as well, and taken to be as long as the others are on average.
    """
    if strategy.mode == "none" or not messages:
        return 0
    whole = total_cost(counter, messages)
    if not view.messages or view.messages[0].message_id != messages[0].message_id:
        whole += earlier * whole // len(messages)
    shown = total_cost(counter, view.messages)
    if view.summary is not None:
        shown += counter.count(summary_text(view.summary))
    return max(0, whole - shown)


def needs_summary(strategy: ResolvedStrategy, messages: Sequence[Message], counter: TokenCounter) -> bool:
    """Whether a summarizing strategy has passed its threshold in turns or tokens (and something is older than the
    turns it keeps)."""
    count = user_turns(messages)
    if count <= strategy.keep_turns:
        return False
    if count > strategy.summarize_after:
        return True
    return strategy.max_tokens is not None and total_cost(counter, messages) > strategy.max_tokens


def compacted(messages: Sequence[Message], keep: int) -> tuple[tuple[Message, ...], tuple[str, ...]]:
    """The messages with all but the last `keep` tool results (and the arguments of their calls) named only; and the
    ids of those results."""
    results = [m for m in messages if m.role == "tool"]
    old = results[: max(0, len(results) - keep)]
    ids = {m.message_id for m in old}
    old_calls = {m.tool_call_id for m in old if m.tool_call_id}
    changed = [
        replace(m, content=result_left_out(m), tool_arguments=None)
        if m.message_id in ids
        else (replace(m, tool_arguments=None) if calls(m) & old_calls else m)
        for m in messages
    ]
    return tuple(changed), tuple(m.message_id for m in old)


def _named(records: Records, level: Level, name: str | None) -> tuple[str, str | None]:
    """The name that the strategy is kept under, and the agent that decides next."""
    if level == "agent":
        if name is None:
            raise Invalid("agent", "is missing", "give its name for the level agent")
        agent = check_name("agent", named(name))
        return str(agent), agent
    session = open_now(records) if name is None else existing(records, name)
    return session.session_id, session.agent


def _check(knob: str, value: Json) -> None:
    if knob not in _FIELDS:
        raise Invalid(f"The strategy's {shown(knob)}", "is unknown", "use " + ", ".join(_FIELDS))
    if value is None:
        return
    if knob == "mode":
        check_choice("mode", value, Mode)
        return
    low, high = KNOBS[knob]
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        allowed = f"give a whole number from {low} to {high}, or null to inherit"
        raise Invalid(f"{knob}", f"is {shown(str(value))}", allowed)
