"""Arrays that grow together: one slot a row, capacity doubled when it runs out."""

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


class Columns:
    """Named numpy arrays over the same slots. `size` slots are in use; slots are never reused."""

    def __init__(self, **kinds: tuple[Any, int]) -> None:
        """`kinds`: name -> (dtype, width); a width of 0 makes a flat column."""
        self.size = 0
        self._arrays: dict[str, Array] = {
            name: np.zeros((64, width) if width else (64,), dtype=dtype) for name, (dtype, width) in kinds.items()
        }

    def add(self) -> int:
        """A new slot, zero in every column."""
        slot = self.size
        self.size += 1
        for name, array in self._arrays.items():
            if slot == len(array):
                grown = np.zeros((2 * len(array), *array.shape[1:]), dtype=array.dtype)
                grown[:slot] = array
                self._arrays[name] = grown
        return slot

    def __getitem__(self, name: str) -> Array:
        """The used part of a column; a view, good until the next `add`."""
        return self._arrays[name][: self.size]

    @property
    def nbytes(self) -> int:
        return sum(array.nbytes for array in self._arrays.values())
