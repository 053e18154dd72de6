"""Blocks of rows, of few sizes whatever the number of rows.

Libraries prepare a product of matrices for the shapes it has, and batches of crystals never have the same number of
atoms twice. What is made of a block and used again at once stays in the caches.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

LARGEST, STEP = 2048, 64
"""Blocks on a CPU have a multiple of `STEP` rows, if there are so many, and no more than `LARGEST`."""


def blocks(n: int, device: torch.device) -> Iterator[tuple[int, int, int]]:
    """Blocks of n rows on a device; all rows at once on a GPU.

    Yields:
        First row, last row (excluded), and how many of the first rows were in the block before too.
    """
    if device.type != "cpu" or n <= STEP:
        yield 0, n, 0
        return
    whole = n // STEP * STEP
    for start in range(0, whole, LARGEST):
        yield start, min(start + LARGEST, whole), 0
    if whole < n:
        yield n - STEP, n, STEP + whole - n


def transposed(weight: Tensor, n: int) -> Tensor:
    """The transpose of a weight for products with n rows; without strides, which is faster, if there are enough."""
    return weight.mT.contiguous() if n > STEP else weight.mT


def unseen(block: Tensor, seen: int) -> Tensor:
    """A block with zeros for rows that were in the block before too, for sums over blocks."""
    if not seen:
        return block
    block = block.clone()
    block[:seen] = 0
    return block
