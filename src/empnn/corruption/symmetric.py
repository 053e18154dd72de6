"""`symmetric`: strain and displacements that keep the space group (design, section 11)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import numpy as np
import torch

from empnn.corruption.source import BeforeAfter, Sizes
from empnn.corruption.strain import strain_cells
from empnn.crystals import CrystalBatch, without_mean
from empnn.space_groups import SpaceGroups, invariant_displacements, invariant_strain


@runtime_checkable
class SymmetricCrystals(Protocol):
    """Exactly symmetric crystals with their operations, in memory or on disk."""

    def __len__(self) -> int: ...

    def select(self, index: Sequence[int] | np.ndarray) -> tuple[CrystalBatch, SpaceGroups]:
        """The structures at the given positions, in that order, and their operations."""
        ...


@dataclass(frozen=True)
class SymmetricStrain:
    """exp(A) rho with a symmetric A that the point group leaves alone; displacements that the space group does.

    A is an isotropic part, N(0, volume^2) times the identity, and the deviatoric part of what the projection leaves of
    a matrix of normal entries. `before` has all operations of `after`, with the same W and t.

    Attributes:
        crystals: The true crystals, exactly symmetric.
        volume: Deviation of the isotropic part; the largest one unless sizes are fixed.
        shape: Deviation of the entries of A before projection, likewise.
        positions: Deviation of the displacements before projection, in angstrom, likewise.
        sizes: How deviations are drawn.
    """

    crystals: SymmetricCrystals
    volume: float
    shape: float
    positions: float
    sizes: Sizes

    def __call__(self, chosen: np.ndarray, generator: np.random.Generator) -> BeforeAfter:
        """The chosen crystals, before and after."""
        after, groups = self.crystals.select(chosen)
        n = len(after)
        isotropic = self.sizes(generator, n, self.volume) * generator.normal(size=n)
        entries = self.sizes(generator, n, self.shape)[:, None, None] * generator.normal(size=(n, 3, 3))
        strain = invariant_strain(torch.from_numpy(entries + entries.transpose(0, 2, 1)) / 2, after, groups)
        dilation = torch.from_numpy(isotropic) - strain.diagonal(dim1=1, dim2=2).mean(1)
        strain = strain + dilation[:, None, None] * torch.eye(3, dtype=torch.float64)
        size = self.sizes.of_displacements(generator, n, self.positions)[after.batch.numpy(), None]
        moved = torch.from_numpy(size * generator.normal(size=(after.n_atoms, 3)))
        shift = after.fractional(without_mean(after, invariant_displacements(moved, after, groups)))
        before = after.with_cell(strain_cells(after.cell, strain)).shifted(shift)
        return before, replace(after, frac=before.frac - shift)
