"""What a reader finds in a file, and whether two found the same crystal."""

import numpy as np
from ase import Atoms
from scipy.optimize import linear_sum_assignment

SAME = 1e-3
"""How far coordinates (modulo 1) and, relatively, lattices may be apart."""

ONE_ATOM = 0.3
"""Atoms of one element closer than this, in angstrom, are one to us, as docs/refusals.md has it."""

Reading = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Cell, fractional coordinates and atomic numbers."""


def reading_of(atoms: Atoms) -> Reading:
    """What a reader that gives `Atoms` has found."""
    cell = np.asarray(atoms.cell.array)
    return cell, np.linalg.solve(cell.T, atoms.positions.T).T, atoms.numbers


def same(first: Reading, second: Reading) -> bool:
    """Whether two readings are one crystal: metric, species, coordinates modulo 1, in any order of the atoms."""
    (cell, frac, numbers), (other_cell, other_frac, other_numbers) = first, second
    if len(numbers) != len(other_numbers) or sorted(numbers.tolist()) != sorted(other_numbers.tolist()):
        return False
    metric, other_metric = cell @ cell.T, other_cell @ other_cell.T
    if not np.allclose(metric, other_metric, rtol=SAME, atol=SAME * np.sqrt(np.abs(metric).max())):
        return False
    if _apart(frac - other_frac).max() < SAME and np.array_equal(numbers, other_numbers):
        return True
    costs = _apart(frac[:, None] - other_frac[None]) + (numbers[:, None] != other_numbers[None])
    return bool(costs[linear_sum_assignment(costs)].max() < SAME)


def same_once_merged(mine: Reading, other: Reading) -> bool:
    """The same crystal once atoms of one element within 0.3 angstrom are one, as the images of one site are to us."""
    cell, frac, numbers = other
    kept: list[int] = []
    for index in range(len(numbers)):
        apart = frac[kept] - frac[index]
        close = np.linalg.norm((apart - np.round(apart)) @ cell, axis=1) <= ONE_ATOM
        if not (close & (numbers[kept] == numbers[index])).any():
            kept.append(index)
    return same(mine, (cell, frac[kept], numbers[kept]))


def _apart(difference: np.ndarray) -> np.ndarray:
    return np.nan_to_num(np.abs(difference - np.round(difference)), nan=1.0).max(-1)
