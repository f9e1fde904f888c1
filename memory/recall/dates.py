"""Dates."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from memory.recall.columns import Array


@dataclass(frozen=True, slots=True)
class Period:
    """A stretch of time [since, until) that a text speaks of; `said` is the text."""

    since: datetime
    until: datetime
    unit: str
    said: str


def periods(text: str, now: datetime) -> tuple[Period, ...]:
    return ()


def date_match(spoken: Sequence[Period], occurred: Array) -> Array:
    return np.zeros(len(occurred))
