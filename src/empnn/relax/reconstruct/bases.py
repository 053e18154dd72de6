"""Bases that reconstruction starts from: the given one, and those that few elementary matrices lead to.

In a skewed basis a cube is far from the truth. Each start therefore has a basis of its own, as rows C of whole numbers,
`C @ cell`, of determinant 1 (SL3(Z)).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from jaxtyping import Int64

from empnn.crystals import CrystalBatch
from empnn.symmetry import ELEMENTARY, change_basis

MOST_BASES = 649
"""Those that at most three elementary matrices lead to."""
_MOST_MATRICES = 3


@dataclass(frozen=True, eq=False)
class Basis:
    """A basis that elementary matrices lead to.

    Attributes:
        rows: Its vectors in the given basis, `rows @ cell`.
        matrices: The fewest elementary matrices that lead to it.
    """

    rows: Int64[np.ndarray, "3 3"]
    matrices: int


def bases(n: int) -> tuple[Basis, ...]:
    """The n bases nearest the given one, which is the first.

    Raises:
        ValueError: If there are not as many.
    """
    if not 1 <= n <= MOST_BASES:
        raise ValueError(f"the number of bases ({n}) must lie between 1 and {MOST_BASES}")
    return _all_bases()[:n]


@cache
def _all_bases() -> tuple[Basis, ...]:
    return tuple(_shells())


def _shells() -> Iterator[Basis]:
    """One of each set of bases that exchange and invert their vectors only: a cube does not tell them apart."""
    last = [np.eye(3, dtype=np.int64)]
    known = {_metric(last[0])}
    yield Basis(last[0], 0)
    for matrices in range(1, _MOST_MATRICES + 1):
        products = [matrix @ rows for rows in last for matrix in ELEMENTARY]
        last = []
        for rows in products:
            if _metric(rows) not in known:
                known.add(_metric(rows))
                last.append(rows)
                yield Basis(rows, matrices)


def _metric(rows: Int64[np.ndarray, "3 3"]) -> tuple[int, ...]:
    return tuple((rows.T @ rows).ravel().tolist())


def rebased(crystals: CrystalBatch, rows: Int64[np.ndarray, "3 3"]) -> CrystalBatch:
    """The same crystals, `rows @ cell`, determinant 1."""
    inverse = np.linalg.inv(rows).round().astype(np.int64)
    return change_basis(crystals, torch.from_numpy(inverse.T).repeat(len(crystals), 1, 1))
