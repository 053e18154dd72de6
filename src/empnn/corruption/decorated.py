"""`decorated`: the species of a crystal in the cell and at the places of an isostructural one (design, section 11)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import numpy as np
import torch

from empnn.corruption.source import BeforeAfter
from empnn.crystals import CrystalBatch, Crystals, without_mean, wrap
from empnn.geometry import turned
from empnn.ragged import runs


@runtime_checkable
class LaidCrystals(Protocol):
    """Crystals laid onto each other; see `empnn.data.curation.isostructural.Isostructural`."""

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """`group`, `basis`, `cell`, `slot`, `frac` and `starts`."""
        ...

    @property
    def index(self) -> np.ndarray:
        """The crystals, as rows of the arrays."""
        ...

    def draw(self, generator: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Pairs of crystals of one group and of different compositions."""
        ...


@dataclass(frozen=True)
class Decorated:
    """Pairs as the table draws them: large families less often, partners uniformly.

    Attributes:
        crystals: The true crystals, which are partners of each other.
        table: How they lie onto each other.
    """

    crystals: Crystals
    table: LaidCrystals

    def __call__(self, chosen: np.ndarray, generator: np.random.Generator) -> BeforeAfter:
        """As many crystals as are chosen, among those that have partners."""
        first, second = self.table.draw(generator, len(chosen))
        return decorate(self.crystals.select(first), self.table, first, self.table, second)


def decorate(
    crystals: CrystalBatch, own: LaidCrystals, first: np.ndarray, partners: LaidCrystals, second: np.ndarray
) -> BeforeAfter:
    """Crystals as candidates made from isostructural ones, and as they relax.

    Args:
        crystals: The crystals A.
        own: The table that has them.
        first: Their positions in it.
        partners: The table that has the crystals B whose cells and places are taken.
        second: Their positions in it; of the same groups as the crystals.

    Returns:
        Before: the species of A in the cell and at the places of B, in A's own basis and order, with B's volume; so
        shifted that the mean displacement is zero, and so turned that the strain from before to after is symmetric:
        `after.cell = before.cell @ S` with S symmetric and positive.
        After: A itself; its fractional coordinates are not wrapped: each atom is next to where it is before.
    """
    rows, others = own.index[first], partners.index[second]
    row_atoms, _ = runs(own.arrays["starts"], rows)
    other_atoms, sizes = runs(partners.arrays["starts"], others)
    if not np.array_equal(own.arrays["group"][rows], partners.arrays["group"][others]):
        raise ValueError("the partners are not of the same groups")
    basis = torch.from_numpy(own.arrays["basis"][rows].astype(np.float64))
    offsets = np.cumsum(sizes) - sizes
    place = np.zeros(len(other_atoms), dtype=np.int64)
    place[np.repeat(offsets, sizes) + partners.arrays["slot"][other_atoms]] = other_atoms
    at = place[offsets[crystals.batch.numpy()] + own.arrays["slot"][row_atoms]]
    moved = torch.from_numpy(partners.arrays["frac"][at] - own.arrays["frac"][row_atoms])
    back = torch.linalg.inv(basis)
    shift = without_mean(crystals, torch.einsum("ni,nji->nj", moved, back[crystals.batch]))
    frac = wrap(crystals.frac + shift)
    cell = basis.mT @ torch.from_numpy(partners.arrays["cell"][others])
    before = replace(crystals, frac=frac, cell=turned(cell, crystals.cell))
    return before, replace(crystals, frac=frac - shift)
