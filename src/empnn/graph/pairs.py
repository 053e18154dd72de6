"""Pairs of rows, grouped both ways: edges are pairs of atoms, triplets pairs of edges.

Layers gather a row for each side of a pair and sum over pairs with a common side. Both are contiguous runs if the
pairs are ordered by that side, so nothing is scattered. Pairs are worked through in chunks that fit into the caches.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

CHUNK = 4096
"""Pairs of a chunk on a CPU, if no structure or row alone has more: with 128 features 2 MiB in float32."""

Chunk = tuple[int, int, int, int]
"""Rows from, to (excluded), and the pairs whose left side they are, from, to (excluded)."""


@dataclass(frozen=True, kw_only=True)
class Pairs:
    """Pairs (left, right) of rows, ordered by left; both rows of a pair belong to the same structure.

    Attributes:
        left: Row on the left, ascending. Per pair.
        right: Row on the right. Per pair.
        sides: 2 left and 2 right + 1: where the sides are in a table whose rows hold a left and a right half. Per pair.
        left_starts: First pair of each row on the left, and the number of pairs at the end.
        by_right: The pairs ordered by right.
        right_starts: First place in `by_right` of each row on the right, and the number of pairs at the end.
        row_chunks: Chunks that no row on the left is split between.
        structure_chunks: Chunks that no structure is split between.
    """

    left: Int64[Tensor, " pairs"]
    right: Int64[Tensor, " pairs"]
    sides: Int64[Tensor, "pairs 2"]
    left_starts: Int64[Tensor, " rows_and_end"]
    by_right: Int64[Tensor, " pairs"]
    right_starts: Int64[Tensor, " rows_and_end"]
    row_chunks: tuple[Chunk, ...]
    structure_chunks: tuple[Chunk, ...]

    def __len__(self) -> int:
        return self.left.shape[0]

    def window(self, chunk: Chunk) -> tuple[int, int]:
        """Pairs from, to (excluded) around those of a chunk: always `CHUNK` of them, if there are so many and it fits.

        Products of matrices whose shapes come again and again are prepared once.
        """
        p0, p1 = chunk[2:]
        start = max(0, min(p0, len(self) - CHUNK))
        return start, max(p1, min(start + CHUNK, len(self)))

    @property
    def n_rows(self) -> int:
        """Rows that pairs are made of."""
        return self.left_starts.shape[0] - 1

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Pairs:
        """The same pairs on another device, on a GPU in one chunk."""
        names = [f.name for f in fields(self) if not f.name.endswith("chunks")]
        moved: dict[str, Any] = {n: getattr(self, n).to(device, non_blocking=non_blocking) for n in names}
        if torch.device(device).type != "cpu":
            whole = ((0, self.n_rows, 0, len(self)),)
            moved.update(row_chunks=whole, structure_chunks=whole)
        return replace(self, **moved)


def make_pairs(left: np.ndarray, right: np.ndarray, row_starts: np.ndarray) -> Pairs:
    """Group pairs.

    Args:
        left: Row on the left, ascending, (pairs,).
        right: Row on the right, (pairs,).
        row_starts: First row of each structure, and the number of rows at the end.
    """
    n_rows = int(row_starts[-1])
    left_starts, right_starts = _starts(left, n_rows), _starts(right, n_rows)
    rows = np.arange(n_rows + 1)
    return Pairs(
        left=torch.from_numpy(left),
        right=torch.from_numpy(right),
        sides=torch.from_numpy(np.stack([2 * left, 2 * right + 1], axis=1)),
        left_starts=torch.from_numpy(left_starts),
        by_right=torch.from_numpy(np.argsort(right, kind="stable")),
        right_starts=torch.from_numpy(right_starts),
        row_chunks=_chunks(rows, left_starts),
        structure_chunks=_chunks(np.asarray(row_starts), left_starts),
    )


def _starts(side: np.ndarray, n_rows: int) -> np.ndarray:
    return np.concatenate([[0], np.bincount(side, minlength=n_rows).cumsum()]).astype(np.int64)


def _chunks(boundaries: np.ndarray, starts: np.ndarray) -> tuple[Chunk, ...]:
    """At least one chunk; cut at some of the rows `boundaries`, so that each holds at most `CHUNK` pairs if it can."""
    pairs = starts[boundaries]
    cuts = [0]
    while cuts[-1] < len(boundaries) - 1:
        last = int(np.searchsorted(pairs, pairs[cuts[-1]] + CHUNK, side="right")) - 1
        cuts.append(max(last, cuts[-1] + 1))
    edges = list(zip(boundaries[cuts].tolist(), pairs[cuts].tolist(), strict=True))
    if len(edges) == 1:
        return ((0, 0, 0, 0),)
    return tuple((r0, r1, p0, p1) for (r0, p0), (r1, p1) in pairwise(edges))
