"""What crystals carry as ASE `Atoms` besides cell and atoms: arrays, results of calculators, deuterium."""

from __future__ import annotations

from typing import Any

import numpy as np
from ase import Atoms

STANDARD_ARRAYS = ("numbers", "positions", "tags", "momenta", "masses", "initial_magmoms", "initial_charges")


OXIDATION_STATES = "oxi_states"
"""The array that holds oxidation states, as pymatgen names it."""


DOUBTS = "empnn_doubts"
"""The info that holds what was doubtful in a file when it was read."""
DEUTERIUM_MASS = 2.014


_RESULTS_PER_ATOM = ("energies", "forces", "stresses", "magmoms", "charges")


_RESULTS_OF_A_CELL = ("energy", "free_energy", "energies", "forces", "stress", "stresses", "virial")


def set_arrays(atoms: Atoms, arrays: dict[str, Any]) -> Atoms:
    """Put back arrays that a format has no place for and that were kept aside."""
    for name, array in arrays.items():
        atoms.set_array(name, np.asarray(array))
    return atoms


def with_results_kept(atoms: Atoms) -> Atoms:
    """The atoms with energy, forces and the like, which ASE keeps apart in a calculator, as info and arrays.

    For formats that know no calculator.
    """
    results = getattr(atoms.calc, "results", None)
    if not results:
        return atoms
    kept: Atoms = atoms.copy()
    for name, value in results.items():
        if name in _RESULTS_PER_ATOM:
            kept.set_array(name, np.asarray(value))
        else:
            kept.info.setdefault(name, value)
    return kept


def with_input_results(atoms: Atoms) -> Atoms:
    """The atoms with energy, forces and stress named as those of the input, for they end with its cell."""
    held = with_results_kept(atoms)
    if not any(name in held.info or name in held.arrays for name in _RESULTS_OF_A_CELL):
        return held
    kept: Atoms = held.copy()
    for name in _RESULTS_OF_A_CELL:
        if name in kept.info:
            kept.info[f"input_{name}"] = kept.info.pop(name)
        if name in kept.arrays:
            kept.arrays[f"input_{name}"] = kept.arrays.pop(name)
    return kept


def mark_deuterium(atoms: Atoms, sites: list[int]) -> Atoms:
    """Say by their mass that these hydrogen atoms are deuterium."""
    if sites:
        masses = atoms.get_masses()
        masses[sites] = DEUTERIUM_MASS
        atoms.set_masses(masses)
    return atoms


def is_deuterium(atoms: Atoms) -> np.ndarray:
    """Which atoms are hydrogen of the mass of deuterium."""
    if not atoms.has("masses"):
        return np.zeros(len(atoms), dtype=bool)
    heavy: np.ndarray = (atoms.numbers == 1) & (np.abs(atoms.get_masses() - DEUTERIUM_MASS) < 0.1)
    return heavy
