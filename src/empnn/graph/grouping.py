"""Pairs of rows, grouped both ways: edges are pairs of atoms, triplets pairs of edges.

Layers gather a row for each side of a pair and sum over pairs with a common side. Both are contiguous runs if the
pairs are ordered by that side, so nothing is scattered. Pairs are worked through in chunks that fit into the caches.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

CHUNK, STEP = 4096, 256
"""Pairs of a chunk on a CPU, if no structure or row alone has more (with 128 features 2 MiB in float32); and what the
size of a window is a multiple of, if there are so many pairs and no structure or row alone has nearly all of them."""


class Bags(NamedTuple):
    """What is summed together.

    Attributes:
        order: Places of all terms, sum by sum.
        starts: Where each sum starts in that order.
    """

    order: Int64[Tensor, " terms"]
    starts: Int64[Tensor, " sums"]


@dataclass(frozen=True, kw_only=True)
class Chunk:
    """Some rows and the pairs they are on the left of.

    Attributes:
        rows: The rows.
        pairs: Their pairs.
        window: Pairs around them, few in excess: products of matrices whose shapes come again are prepared once.
        inside: The pairs, counted from the first of the window.
        sides: Both sides of each pair of the window, in a table whose rows hold a left and a right half.
        left: Pairs of each row on the left, counted from the first of the chunk.
        right: Pairs of each row on the right, likewise, if that is among the rows for all of them.
    """

    rows: slice
    pairs: slice
    window: slice
    inside: slice
    sides: Bags
    left: Bags
    right: Bags


@dataclass(frozen=True, kw_only=True)
class Pairs:
    """Pairs (left, right) of rows, ordered by left; both rows of a pair belong to the same structure.

    Attributes:
        left: Row on the left, ascending. Per pair.
        right: Row on the right. Per pair.
        left_starts: First pair of each row on the left, and the number of pairs at the end.
        by_right: The pairs ordered by right.
        right_starts: First place in `by_right` of each row on the right, and the number of pairs at the end.
        structures: First row of each structure, and the number of rows at the end.
    """

    left: Int64[Tensor, " pairs"]
    right: Int64[Tensor, " pairs"]
    left_starts: Int64[Tensor, " rows_and_end"]
    by_right: Int64[Tensor, " pairs"]
    right_starts: Int64[Tensor, " rows_and_end"]
    structures: Int64[Tensor, " structures_and_end"]

    def __len__(self) -> int:
        return self.left.shape[0]

    @property
    def n_rows(self) -> int:
        """Rows that pairs are made of."""
        return self.left_starts.shape[0] - 1

    @cached_property
    def whole(self) -> Chunk:
        """All pairs in one chunk."""
        return self._chunk((0, 0), (self.n_rows, len(self)))

    @cached_property
    def of_left(self) -> Bags:
        """All pairs of each row on the left."""
        return Bags(torch.arange(len(self), device=self.left.device), self.left_starts[:-1])

    @property
    def of_right(self) -> Bags:
        """All pairs of each row on the right."""
        return Bags(self.by_right, self.right_starts[:-1])

    @cached_property
    def row_chunks(self) -> tuple[Chunk, ...]:
        """Chunks that no row on the left is split between, one on a GPU; rows on the right may be anywhere."""
        return self._chunks(torch.arange(self.n_rows + 1, device="cpu"))

    @cached_property
    def structure_chunks(self) -> tuple[Chunk, ...]:
        """Chunks that no structure is split between, one on a GPU."""
        return self._chunks(self.structures)

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Pairs:
        """The same pairs on another device."""
        return Pairs(**{f.name: getattr(self, f.name).to(device, non_blocking=non_blocking) for f in fields(self)})

    def span(self, first: int, last: int) -> tuple[slice, slice]:
        """Rows and pairs of the structures from one to another (excluded), on a CPU."""
        rows = self.structures[[first, last]]
        return slice(*rows.tolist()), slice(*self.left_starts[rows].tolist())

    def part(self, first: int, last: int) -> Pairs:
        """The pairs of the structures from one to another (excluded), on a CPU."""
        rows, pairs = self.span(first, last)
        (r0, r1), (p0, p1) = (rows.start, rows.stop), (pairs.start, pairs.stop)
        return Pairs(
            left=self.left[p0:p1] - r0,
            right=self.right[p0:p1] - r0,
            left_starts=self.left_starts[r0 : r1 + 1] - p0,
            by_right=self.by_right[p0:p1] - p0,
            right_starts=self.right_starts[r0 : r1 + 1] - p0,
            structures=self.structures[first : last + 1] - r0,
        )

    def _chunks(self, boundaries: Tensor) -> tuple[Chunk, ...]:
        """At least one chunk; cut at some of the rows `boundaries`, with at most `CHUNK` pairs if that can be."""
        if self.left.device.type != "cpu" or len(self) == 0:
            return (self.whole,)
        rows, pairs = boundaries.numpy(), self.left_starts[boundaries].numpy()
        # In whole steps: a chunk of nearly all pairs would have a window cut off at their number, a size of its own.
        most = min(CHUNK, len(self) // STEP * STEP) or CHUNK
        cuts = [0]
        while cuts[-1] < len(rows) - 1:
            last = int(np.searchsorted(pairs, pairs[cuts[-1]] + most, side="right")) - 1
            cuts.append(max(last, cuts[-1] + 1))
        ends = zip(rows[cuts].tolist(), pairs[cuts].tolist(), strict=True)
        return tuple(self._chunk(*each) for each in pairwise(ends))

    def _chunk(self, first: tuple[int, int], last: tuple[int, int]) -> Chunk:
        """The chunk between two rows, each given with the first pair it is on the left of."""
        (r0, p0), (r1, p1) = first, last
        size = min(len(self), -(-(p1 - p0) // STEP) * STEP)
        start = min(p0, len(self) - size)
        window, count = slice(start, start + size), torch.arange(2 * size, device=self.left.device)
        return Chunk(
            rows=slice(r0, r1),
            pairs=slice(p0, p1),
            window=window,
            inside=slice(p0 - start, p1 - start),
            sides=Bags(
                torch.stack([2 * self.left[window], 2 * self.right[window] + 1], dim=1).flatten(),
                count[::2].contiguous(),
            ),
            left=Bags(count[: p1 - p0], self.left_starts[r0:r1] - p0),
            right=Bags(self.by_right[p0:p1] - p0, self.right_starts[r0:r1] - p0),
        )


def make_pairs(left: np.ndarray, right: np.ndarray, row_starts: np.ndarray) -> Pairs:
    """Group pairs.

    Args:
        left: Row on the left, ascending, (pairs,).
        right: Row on the right, (pairs,).
        row_starts: First row of each structure, and the number of rows at the end.
    """
    n_rows = int(row_starts[-1])
    left_starts, right_starts = _starts(left, n_rows), _starts(right, n_rows)
    return Pairs(
        left=torch.from_numpy(left),
        right=torch.from_numpy(right),
        left_starts=torch.from_numpy(left_starts),
        by_right=torch.from_numpy(np.argsort(right.astype(_smallest(n_rows)), kind="stable")),
        right_starts=torch.from_numpy(right_starts),
        structures=torch.from_numpy(np.asarray(row_starts, dtype=np.int64)),
    )


def _starts(side: np.ndarray, n_rows: int) -> np.ndarray:
    return np.concatenate([[0], np.bincount(side, minlength=n_rows).cumsum()]).astype(np.int64)


def _smallest(n: int) -> type[np.unsignedinteger]:
    """A type for 0 ... n - 1; numbers of 16 bits are sorted several times as fast as others."""
    return np.uint16 if n <= 1 << 16 else np.uint32 if n <= 1 << 32 else np.uint64
