"""`strain`: nine independent entries of A, atoms displaced at random (paper, section 6)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from empnn.corruption.source import BeforeAfter, Sizes
from empnn.corruption.strain import strain_cells
from empnn.crystals import Crystals, without_mean


@dataclass(frozen=True)
class GeneralStrain:
    """exp(A) rho with nine independent entries of A; atoms displaced before the strain.

    Attributes:
        crystals: The true crystals.
        sigma: Deviation of the entries of A; the largest one unless sizes are fixed.
        positions: Deviation of the displacements in angstrom, likewise.
        sizes: How deviations are drawn.
    """

    crystals: Crystals
    sigma: float
    positions: float
    sizes: Sizes

    def __call__(self, chosen: np.ndarray, generator: np.random.Generator) -> BeforeAfter:
        """The chosen crystals, before and after."""
        after = self.crystals.select(chosen)
        sizes = self.sizes(generator, len(after), self.sigma)[:, None, None]
        strain = sizes * generator.normal(size=(len(after), 3, 3))
        before = after.with_cell(strain_cells(after.cell, torch.from_numpy(strain)))
        if self.positions:
            size = self.sizes.of_displacements(generator, len(after), self.positions)[after.batch.numpy(), None]
            moved = without_mean(after, torch.from_numpy(size * generator.normal(size=(after.n_atoms, 3))))
            shift = after.fractional(moved)
            before = before.shifted(shift)
            after = replace(after, frac=before.frac - shift)
        return before, after
