"""`cube`: nothing of the cell is left but the fractional coordinates in its basis (paper, Table 3)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from empnn.corruption.source import BeforeAfter
from empnn.crystals import CrystalBatch, Crystals
from empnn.symmetry import change_basis, elementary_product

SIDE = 1.0
"""Edge of the cube in angstrom."""


@dataclass(frozen=True)
class Cube:
    """The crystals in a cube of 1 angstrom on a side, rho = I.

    What they are then depends on the basis in which they are given, unlike all else that is done to crystals; a share
    of them is therefore given in others.

    Attributes:
        crystals: The true crystals.
        rewritten: Share that is rewritten in another basis first.
        matrices: The most elementary matrices that lead to it; from 1 on, as many are as likely.
    """

    crystals: Crystals
    rewritten: float = 0.0
    matrices: int = 1

    def __call__(self, chosen: np.ndarray, generator: np.random.Generator) -> BeforeAfter:
        """The chosen crystals, before and after."""
        after = self.crystals.select(chosen)
        if self.rewritten:
            counts = generator.integers(1, self.matrices, size=len(chosen), endpoint=True)
            counts[generator.uniform(size=len(chosen)) >= self.rewritten] = 0
            after = rewrite(after, counts, generator)
        return in_cube(after), after


def rewrite(crystals: CrystalBatch, counts: np.ndarray, generator: np.random.Generator) -> CrystalBatch:
    """The same crystals in bases that so many elementary matrices each lead to."""
    changes = np.stack([elementary_product(generator, count) for count in counts.tolist()])
    return change_basis(crystals, torch.from_numpy(changes))


def in_cube(crystals: CrystalBatch, side: float = SIDE) -> CrystalBatch:
    """The crystals with a cube as their cell, fractional coordinates unchanged; side in angstrom."""
    cube = side * torch.eye(3, dtype=crystals.cell.dtype)
    return crystals.with_cell(cube.expand_as(crystals.cell).clone())
