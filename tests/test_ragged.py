"""Rows of many lengths against plain loops."""

from itertools import pairwise

import numpy as np
import pytest

from empnn.ragged import equal_runs, within


@pytest.mark.parametrize("sizes", [[], [0], [3], [2, 0, 0, 3, 1], [0, 4, 0]])
def test_places_start_again_in_every_row(sizes: list[int]) -> None:
    found = within(np.array(sizes, dtype=np.int64))
    assert found.tolist() == [place for size in sizes for place in range(size)]
    assert found.dtype == np.int64


@pytest.mark.parametrize("values", [[], [3], [1, 1, 1], [2, 1, 1, 2, 3, 3]])
def test_runs_of_equal_values(values: list[int]) -> None:
    ends = list(equal_runs(np.array(values)))
    assert [value for begin, end in ends for value in [values[begin]] * (end - begin)] == values
    assert all(len(set(values[begin:end])) == 1 for begin, end in ends)
    assert len(ends) == sum(a != b for a, b in pairwise([None, *values]))
