"""Blocks of rows."""

import pytest
import torch

from empnn.nn.kernels.blocks import LARGEST, STEP, blocks

CPU = torch.device("cpu")


@pytest.mark.parametrize("n", [0, 1, STEP, STEP + 1, LARGEST - 1, LARGEST, LARGEST + 1, 3 * LARGEST + STEP + 1])
def test_new_rows_of_all_blocks_are_all_rows_once(n: int) -> None:
    assert [row for start, stop, seen in blocks(n, CPU) for row in range(start + seen, stop)] == list(range(n))


@pytest.mark.parametrize("n", range(STEP + 1, 3 * LARGEST, 37))
def test_blocks_have_few_sizes_and_stay_within_the_rows(n: int) -> None:
    for start, stop, seen in blocks(n, CPU):
        assert 0 <= start <= start + seen < stop <= n
        assert stop - start <= LARGEST
        assert (stop - start) % STEP == 0


def test_a_gpu_takes_all_rows_at_once() -> None:
    assert list(blocks(10 * LARGEST, torch.device("meta"))) == [(0, 10 * LARGEST, 0)]
