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
from functools import cached_property, lru_cache

import numpy as np
from pymatgen.analysis.structure_matcher import ElementComparator, StructureMatcher
from pymatgen.core import Element, Lattice, Structure

from empnn.processes import Report

_MARGIN = 1e-6
"""Tolerances are wider by this part where comparisons are left out, so that rounding cannot decide."""
_IN_MEMORY = 4096
"""Structures of a class that are kept as objects."""
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


@dataclass(frozen=True)
class Cells:
    """Ordered structures in arrays.

    Attributes:
        matrices: Lattice vectors as rows, angstrom (structures, 3, 3).
        frac: Fractional coordinates (atoms, 3), one structure after the other.
        numbers: Atomic numbers (atoms,).
        sizes: Atoms per structure (structures,).
    """

    matrices: np.ndarray
    frac: np.ndarray
    numbers: np.ndarray
    sizes: np.ndarray

    @cached_property
    def starts(self) -> np.ndarray:
        """Where the atoms of each begin, and the end (structures + 1,)."""
        return np.append(0, np.cumsum(self.sizes))

    def structure(self, index: int) -> Structure:
        """One of them."""
        atoms = slice(*self.starts[index : index + 2])
        species = [Element.from_Z(number) for number in self.numbers[atoms].tolist()]
        return Structure(Lattice(self.matrices[index]), species, self.frac[atoms])


def reduce_all(on_structures: Report, structures: Sequence[Structure]) -> Cells:
    """The primitive Niggli cells, as the matcher makes them; of no atoms where there is no way to one."""
    found = [_reduced(structure) for structure in structures]
    on_structures(len(found))
    there = [cell for cell in found if cell is not None]
    return Cells(
        np.array([np.zeros((3, 3)) if cell is None else cell.lattice.matrix for cell in found]),
        np.concatenate([np.empty((0, 3)), *(cell.frac_coords for cell in there)]),
        np.array([site.specie.Z for cell in there for site in cell], dtype=np.uint8),
        np.array([0 if cell is None else len(cell) for cell in found]),
    )


def first_matches(on_structures: Report, cells: Cells, tolerances: Tolerances) -> list[int]:
    """For each structure the position of the first one it matches that is itself the first; its own if there is none.

    That is the grouping of `StructureMatcher.group_structures`.

    Args:
        on_structures: Called with the number of structures done since the last call.
        cells: Primitive Niggli cells with equally many atoms of one composition.
        tolerances: What counts as the same.
    """
    matcher = tolerances.matcher()
    kept = _Kept(cells, tolerances)
    first: list[int] = []
    structure_of = lru_cache(_IN_MEMORY)(cells.structure)
    for index in range(len(cells.sizes)):
        structure = structure_of(index)
        matches = (i for i in kept.candidates(index) if _fits(matcher, structure_of(i), structure))
        found = next(matches, None)
        if found is None:
            kept.add(index)
        first.append(index if found is None else found)
        on_structures(1)
    return first


class _Kept:
    """Structures that matched no earlier one, and which of them a structure can match at all."""

    def __init__(self, cells: Cells, tolerances: Tolerances) -> None:
        self._cells = cells
        self._tolerances = tolerances
        self._positions: list[int] = []
        self._lengths = np.empty((16, 3))

    def add(self, position: int) -> None:
        lattice = self._scaled(position)
        if len(self._positions) == len(self._lengths):
            self._lengths = np.concatenate([self._lengths, np.empty_like(self._lengths)])
        self._lengths[len(self._positions)] = np.sort(lattice.abc)
        self._positions.append(position)

    def candidates(self, position: int) -> Iterator[int]:
        lattice = self._scaled(position)
        limits = np.sort(lattice.abc) * (1 + self._tolerances.length + _MARGIN)
        for row in np.flatnonzero((self._lengths[: len(self._positions)] <= limits).all(axis=1)):
            if self._maps(self._scaled(self._positions[row]), lattice):
                yield self._positions[row]

    def _scaled(self, position: int) -> Lattice:
        lattice = Lattice(self._cells.matrices[position])
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
