"""What every embedder does with its raw output: normalise rows, remember recent queries."""

from collections import OrderedDict
from collections.abc import Callable
from threading import Lock

import numpy as np
import numpy.typing as npt

from memory.ports import Vector


def normalised(rows: npt.NDArray[np.floating]) -> Vector:
    """Rows (n x dimension) divided by their L2 norms, as float32; a row of zeros stays one."""
    matrix = np.atleast_2d(np.asarray(rows, dtype=np.float32))
    norms = np.linalg.norm(matrix, axis=1, keepdims=True)
    return np.ascontiguousarray(matrix / np.where(norms > 0, norms, 1), dtype=np.float32)


class RecentQueries:
    """The vectors of the last `size` different queries. They are shared, hence read-only."""

    def __init__(self, embed: Callable[[str], Vector], size: int = 256) -> None:
        self._embed = embed
        self._size = size
        self._vectors: OrderedDict[str, Vector] = OrderedDict()
        self._lock = Lock()

    def __call__(self, text: str) -> Vector:
        with self._lock:
            known = self._vectors.get(text)
            if known is not None:
                self._vectors.move_to_end(text)
                return known
        vector = self._embed(text)
        vector.setflags(write=False)
        with self._lock:
            self._vectors[text] = vector
            while len(self._vectors) > self._size:
                self._vectors.popitem(last=False)
        return vector
