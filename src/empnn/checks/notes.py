"""What is special about a crystal as given, kept in the result, and no reason to doubt it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from empnn.ase_atoms import OXIDATION_STATES, is_deuterium
from empnn.crystals import is_deuterium_species

if TYPE_CHECKING:
    from ase import Atoms
    from pymatgen.core import IStructure

LEFT_HANDED = "left-handed cell, kept so"
DEUTERIUM = "deuterium counts as hydrogen"
_MOMENTS = ("initial_magmoms", "magmom", "magmoms", "final_magmom")
_CHARGES = ("initial_charges", "charge", "charges", "final_charge")


def notes(crystal: Atoms | IStructure) -> list[str]:
    """What the network does not see of a crystal, or what its user may not expect, in words.

    Invariant under SL3(Z), S_n, translations and rotations; a reflection changes the handedness.
    """
    from ase import Atoms

    cell = np.asarray(crystal.cell.array if isinstance(crystal, Atoms) else crystal.lattice.matrix)
    found = [LEFT_HANDED] if np.linalg.det(cell) < 0 else []
    ignored, deuterium = _of_atoms(crystal) if isinstance(crystal, Atoms) else _of_structure(crystal)
    found += [f"{name} are ignored" for name in ignored]
    return found + [DEUTERIUM] * deuterium


def _of_atoms(atoms: Atoms) -> tuple[list[str], bool]:
    try:
        results = getattr(atoms.calc, "results", {})
    except RuntimeError:
        # A calculator that computes when asked, and cannot.
        results = {}
    held: dict[str, list[object]] = {
        "oxidation states": [atoms.arrays.get(OXIDATION_STATES)],
        "magnetic moments": [results.get("magmoms"), *map(atoms.arrays.get, _MOMENTS)],
        "charges": [atoms.info.get("charge"), *map(atoms.arrays.get, _CHARGES)],
    }
    return [name for name, values in held.items() if any(map(_says_something, values))], bool(is_deuterium(atoms).any())


def _of_structure(structure: IStructure) -> tuple[list[str], bool]:
    species = structure.species
    held: dict[str, list[object]] = {
        "oxidation states": [[getattr(kind, "oxi_state", None) for kind in species]],
        "magnetic moments": [
            structure.site_properties.get("magmom"),
            [getattr(kind, "spin", None) for kind in species],
        ],
        "charges": [structure.site_properties.get("charge"), structure._charge],
    }
    named = [name for name, values in held.items() if any(map(_says_something, values))]
    return named, any(map(is_deuterium_species, species))


def _says_something(values: object) -> bool:
    """Whether there are values, and not all of them are 0 or missing."""
    if values is None or isinstance(values, str | dict):
        return False
    if isinstance(values, list | tuple):
        return any(map(_says_something, values))
    found = np.asarray(values)
    if found.dtype.kind in "fiub":
        return bool(found.any())
    return any(map(_says_something, found.ravel().tolist())) if found.ndim else bool(values)
