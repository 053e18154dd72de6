"""Rows of many lengths against plain loops."""

import numpy as np
import pytest

from empnn.ragged import within


@pytest.mark.parametrize("sizes", [[], [0], [3], [2, 0, 0, 3, 1], [0, 4, 0]])
def test_places_start_again_in_every_row(sizes: list[int]) -> None:
    found = within(np.array(sizes, dtype=np.int64))
    assert found.tolist() == [place for size in sizes for place in range(size)]
    assert found.dtype == np.int64
