"""Real-looking crystals on which the tests run, and the infinite point cloud they stand for."""

import itertools

import numpy as np
import torch

from empnn import symmetry
from empnn.crystals import CrystalBatch, from_arrays

SKEWED_BASIS = np.array([[1, -6, 2], [4, -23, 15], [-3, 23, 30]])
"""An element of SL3(Z) with large entries."""


def _crystal(cell: object, frac: object, numbers: object) -> CrystalBatch:
    return from_arrays(np.array(cell, dtype=float), np.array(frac, dtype=float), np.array(numbers))


def _fcc_cell(a: float) -> np.ndarray:
    return a / 2 * np.array([[0.0, 1, 1], [1, 0, 1], [1, 1, 0]])


FCC = _crystal(_fcc_cell(3.61), [[0, 0, 0]], [29])
HCP = _crystal(
    [[3.21, 0, 0], [-3.21 / 2, 3.21 * np.sqrt(3) / 2, 0], [0, 0, 3.21 * np.sqrt(8 / 3)]],
    [[1 / 3, 2 / 3, 0.25], [2 / 3, 1 / 3, 0.75]],
    [12, 12],
)
ROCKSALT = _crystal(_fcc_cell(5.64), [[0, 0, 0], [0.5, 0.5, 0.5]], [11, 17])
DIAMOND = _crystal(_fcc_cell(3.567), [[0, 0, 0], [0.25, 0.25, 0.25]], [6, 6])
PEROVSKITE = _crystal(
    np.eye(3) * 3.905,
    [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]],
    [38, 22, 8, 8, 8],
)
TRICLINIC = _crystal(
    [[5.57, 0.1, -0.3], [1.46, 7.0, 0.2], [-1.9, 0.8, 6.4]],
    [[0.02, 0.11, 0.07], [0.48, 0.61, 0.55], [0.81, 0.22, 0.43], [0.25, 0.86, 0.13], [0.57, 0.34, 0.92]],
    [29, 16, 8, 8, 1],
)
ONE_ATOM = _crystal([[3.3, 0.2, 0.1], [0.7, 3.9, -0.4], [-0.5, 1.1, 4.6]], [[0.3, 0.9, 0.6]], [84])
SKEWED = symmetry.change_basis(ROCKSALT, torch.from_numpy(SKEWED_BASIS)[None])
ELONGATED = _crystal(
    [[2.9, 0, 0], [0.1, 3.1, 0], [0.3, -0.2, 145.0]],
    [[0, 0, 0.0], [0.5, 0.5, 0.012], [0.1, 0.6, 0.31], [0.4, 0.2, 0.33], [0.9, 0.8, 0.75]],
    [42, 16, 42, 16, 34],
)
LEFT_HANDED = TRICLINIC.with_cell(TRICLINIC.cell * torch.tensor([1.0, 1.0, -1.0], dtype=torch.float64)[None, :, None])

ZOO: dict[str, CrystalBatch] = {
    "fcc": FCC,
    "hcp": HCP,
    "rocksalt": ROCKSALT,
    "diamond": DIAMOND,
    "perovskite": PEROVSKITE,
    "triclinic": TRICLINIC,
    "one-atom": ONE_ATOM,
    "skewed": SKEWED,
    "elongated": ELONGATED,
    "left-handed": LEFT_HANDED,
}
ALL = CrystalBatch.cat(list(ZOO.values()))


def zoo(*names: str) -> CrystalBatch:
    """The named crystals as one batch."""
    return CrystalBatch.cat([ZOO[name] for name in names])


def single(index: int, crystals: CrystalBatch = ALL) -> CrystalBatch:
    """One crystal of a batch."""
    return crystals.select([index])


def supercell(crystal: CrystalBatch, repeats: tuple[int, int, int]) -> CrystalBatch:
    """One crystal repeated along its lattice vectors; the copies of atom i are the atoms i, i + n, i + 2n, ..."""
    shifts = np.array(list(itertools.product(*map(range, repeats))))
    frac = (crystal.frac.numpy()[None] + shifts[:, None]).reshape(-1, 3) / np.array(repeats)
    cell = crystal.cell[0].numpy() * np.array(repeats)[:, None]
    return from_arrays(cell, frac, np.tile(crystal.numbers.numpy(), len(shifts)))


def ball(crystal: CrystalBatch, centre: np.ndarray, radius: float) -> tuple[np.ndarray, np.ndarray]:
    """Positions and atomic numbers of all atoms of the infinite crystal in a ball, whatever the basis.

    With rows L of a triangular cell the last coordinate of a lattice point depends on one integer only, the one before
    on two: the integers are enumerated one after another, without any assumption on how skewed the cell is.
    """
    cell, frac, numbers = crystal.cell[0].numpy(), crystal.frac.numpy(), crystal.numbers.numpy()
    rotation, upper = np.linalg.qr(cell.T)
    lower = upper.T
    offsets = (frac @ cell - centre) @ rotation
    images, owner = np.zeros((len(frac), 3)), np.arange(len(frac))
    for axis in (2, 1, 0):
        at = offsets[owner, axis] + images @ lower[:, axis]
        ends = (np.array([[-radius], [radius]]) - at) / lower[axis, axis]
        low, high = np.ceil(ends.min(0)), np.floor(ends.max(0))
        counts = np.maximum(high - low + 1, 0).astype(int)
        first = np.cumsum(counts) - counts
        images, owner = np.repeat(images, counts, axis=0), np.repeat(owner, counts)
        images[:, axis] = np.arange(counts.sum()) - np.repeat(first, counts) + np.repeat(low, counts)
    positions = (frac[owner] + images) @ cell
    inside = np.linalg.norm(positions - centre, axis=1) <= radius
    return positions[inside], numbers[owner[inside]]
