"""The asymmetric unit of a crystal that is exactly symmetric, in a setting that the tables of space groups hold.

Readers differ in what they make of operators: gemmi drops those that form no tabulated setting. So a cell is kept where
it is one, but for the origin; primitive cells of centred lattices and the like become the conventional cell.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import gemmi
import numpy as np
import spglib
from ase import Atoms
from ase.cell import Cell
from ase.data import chemical_symbols

from empnn.data.formats.cif.sites import species
from empnn.symmetry_search import ask_spglib

EXACT = 1e-5
"""Distance in angstrom within which operations hold in a crystal that counts as symmetric."""
_SAME_PLACE = 1e-3
"""Images of a site closer than this, in angstrom, are one atom of a symmetric crystal."""
_Crystal = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Lattice vectors (3, 3), fractional coordinates (atoms, 3) and kinds (atoms,), as spglib takes them."""
_HALLS = range(1, 531)
"""The numbers that spglib gives to the settings of the tables."""


@dataclass(frozen=True, kw_only=True)
class AsymmetricUnit:
    """One atom of each orbit, and what makes a crystal of them.

    Attributes:
        parameters: Lattice parameters (6,), angstrom and degrees.
        sites: Positions of the atoms in the crystal that was given.
        frac: Their fractional coordinates in the new cell (sites, 3).
        multiplicities: How many atoms of the new cell each stands for.
        operators: All operators, centring included, as `x,y,z`.
        name: Hermann-Mauguin symbol of the setting, spaced, with a suffix where there are two origins or kinds of axes.
        number: Number of the space group.
        as_given: Whether the lattice parameters are those given.
    """

    parameters: np.ndarray
    sites: list[int]
    frac: np.ndarray
    multiplicities: list[int]
    operators: list[str]
    name: str
    number: int
    as_given: bool

    @property
    def n_atoms(self) -> int:
        """Atoms in the new cell."""
        return sum(self.multiplicities)


def asymmetric_unit(atoms: Atoms) -> AsymmetricUnit | None:
    """The asymmetric unit of a crystal; None if spglib finds no symmetry but translations.

    Orientation, handedness of the basis and origin are given up.
    """
    crystal = _right_handed(atoms)
    found = ask_spglib(spglib.get_symmetry_dataset, crystal, symprec=EXACT)
    if found is None or found.number == 1:
        return None
    settings = _settings(found.number)
    turns = _turns(found.rotations)
    for setting in (one for one in settings if one.turns == turns):
        unit = _unit(crystal, setting)
        if unit is not None and unit.as_given:
            return unit
    return _unit(crystal, settings[0])


def _right_handed(atoms: Atoms) -> _Crystal:
    """The crystal as spglib takes it; a left-handed basis is turned over."""
    cell = atoms.cell.array
    sign = np.sign(np.linalg.det(cell))
    kinds = species(atoms, [chemical_symbols[number] for number in atoms.numbers])
    frac = sign * np.linalg.solve(cell.T, atoms.positions.T).T
    return sign * cell, frac, np.unique(kinds, return_inverse=True)[1]


def _unit(crystal: _Crystal, setting: _Setting) -> AsymmetricUnit | None:
    """The asymmetric unit in a setting; None if there is none that makes up the crystal."""
    found = ask_spglib(spglib.get_symmetry_dataset, crystal, symprec=EXACT, hall_number=setting.hall)
    if found is None:
        return None
    given, frac, _ = crystal
    change = found.transformation_matrix
    moved = frac @ change.T + found.origin_shift
    cell = np.linalg.inv(change).T @ given
    metric = (setting.rotations.transpose(0, 2, 1) @ (cell @ cell.T) @ setting.rotations).mean(0)
    sites, places, multiplicities = [], [], []
    for site, orbit in _orbits(found.crystallographic_orbits):
        images = setting.images(moved[site])
        apart = moved[orbit][:, None] - images
        distances = np.linalg.norm((apart - np.round(apart)) @ cell, axis=-1)
        if distances.min(1).max() > _SAME_PLACE:
            return None
        own = distances[0] < _SAME_PLACE
        place = (images + np.round(moved[site] - images))[own].mean(0)
        sites.append(site)
        places.append(np.mod(place, 1) % 1)
        multiplicities.append(len(own) // int(own.sum()))
    if sum(multiplicities) != round(len(frac) / abs(np.linalg.det(change))):
        return None
    return AsymmetricUnit(
        parameters=Cell(np.linalg.cholesky(metric)).cellpar(),
        sites=sites,
        frac=np.array(places),
        multiplicities=multiplicities,
        operators=setting.operators,
        name=setting.name,
        number=found.number,
        as_given=np.allclose(cell @ cell.T, given @ given.T),
    )


def _orbits(orbits: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """The first atom of each orbit, and all of them, that one first."""
    for site in np.unique(orbits):
        members = np.flatnonzero(orbits == site)
        yield int(members[0]), members


class _Setting:
    """A setting of the tables.

    Attributes:
        hall: Its number among spglib's.
        name: Its Hermann-Mauguin symbol.
        operators: As `x,y,z`.
        rotations: W of the operators (operators, 3, 3).
        translations: t of the operators (operators, 3).
        turns: The rotations, to compare.
    """

    def __init__(self, hall: int) -> None:
        group = gemmi.symops_from_hall(_type(hall).hall_symbol)
        operators = list(group)
        self.hall = hall
        self.name: str = gemmi.find_spacegroup_by_ops(group).xhm()
        self.operators: list[str] = [operator.triplet() for operator in operators]
        self.rotations = np.array([operator.rot for operator in operators]) / gemmi.Op.DEN
        self.translations = np.array([operator.tran for operator in operators]) / gemmi.Op.DEN
        self.turns = _turns(self.rotations)

    def images(self, site: np.ndarray) -> np.ndarray:
        """Where the operators take a site (operators, 3)."""
        images: np.ndarray = self.rotations @ site + self.translations
        return images


@functools.cache
def _settings(number: int) -> list[_Setting]:
    """The settings of a space group, the usual one first; of two origins the one at the centre of inversion."""
    own = [(_type(hall).choice.startswith("1"), hall) for hall in _HALLS if _type(hall).number == number]
    return [_Setting(hall) for _, hall in sorted(own)]


@functools.cache
def _type(hall: int) -> Any:
    return ask_spglib(spglib.get_spacegroup_type, hall)


def _turns(rotations: np.ndarray) -> frozenset[bytes]:
    return frozenset(rotation.astype(np.int8).tobytes() for rotation in np.rint(rotations))
