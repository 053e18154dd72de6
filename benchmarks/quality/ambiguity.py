"""Bases that fractional coordinates cannot tell apart, and what that leaves to a reconstruction.

Atoms at 0 and 1/2 are at 0 and 1/2 in many bases: coordinates that a change of basis maps onto themselves belong to
several cells, which are the same crystal in other bases. None of them is more right than another, and a count of right
cells in the given basis calls all but one wrong.
"""

import itertools
from collections import Counter
from functools import cache

import numpy as np
import spglib
import torch

from empnn.crystals import CrystalBatch
from empnn.geometry import hencky_distance
from empnn.symmetry import ELEMENTARY
from empnn.symmetry_search import ask_spglib

SUCCESS = 0.05
"""Hencky strain to the true cell below which a cell is right."""
ALIKE = 0.001
"""Difference of amplitudes, of their largest, that counts as none."""
HKL = np.array([hkl for hkl in itertools.product(range(-2, 3), repeat=3) if hkl > (0, 0, 0)])
_ENTRIES = np.array(list(itertools.product((-1, 0, 1), repeat=9))).reshape(-1, 3, 3)
NEARBY = _ENTRIES[np.abs(np.linalg.det(_ENTRIES)).round() == 1]
"""Changes from one reduced basis to another of nearly the same lattice."""


def amplitudes(frac: np.ndarray, numbers: np.ndarray, bases: np.ndarray) -> np.ndarray:
    """Amplitudes |F(hkl)| / F(0), atoms scattering by their numbers, in the bases `C @ cell`, (bases, hkl).

    Those of two bases agree if coordinates do, up to translations, inversion and the order of atoms.
    """
    inverse = np.linalg.inv(bases).round()
    phases = np.exp(2j * np.pi * (frac @ inverse @ HKL.T))
    return np.asarray(np.abs((numbers[:, None] * phases).sum(1)) / numbers.sum())


def same_crystal(cell: np.ndarray, truth: np.ndarray, frac: np.ndarray, numbers: np.ndarray) -> bool:
    """Whether two cells of the same coordinates are one crystal or its mirror image, within the strain of `SUCCESS`."""
    changes = np.linalg.inv(niggli(truth)).round() @ NEARBY @ niggli(cell)
    near = changes[_strains(changes @ cell, truth) < SUCCESS]
    off = amplitudes(frac, numbers, near) - amplitudes(frac, numbers, np.eye(3)[None])
    return bool((np.abs(off).max(1, initial=0.0) < ALIKE).any())


@cache
def products(matrices: int) -> tuple[np.ndarray, np.ndarray]:
    """The bases that so many elementary matrices lead to, and the share of all products that leads to each."""
    found = Counter({tuple(np.eye(3, dtype=int).ravel()): 1})
    for _ in range(matrices):
        longer: Counter[tuple[int, ...]] = Counter()
        for entries, ways in found.items():
            for matrix in ELEMENTARY:
                longer[tuple((matrix @ np.reshape(entries, (3, 3))).ravel())] += ways
        found = longer
    ways = np.array(list(found.values()), dtype=float)
    return np.array(list(found)).reshape(-1, 3, 3), ways / ways.sum()


def ceiling(crystal: CrystalBatch, matrices: int) -> float:
    """How often the best guess is right if coordinates were rewritten by so many elementary matrices, of one crystal.

    The guess knows the crystal and how bases are drawn, and sees nothing but coordinates. Of the cells that these may
    have it names the one that is most often the true one.
    """
    bases, shares = products(matrices)
    cell = crystal.cell[0].numpy()
    seen = amplitudes(crystal.frac.numpy(), crystal.numbers.numpy(), bases)
    left, right = np.ones(len(bases), dtype=bool), 0.0
    while left.any():
        alike = np.flatnonzero(left & (np.abs(seen - seen[left.argmax()]).max(1) < ALIKE))
        left[alike] = False
        right += max(shares[alike[_strains(bases[alike] @ cell, bases[one] @ cell) < SUCCESS]].sum() for one in alike)
    return float(right)


def niggli(cell: np.ndarray) -> np.ndarray:
    """The Niggli basis of a cell as rows of whole numbers; the given basis where there is none.

    What is equal within a thousandth counts as equal, so that a symmetric cell has one such basis whatever its last
    digits are.
    """
    size = float(np.abs(np.linalg.det(cell))) ** (1 / 3)
    reduced = ask_spglib(spglib.niggli_reduce, cell / size, eps=1e-3)
    if reduced is None:
        return np.eye(3)
    change = np.round(reduced @ np.linalg.inv(cell / size))
    return change if round(abs(np.linalg.det(change))) == 1 else np.eye(3)


def _strains(cells: np.ndarray, truth: np.ndarray) -> np.ndarray:
    tensors = torch.from_numpy(np.asarray(cells, dtype=float)), torch.from_numpy(np.asarray(truth, dtype=float))
    return np.asarray(hencky_distance(tensors[0], tensors[1].expand_as(tensors[0])).numpy())
