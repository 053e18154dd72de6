"""Space groups of crystals: their operations, crystals made exactly symmetric, and what an operation leaves alone.

An operation (W, t) takes fractional coordinates x (columns) to W x + t; in Cartesian coordinates it turns vectors by
R = cell^T W cell^-T. All operations of the given cell are meant, centring translations of a larger cell included.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import spglib
import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from empnn.crystals import CrystalBatch, wrap
from empnn.geometry import polar_factor
from empnn.ragged import within
from empnn.symmetry_search import SYMPREC, ask_spglib, images_of, one_to_one

_PAIRS = 1 << 17
"""Pairs of atoms that are looked at together; what is made of them stays in the caches."""


@dataclass(frozen=True, kw_only=True)
class SpaceGroups:
    """The operations of one or many crystals, concatenated without padding.

    Attributes:
        rotations: W, on fractional coordinates. Per operation.
        translations: t, likewise. Per operation.
        batch: Structure that an operation belongs to, ascending. Per operation.
        operation: Operation that an image belongs to, ascending. Per image.
        source: Atom that is mapped. Per image.
        target: Atom that it is mapped onto. Per image.
    """

    rotations: Int64[Tensor, "operations 3 3"]
    translations: Float64[Tensor, "operations 3"]
    batch: Int64[Tensor, " operations"]
    operation: Int64[Tensor, " images"]
    source: Int64[Tensor, " images"]
    target: Int64[Tensor, " images"]

    def orthogonal(self, crystals: CrystalBatch) -> Float64[Tensor, "operations 3 3"]:
        """R = cell^T W cell^-T of each operation: orthogonal for a crystal that is exactly symmetric."""
        cell = crystals.cell[self.batch].mT
        turned: Tensor = torch.linalg.solve(cell, cell @ self.rotations.to(cell.dtype), left=False)
        return turned


def find_space_groups(
    crystals: CrystalBatch,
    symprec: float | Sequence[float] = SYMPREC,
    on_progress: Callable[[int], None] = lambda done: None,
) -> SpaceGroups:
    """The operations that spglib finds and that map the atoms onto each other; the identity alone where it finds none.

    Invariant under Euc(3) and S_n up to their order; W and t change with the basis.

    Args:
        crystals: Sound crystals.
        symprec: Distance in angstrom within which operations are looked for; of several the first at which there are
            more than the identity. (spglib may find less within a larger one.)
        on_progress: Called with the number of crystals that have been looked at since the last call.
    """
    cells, fracs, numbers = crystals.cell.numpy(), crystals.frac.numpy(), crystals.numbers.numpy()
    starts = crystals.starts.numpy()
    distances = [symprec] if isinstance(symprec, float) else list(symprec)
    found = []
    for cell, (start, stop) in zip(cells, pairwise(starts.tolist()), strict=True):
        tried = (_operations(cell, fracs[start:stop], numbers[start:stop], distance) for distance in distances)
        some = next(tried)
        found.append(some if len(some[0]) > 1 else next((other for other in tried if len(other[0]) > 1), some))
        on_progress(1)
    counts = np.array([len(rotations) for rotations, _, _ in found], dtype=np.int64)
    sizes = np.repeat(np.diff(starts), counts)
    first = np.repeat(np.repeat(starts[:-1], counts), sizes)
    targets = np.concatenate([np.empty(0, np.int64), *(images.ravel() for _, _, images in found)])
    return SpaceGroups(
        rotations=torch.from_numpy(np.concatenate([np.empty((0, 3, 3), np.int64), *(r for r, _, _ in found)])),
        translations=torch.from_numpy(np.concatenate([np.empty((0, 3)), *(t for _, t, _ in found)])),
        batch=torch.from_numpy(np.repeat(np.arange(len(found)), counts)),
        operation=torch.from_numpy(np.repeat(np.arange(len(sizes)), sizes)),
        source=torch.from_numpy(first + within(sizes)),
        target=torch.from_numpy(first + targets),
    )


def symmetrise(crystals: CrystalBatch, groups: SpaceGroups) -> CrystalBatch:
    """The crystals made exactly symmetric under their operations, without a rotation.

    G <- mean of W^T G W with G = cell cell^T, by a symmetric stretch of the cell; each atom goes to the mean of where
    the operations take its images. Fractional coordinates come back wrapped.
    """
    turns = groups.rotations.to(crystals.cell.dtype)
    metric = crystals.cell @ crystals.cell.mT
    metric = _mean(turns.mT @ metric[groups.batch] @ turns, groups.batch, len(crystals))
    # S^2 = cell^-1 G cell^-T, whose symmetric root is the factor of any other of its roots.
    root = torch.linalg.solve(crystals.cell, torch.linalg.cholesky(metric))
    cell = crystals.cell @ polar_factor(root.mT)
    moved = torch.einsum("nij,nj->ni", turns[groups.operation], crystals.frac[groups.source])
    error = moved + groups.translations[groups.operation] - crystals.frac[groups.target]
    shift = _mean(error - error.round(), groups.target, crystals.n_atoms)
    return replace(crystals, cell=cell, frac=wrap(crystals.frac + shift))


def group_names(crystals: CrystalBatch, symprec: float = SYMPREC) -> list[str]:
    """The space group that spglib finds in each crystal, as `P6_3/mmc (194)`; `P1 (1)` where it finds none."""
    names = []
    frac, numbers = crystals.frac.numpy(), crystals.numbers.numpy()
    for cell, (start, stop) in zip(crystals.cell.numpy(), pairwise(crystals.starts.tolist()), strict=True):
        crystal = (cell, frac[start:stop], numbers[start:stop])
        found = ask_spglib(spglib.get_symmetry_dataset, crystal, symprec=symprec)
        names.append("P1 (1)" if found is None else f"{found.international} ({found.number})")
    return names


def invariant_strain(
    generator: Float64[Tensor, "structures 3 3"], crystals: CrystalBatch, groups: SpaceGroups
) -> Float64[Tensor, "structures 3 3"]:
    """The part of a matrix A that the point group leaves alone: P A = mean of R A R^T."""
    turns = groups.orthogonal(crystals)
    return _mean(turns @ generator[groups.batch] @ turns.mT, groups.batch, len(crystals))


def invariant_displacements(
    vectors: Float64[Tensor, "atoms 3"], crystals: CrystalBatch, groups: SpaceGroups
) -> Float64[Tensor, "atoms 3"]:
    """The part of displacements that the space group leaves alone: (P d)_j = mean of R_g d_i where g takes i to j."""
    turns = groups.orthogonal(crystals)[groups.operation]
    return _mean(torch.einsum("nij,nj->ni", turns, vectors[groups.source]), groups.target, crystals.n_atoms)


def _mean(values: Tensor, index: Tensor, n: int) -> Tensor:
    total = values.new_zeros(n, *values.shape[1:]).index_add(0, index, values)
    count = torch.bincount(index, minlength=n).to(values.dtype)
    return total / count.view(-1, *[1] * (values.dim() - 1))


def _operations(
    cell: np.ndarray, frac: np.ndarray, numbers: np.ndarray, symprec: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """W (operations, 3, 3), t (operations, 3) and the atoms that they take each atom to (operations, atoms)."""
    found = ask_spglib(spglib.get_symmetry, (cell, frac, numbers), symprec=symprec)
    if found is None:
        return np.eye(3, dtype=np.int64)[None], np.zeros((1, 3)), np.arange(len(frac))[None]
    rotations, translations = found["rotations"].astype(np.int64), found["translations"]
    parts = -(-len(rotations) * len(frac) ** 2 // _PAIRS)
    some = zip(np.array_split(rotations, parts), np.array_split(translations, parts), strict=True)
    images = np.concatenate([images_of(cell @ cell.T, frac, numbers, turns, shifts)[0] for turns, shifts in some])
    kept = one_to_one(images)
    return rotations[kept], translations[kept], images[kept]
