"""What makes two crystals, unrelaxed and relaxed, no pair."""

from __future__ import annotations

import numpy as np
from scipy.optimize import linear_sum_assignment

from empnn.crystals import CrystalBatch
from empnn.geometry import hencky_distance
from empnn.graph.reduction import minimum_images
from empnn.metrics import mean_displacements

MAX_STRAIN = 1.0
"""Norm of a Hencky strain that no relaxation comes to: a volume 5.6 times as large, or small, if it is isotropic."""
MAX_DISPLACEMENT = 2.0
"""Mean displacement in angstrom that is none any more: in most crystals, atoms drawn at random are not farther off."""
_DOUBTFUL = 0.5
"""Mean displacement in angstrom from which on other orders of the atoms are looked at."""
_REORDERED = 0.5
"""Part of itself that the displacement must become in another order of the atoms to say that the order is wrong."""
_ORIGINS = 8
"""Atoms that are tried as the one at the origin, at most."""


def other_atoms(before: CrystalBatch, after: CrystalBatch) -> list[str | None]:
    """For each pair why these are not the same atoms in the same order, `what; what to do`, or None."""
    found: list[str | None] = []
    for first, second in zip(_numbers(before), _numbers(after), strict=True):
        same = np.array_equal(first, second)
        found.append(None if same else _in_words(first, second))
    return found


def far_apart(before: CrystalBatch, after: CrystalBatch) -> list[str | None]:
    """For each pair of the same atoms why one cannot be the relaxed other, `what; what to do`, or None.

    Refused are a Hencky strain of a norm above 1, a mean displacement above 2 angstrom, and one above 0.5 angstrom that
    is less than half as large in another order of atoms of the same element. Invariant under O(3) and translations of
    either crystal, and under a change of basis of both.
    """
    strains = hencky_distance(before.cell, after.cell).tolist()
    moved = mean_displacements(before, after).tolist()
    found: list[str | None] = [None] * len(before)
    for index, (strain, distance) in enumerate(zip(strains, moved, strict=True)):
        if strain > MAX_STRAIN:
            found[index] = (
                f"the cell changes by a strain of {strain:.2f}, over {MAX_STRAIN:g}; "
                "write both crystals in the same basis, or leave the pair out"
            )
        elif distance > _DOUBTFUL:
            found[index] = _displaced(before.select([index]), after.select([index]), distance)
    return found


def _in_words(first: np.ndarray, second: np.ndarray) -> str:
    from ase.formula import Formula
    from ase.symbols import Symbols

    formulas = [Formula.from_list(list(Symbols(numbers))).format("hill") for numbers in (first, second)]
    if len(first) != len(second):
        counts = f"{len(first)} atoms unrelaxed ({formulas[0]}) and {len(second)} relaxed ({formulas[1]})"
        return f"it has {counts}; write the same atoms into both"
    if formulas[0] != formulas[1]:
        return f"it is {formulas[0]} unrelaxed and {formulas[1]} relaxed; put both files in the same order"
    atom = int(np.flatnonzero(first != second)[0])
    names = [str(Symbols(numbers)[atom]) for numbers in (first, second)]
    return f"atom {atom} is {names[0]} unrelaxed and {names[1]} relaxed; write the atoms in the same order"


def _displaced(before: CrystalBatch, after: CrystalBatch, distance: float) -> str | None:
    least = _least_displacement(before, after)
    what = f"the atoms move by {distance:.2f} angstrom on average"
    if least < _REORDERED * distance:
        return f"{what}, {least:.2f} in another order; write the atoms in the same order"
    return f"{what}, over {MAX_DISPLACEMENT:g}; leave the pair out" if distance > MAX_DISPLACEMENT else None


def _least_displacement(before: CrystalBatch, after: CrystalBatch) -> float:
    """Least mean distance in angstrom of places before and after, over orders of the atoms of each element.

    An atom of the rarest element before, and each after, is taken as the origin in turn.
    """
    numbers = before.numbers.numpy()
    kinds, counts = np.unique(numbers, return_counts=True)
    anchors = np.flatnonzero(numbers == kinds[counts.argmin()])[:_ORIGINS]
    first, second = before.frac.numpy(), after.frac.numpy()
    least = np.inf
    for anchor in anchors:
        apart = (first - first[anchors[0]])[:, None] - (second - second[anchor])
        vectors = minimum_images(apart.reshape(-1, 3), after.cell.numpy(), np.zeros(apart[..., 0].size, dtype=np.int64))
        costs = np.linalg.norm(vectors, axis=1).reshape(apart.shape[:2])
        forbidden = numbers[:, None] != numbers
        rows, columns = linear_sum_assignment(np.where(forbidden, costs.sum() + 1, costs))
        least = min(least, costs[rows, columns].mean())
    return float(least)


def _numbers(crystals: CrystalBatch) -> list[np.ndarray]:
    return np.split(crystals.numbers.numpy(), crystals.starts.numpy()[1:])[:-1]
