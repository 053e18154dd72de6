"""Space groups of crystals: their operations, crystals made exactly symmetric, and what an operation leaves alone.

An operation (W, t) takes fractional coordinates x (columns) to W x + t; in Cartesian coordinates it turns vectors by
R = cell^T W cell^-T. All operations of the given cell are meant, centring translations of a larger cell included.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import spglib
import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from empnn.crystals import CrystalBatch, wrap
from empnn.geometry import polar_factor

SYMPREC = 0.01
"""Distance in angstrom within which operations are looked for, spglib's `symprec`."""


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


def find_space_groups(crystals: CrystalBatch, symprec: float = SYMPREC) -> SpaceGroups:
    """The operations that spglib finds; the identity alone where it finds none.

    Invariant under Euc(3) and S_n up to their order; W and t change with the basis.
    """
    cells, fracs, numbers = crystals.cell.numpy(), crystals.frac.numpy(), crystals.numbers.numpy()
    found = [
        operations_of(cell, fracs[start:stop], numbers[start:stop], symprec)
        for cell, (start, stop) in zip(cells, pairwise(crystals.starts.tolist()), strict=True)
    ]
    return join_operations(crystals, found)


def operations_of(
    cell: np.ndarray, frac: np.ndarray, numbers: np.ndarray, symprec: float = SYMPREC
) -> tuple[np.ndarray, np.ndarray]:
    """W (operations, 3, 3) and t (operations, 3) of one crystal, those that map its atoms one to one."""
    found = ask_spglib(spglib.get_symmetry, cell, frac, numbers, symprec)
    if found is None:
        return np.eye(3, dtype=np.int64)[None], np.zeros((1, 3))
    rotations, translations = found["rotations"].astype(np.int64), found["translations"]
    images = _images(cell, frac, numbers, rotations, translations)
    one_to_one = (np.sort(images, axis=1) == np.arange(len(frac))).all(axis=1)
    return rotations[one_to_one], translations[one_to_one]


def ask_spglib(
    function: Callable[..., Any], cell: np.ndarray, frac: np.ndarray, numbers: np.ndarray, symprec: float
) -> Any:
    """What a function of spglib finds, None where it finds nothing: some versions raise then and others warn."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            return function((cell, frac, numbers), symprec=symprec)
        except spglib.SpglibError:
            return None


def join_operations(crystals: CrystalBatch, found: Sequence[tuple[np.ndarray, np.ndarray]]) -> SpaceGroups:
    """Operations (W, t) of each structure as one `SpaceGroups`, with the atoms that they map onto each other."""
    fracs, numbers, cells = crystals.frac.numpy(), crystals.numbers.numpy(), crystals.cell.numpy()
    starts = crystals.starts.tolist()
    targets = [
        _images(cell, fracs[start:stop], numbers[start:stop], *operations) + start
        for cell, (start, stop), operations in zip(cells, pairwise(starts), found, strict=True)
    ]
    counts = np.array([len(rotations) for rotations, _ in found], dtype=np.int64)
    sizes = np.repeat(np.diff(starts), counts)
    sources = [np.tile(np.arange(*ends), count) for ends, count in zip(pairwise(starts), counts, strict=True)]
    return SpaceGroups(
        rotations=torch.from_numpy(np.concatenate([np.empty((0, 3, 3), np.int64), *(r for r, _ in found)])),
        translations=torch.from_numpy(np.concatenate([np.empty((0, 3)), *(t for _, t in found)])),
        batch=torch.from_numpy(np.repeat(np.arange(len(found)), counts)),
        operation=torch.from_numpy(np.repeat(np.arange(len(sizes)), sizes)),
        source=torch.from_numpy(np.concatenate([np.empty(0, np.int64), *sources])),
        target=torch.from_numpy(np.concatenate([np.empty(0, np.int64), *(t.ravel() for t in targets)])),
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


def _images(
    cell: np.ndarray, frac: np.ndarray, numbers: np.ndarray, rotations: np.ndarray, translations: np.ndarray
) -> np.ndarray:
    """The nearest atom of its element to where each operation takes each atom, (operations, atoms)."""
    moved = np.einsum("gij,nj->gni", rotations, frac) + translations[:, None]
    difference = moved[:, :, None] - frac
    difference -= difference.round()
    squared = np.square(difference @ cell).sum(-1)
    squared[:, numbers[:, None] != numbers] = np.inf
    nearest: np.ndarray = squared.argmin(-1)
    return nearest
