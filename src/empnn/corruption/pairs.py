"""`pairs`: the user's own crystals, unrelaxed and relaxed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import combinations, product

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from empnn.corruption.source import BeforeAfter
from empnn.crystals import CrystalBatch, Crystals
from empnn.geometry import hencky_distance, turned, volume
from empnn.graph.reduction import reduce_cells
from empnn.metrics import displacements, mean_displacements
from empnn.symmetry import change_basis

_LARGE_STRAIN = 0.3
_LARGE_DISPLACEMENT = 0.5
"""Angstrom; where neither is exceeded, another basis is not looked for."""
_TRIED = 96
"""Bases whose displacements are looked at: twice as many as leave a cubic lattice alone."""
_NEARER = 0.5
"""Part of itself that strain and displacements must become in another basis; symmetric ones hardly change them."""
_ENTRIES = np.array(list(product((-1.0, 0.0, 1.0), repeat=9))).reshape(-1, 3, 3)
_STEPS = {sign: _ENTRIES[np.rint(np.linalg.det(_ENTRIES)) == sign] for sign in (1, -1)}
"""By determinant, what leads from one basis of shortest vectors to another, of the same lattice or a similar one."""
_DIRECTIONS = np.array([n for n in product((-1, 0, 1), repeat=3) if n > (0, 0, 0)])
_TRIPLES = np.array(list(combinations(range(len(_DIRECTIONS)), 3)))


@dataclass(frozen=True)
class GivenPairs:
    """Pairs drawn uniformly, each as it is.

    Attributes:
        before: The unrelaxed crystals.
        relaxed: What they relax to: the same atoms, order and basis.
    """

    before: Crystals
    relaxed: Crystals

    def __call__(self, chosen: np.ndarray, generator: np.random.Generator) -> BeforeAfter:
        """As many pairs as crystals are chosen."""
        drawn = generator.integers(len(self.before), size=len(chosen))
        return joined(self.before.select(drawn), self.relaxed.select(drawn))


def joined(before: CrystalBatch, relaxed: CrystalBatch) -> BeforeAfter:
    """Unrelaxed and relaxed crystals of the same atoms, order and basis, as `BeforeAfter` wants them.

    The relaxed ones are shifted so that the mean displacement is zero, and turned so that the strain is symmetric:
    `after.cell = before.cell @ S` with S symmetric and positive. Invariant under O(3) and translations acting on them.
    """
    moved = relaxed.fractional(displacements(before, relaxed))
    return before, replace(relaxed, cell=turned(relaxed.cell, before.cell), frac=before.frac - moved)


def in_nearest_basis(before: CrystalBatch, relaxed: CrystalBatch) -> CrystalBatch:
    """The relaxed crystals, which stay the same, each in a basis in which it is next to the unrelaxed one.

    Programs write what they relaxed in a basis of their own, a reduced one, say. Where strain or displacements are
    large, other bases are tried; the best one takes the place of the given one if it makes their sum less than half.
    """
    large = hencky_distance(before.cell, relaxed.cell) > _LARGE_STRAIN
    large |= mean_displacements(before, relaxed) > _LARGE_DISPLACEMENT
    if not large.any():
        return relaxed
    parts = [relaxed.select([index]) for index in range(len(relaxed))]
    for index in large.nonzero().flatten().tolist():
        parts[index] = _nearest(before.select([index]), parts[index])
    return CrystalBatch.cat(parts)


def _nearest(before: CrystalBatch, relaxed: CrystalBatch) -> CrystalBatch:
    length = float(volume(relaxed.cell)[0] / relaxed.n_atoms) ** (1 / 3)
    given = hencky_distance(before.cell, relaxed.cell) + mean_displacements(before, relaxed) / length
    bases = _bases(before.cell[0].numpy(), relaxed.cell[0].numpy())
    copies = [0] * len(bases)
    written = change_basis(relaxed.select(copies), bases)
    strain = hencky_distance(before.select(copies).cell, written.cell)
    near = (strain < _NEARER * given).nonzero().flatten()
    change = strain[near] + mean_displacements(before.select(copies[: len(near)]), written.select(near)) / length
    if not len(near) or change.min() >= _NEARER * given:
        return relaxed
    return written.select(near[change.argmin()])


def _bases(before: np.ndarray, relaxed: np.ndarray) -> Int64[Tensor, "bases 3 3"]:
    """Elements of SL3(Z) that bring the relaxed cell nearest to the unrelaxed one."""
    changes = [_shortest(cell) for cell in (before, relaxed)]
    first, second = changes[0] @ before, changes[1] @ relaxed
    steps = _STEPS[np.rint(np.linalg.det(changes).prod())]
    there = np.linalg.inv(first) @ steps @ second
    back = np.linalg.inv(there)
    # Both sums of squares are least, at a given determinant, for a rotation.
    distance = np.square(there).sum((1, 2)) + np.square(back).sum((1, 2))
    nearest = steps[np.argsort(distance, kind="stable")[:_TRIED]]
    written = np.linalg.inv(changes[0]) @ nearest @ changes[1]
    return torch.from_numpy(np.rint(np.linalg.inv(written)).astype(np.int64).transpose(0, 2, 1).copy())


def _shortest(cell: np.ndarray) -> np.ndarray:
    """The change of basis, rows as `change @ cell`, to the shortest lattice vectors that span the lattice."""
    (reduced,), (change,) = reduce_cells(cell[None])
    vectors = _DIRECTIONS[np.linalg.norm(_DIRECTIONS @ reduced, axis=1).argsort(kind="stable")]
    triples = vectors[_TRIPLES]
    shortest: np.ndarray = triples[(np.abs(np.rint(np.linalg.det(triples))) == 1).argmax()] @ change
    return shortest
