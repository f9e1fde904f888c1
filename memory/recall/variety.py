"""Several facts to gather: what one session has already given counts a little less from then on.

Measured on LoCoMo's conversations 0 to 4, with it and without: recall@10 of multi-hop questions 58.8 and 57.4, of all
84.0 and 83.9; evidence in 500 words 85.4 and 85.6.
"""

from collections.abc import Callable, Sequence

import numpy as np

_POOL = 60
"""Of so many of the best, the order is made anew."""

Ranked = list[tuple[str, float]]


def varied(ranked: Sequence[tuple[str, float]], session_of: Callable[[str], int], penalty: float) -> Ranked:
    """`ranked` (ids with scores, best first) in a new order, with scores that fall along it.

    Each hit takes `penalty` off the scores of what is left of its session. Ties go to the one that stood first.
    """
    if not ranked or not penalty:
        return list(ranked)
    names = [name for name, _ in ranked]
    scores = np.array([score for _, score in ranked])
    sessions = np.array([session_of(name) for name in names])
    open_ = np.arange(len(names)) < _POOL
    result: Ranked = []
    for _ in range(min(_POOL, len(names))):
        best = int(np.argmax(np.where(open_, scores, -np.inf)))
        open_[best] = False
        result.append((names[best], float(scores[best])))
        scores[sessions == sessions[best]] -= penalty
    least = result[-1][1]
    rest = [(name, min(least, float(score))) for name, score in zip(names[_POOL:], scores[_POOL:], strict=True)]
    return result + sorted(rest, key=lambda pair: -pair[1])
