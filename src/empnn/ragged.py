"""Rows of many lengths, one after the other."""

from collections.abc import Iterator

import numpy as np


def within(sizes: np.ndarray) -> np.ndarray:
    """The place of each element in its own row: 0 ... size - 1 for each size, one after the other."""
    ends = sizes.cumsum()
    places: np.ndarray = np.arange(ends[-1] if len(ends) else 0, dtype=sizes.dtype) - np.repeat(ends - sizes, sizes)
    return places


def runs(starts: np.ndarray, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The places of all elements of the chosen rows, one row after the other, and how many each has.

    Args:
        starts: First element of each row, and the number of elements at the end.
        chosen: Rows, in any order and however often.
    """
    sizes = starts[chosen + 1] - starts[chosen]
    return np.repeat(starts[chosen], sizes) + within(sizes), sizes


def equal_runs(values: np.ndarray) -> Iterator[tuple[int, int]]:
    """Where runs of one value begin and end."""
    changes = np.flatnonzero(values[1:] != values[:-1]) + 1
    start = 0
    for end in (*changes, len(values)) if len(values) else ():
        yield start, int(end)
        start = int(end)
