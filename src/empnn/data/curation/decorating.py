"""Crystals decorated: the species of one in the cell and at the places of an isostructural one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from empnn.crystals import CrystalBatch, without_mean, wrap
from empnn.data.curation.isostructural import Isostructural


def decorate(
    crystals: CrystalBatch, own: Isostructural, first: np.ndarray, partners: Isostructural, second: np.ndarray
) -> tuple[CrystalBatch, CrystalBatch]:
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
    rows, row_atoms, _ = _rows(own, first)
    others, other_atoms, other_batch = _rows(partners, second)
    if not np.array_equal(own.arrays["group"][rows], partners.arrays["group"][others]):
        raise ValueError("the partners are not of the same groups")
    basis = torch.from_numpy(own.arrays["basis"][rows].astype(np.float64))
    sizes = np.bincount(other_batch, minlength=len(others))
    offsets = np.cumsum(sizes) - sizes
    place = np.zeros(len(other_atoms), dtype=np.int64)
    place[offsets[other_batch] + partners.arrays["slot"][other_atoms]] = other_atoms
    at = place[offsets[crystals.batch.numpy()] + own.arrays["slot"][row_atoms]]
    moved = torch.from_numpy(partners.arrays["frac"][at] - own.arrays["frac"][row_atoms])
    back = torch.linalg.inv(basis)
    shift = without_mean(crystals, torch.einsum("ni,nji->nj", moved, back[crystals.batch]))
    frac = wrap(crystals.frac + shift)
    cell = basis.mT @ torch.from_numpy(partners.arrays["cell"][others])
    left, _, right = torch.linalg.svd(torch.linalg.solve(cell, crystals.cell))
    before = replace(crystals, frac=frac, cell=cell @ left @ right)
    return before, replace(crystals, frac=frac - shift)


def _rows(table: Isostructural, index: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows of the crystals and of their atoms, and the crystal of each atom."""
    rows = table.index[index]
    starts = table.arrays["starts"]
    sizes = starts[rows + 1] - starts[rows]
    batch = np.repeat(np.arange(len(rows)), sizes)
    return rows, starts[rows][batch] + np.arange(len(batch)) - (np.cumsum(sizes) - sizes)[batch], batch
