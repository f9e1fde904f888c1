"""The order in which things were said, which is not always that in which they were recorded: a caller's line may arrive
after the answer to it."""

from collections.abc import Sequence
from datetime import datetime
from typing import TypeVar

from memory.model import Message

T = TypeVar("T", datetime, float)


def by_time(times: Sequence[T | None]) -> list[int]:
    """Indices into `times`, those of one conversation as it was recorded, in the order in which things were said. What
    has no time of its own stays behind what was recorded before it."""
    first: int = next((index for index, time in enumerate(times) if time is not None), len(times))
    carried: list[tuple[T, int]] = []
    for index, time in enumerate(times[first:], first):
        carried.append((carried[-1][0] if time is None else time, index))
    return [*range(first), *(index for _, index in sorted(carried))]


def time_given(message: Message) -> datetime | None:
    """When it was said; None where nobody said so, and the moment of recording stands in its place."""
    return None if message.occurred_at == message.recorded_at else message.occurred_at


def as_said(messages: Sequence[Message]) -> list[Message]:
    """Messages of one session, given by seq, in the order in which they were said; ties and those without a time of
    their own by seq. A result never comes before its call."""
    called: dict[str, datetime] = {}
    times: list[datetime | None] = []
    for message in messages:
        time, call = time_given(message), message.tool_call_id
        if call is not None and message.role != "tool" and time is not None:
            called[call] = time
        elif call in called and time is not None:
            time = max(time, called[call])
        times.append(time)
    return [messages[index] for index in by_time(times)]
