"""Rows of many lengths, one after the other."""

import numpy as np


def within(sizes: np.ndarray) -> np.ndarray:
    """The place of each element in its own row: 0 ... size - 1 for each size, one after the other."""
    ends = sizes.cumsum()
    places: np.ndarray = np.arange(ends[-1] if len(ends) else 0, dtype=sizes.dtype) - np.repeat(ends - sizes, sizes)
    return places
