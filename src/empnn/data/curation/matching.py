"""Which crystals pymatgen's StructureMatcher takes for the same, with all comparisons left out that cannot succeed.

Two crystals can only match if their primitive cells hold equally many atoms of the same composition and if the lattice
of one has three vectors as long as those of the other's Niggli cell and at the same angles, within the tolerances. Both
are conditions of the matcher itself, so nothing is missed. For lattices, a necessary condition on numbers comes first:
the i-th shortest independent vector is at most `1 + length` times as long as the other's.

This file imports no torch, for it runs in processes of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from pymatgen.analysis.structure_matcher import ElementComparator, StructureMatcher
from pymatgen.core import Lattice, Structure

from empnn.processes import Report

_MARGIN = 1e-6
"""Tolerances are wider by this part where comparisons are left out, so that rounding cannot decide."""
_FAILURES = (ValueError, ArithmeticError, LookupError, RuntimeError)


@dataclass(frozen=True)
class Tolerances:
    """How different two crystals may be that count as the same; see pymatgen's StructureMatcher.

    Attributes:
        length: Relative difference of the lengths of lattice vectors, `ltol`.
        site: Largest distance of an atom from its counterpart, in units of the cube root of the volume per atom,
            `stol`.
        angle: Difference of the angles of the lattice, in degrees, `angle_tol`.
        scale: Whether volumes are made equal first.
    """

    length: float = 0.2
    site: float = 0.3
    angle: float = 5.0
    scale: bool = True

    def matcher(self) -> StructureMatcher:
        """The matcher with these tolerances."""
        return StructureMatcher(
            ltol=self.length,
            stol=self.site,
            angle_tol=self.angle,
            scale=self.scale,
            comparator=ElementComparator(),
        )


def reduce_all(on_structures: Report, structures: Sequence[Structure]) -> list[Structure | None]:
    """The primitive Niggli cells, as the matcher makes them; None where there is no way to one."""
    found = [_reduced(structure) for structure in structures]
    on_structures(len(found))
    return found


def first_matches(on_structures: Report, structures: Sequence[Structure], tolerances: Tolerances) -> list[int]:
    """For each structure the position of the first one it matches that is itself the first; its own if there is none.

    That is the grouping of `StructureMatcher.group_structures`.

    Args:
        on_structures: Called with the number of structures done since the last call.
        structures: Primitive Niggli cells with equally many atoms of one composition.
        tolerances: What counts as the same.
    """
    matcher = tolerances.matcher()
    kept = _Kept(tolerances)
    first: list[int] = []
    for index, structure in enumerate(structures):
        matches = (i for i in kept.candidates(structure) if _fits(matcher, structures[i], structure))
        found = next(matches, None)
        if found is None:
            kept.add(index, structure)
        first.append(index if found is None else found)
        on_structures(1)
    return first


class _Kept:
    """Structures that matched no earlier one, and which of them a structure can match at all."""

    def __init__(self, tolerances: Tolerances) -> None:
        self._tolerances = tolerances
        self._positions: list[int] = []
        self._lattices: list[Lattice] = []
        self._lengths = np.empty((16, 3))

    def add(self, position: int, structure: Structure) -> None:
        lattice = self._scaled(structure.lattice)
        if len(self._positions) == len(self._lengths):
            self._lengths = np.concatenate([self._lengths, np.empty_like(self._lengths)])
        self._lengths[len(self._positions)] = np.sort(lattice.abc)
        self._positions.append(position)
        self._lattices.append(lattice)

    def candidates(self, structure: Structure) -> Iterator[int]:
        lattice = self._scaled(structure.lattice)
        limits = np.sort(lattice.abc) * (1 + self._tolerances.length + _MARGIN)
        for row in np.flatnonzero((self._lengths[: len(self._positions)] <= limits).all(axis=1)):
            if self._maps(self._lattices[row], lattice):
                yield self._positions[row]

    def _scaled(self, lattice: Lattice) -> Lattice:
        return lattice.scale(1.0) if self._tolerances.scale else lattice

    def _maps(self, kept: Lattice, other: Lattice) -> bool:
        mappings = kept.find_all_mappings(
            other, self._tolerances.length + _MARGIN, self._tolerances.angle + _MARGIN, skip_rotation_matrix=True
        )
        return next(mappings, None) is not None


def _fits(matcher: StructureMatcher, kept: Structure, other: Structure) -> bool:
    try:
        return bool(matcher.fit(kept, other, skip_structure_reduction=True))
    except _FAILURES:
        return False


def _reduced(structure: Structure) -> Structure | None:
    try:
        return structure.get_reduced_structure("niggli").get_primitive_structure()
    except _FAILURES:
        return None
