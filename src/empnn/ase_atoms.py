"""What crystals carry as ASE `Atoms` besides cell and atoms: arrays, results of calculators, deuterium, occupancies."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from ase import Atoms

from empnn.errors import CrystalError
from empnn.files import listed

STANDARD_ARRAYS = ("numbers", "positions", "tags", "momenta", "masses", "initial_magmoms", "initial_charges")
OXIDATION_STATES = "oxi_states"
"""The array that holds oxidation states, as pymatgen names it."""
DOUBTS = "empnn_doubts"
"""The info that holds what was doubtful in a file when it was read."""
SYMMETRIZED = "empnn_symmetrized"
"""The info that holds the space group that a crystal was made symmetric under."""
DEUTERIUM_MASS = 2.014
_RESULTS_PER_ATOM = ("energies", "forces", "stresses", "magmoms", "charges")
_RESULTS_OF_A_CELL = ("energy", "free_energy", "energies", "forces", "stress", "stresses", "virial")
_OF_A_CELL = re.compile(
    r"energ(y|ies)|enthalp|hull|toten|(forces?|stress(es)?|virials?)(?![a-z])|"
    r"(?<![a-z])e_?(tot|form|f|0)(?![a-z])|(?<![a-z])e_per_atom|^e$",
    re.IGNORECASE,
)
"""In the names of quantities that end with the cell they were computed in, under whatever prefix: REF_energy."""
_SETTINGS = re.compile(
    r"input_|weight|cut_?off|tol(erance)?s?(?![a-z])|thresh|criteri|converge|limit|applied|external|units?(?![a-z])|"
    r"shift|offset|scal(e|ing)|field",
    re.IGNORECASE,
)
"""In the names of settings, which have no part in the cell: energy_cutoff, forces_weight."""
_OCCUPANCIES = ("occupancy", "occupancies")
"""Names under which ASE keeps the occupancy of sites, in info by kind of site, in arrays by atom."""
_NUMBERS = "iufbc"
"""Kinds of arrays that hold numbers or truth values."""


def set_arrays(atoms: Atoms, arrays: dict[str, Any]) -> Atoms:
    """Put back arrays that a format has no place for and that were kept aside."""
    for name, array in arrays.items():
        atoms.set_array(name, array if isinstance(array, np.ndarray) else as_array(array))
    return atoms


def as_array(values: Sequence[Any] | np.ndarray) -> np.ndarray:
    """One value per atom as an array: of numbers or of text if all are that, else of whatever they are (None, too)."""
    try:
        array = np.asarray(values)
    except ValueError:
        return np.array(values, dtype=object)
    all_text = array.dtype.kind == "U" and all(isinstance(value, str) for value in values)
    return array if all_text or array.dtype.kind in _NUMBERS else np.array(values, dtype=object)


def with_plain_info(atoms: Atoms) -> Atoms:
    """The atoms with info that is plain JSON but for numerical arrays: a space group becomes a dictionary.

    Raises:
        CrystalError: If something is of a kind that JSON does not know.
    """
    if all(isinstance(value, str | int | float | None) for value in atoms.info.values()):
        return atoms
    kept: Atoms = atoms.copy()
    kept.calc = atoms.calc
    for key, value in atoms.info.items():
        try:
            kept.info[key] = _plain(value)
        except (TypeError, ValueError, RecursionError) as error:
            raise CrystalError(f"its info {key!r} cannot be written ({error}); remove it") from None
    return kept


def _plain(value: Any) -> Any:
    """A value of which only arrays of numbers are left as they are."""
    if isinstance(value, str | int | float | complex | None):
        return value
    if isinstance(value, np.ndarray) and value.dtype.kind in _NUMBERS:
        return value
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if not isinstance(value, dict):
        return _plain(listed(value))
    json.dumps(dict.fromkeys(value))  # For the complaint about keys that JSON does not know.
    return {key: _plain(item) for key, item in value.items()}


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
    """The atoms with energies, forces and stresses, whoever named them, named as those of the input.

    They end with its cell. What is no number (a unit, a method) and settings keep their names.
    """
    held = with_results_kept(atoms)
    info = [key for key, value in held.info.items() if _ends_with_the_cell(key, value)]
    arrays = [name for name, array in held.arrays.items() if _ends_with_the_cell(name, array)]
    if not info and not arrays:
        return held
    kept: Atoms = held.copy()
    for names, values in ((info, kept.info), (arrays, kept.arrays)):
        for name in names:
            values[f"input_{name}"] = values.pop(name)
    return kept


def _ends_with_the_cell(name: Any, value: Any) -> bool:
    if name in _RESULTS_OF_A_CELL:
        return True
    if not isinstance(name, str) or not _OF_A_CELL.search(name) or _SETTINGS.search(name):
        return False
    if not isinstance(value, np.ndarray):
        value = as_array(value if isinstance(value, list | tuple) else [value])
    return value.dtype.kind in "iufc"


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


def occupancies(atoms: Atoms) -> Iterator[tuple[Any, dict[str, float]]]:
    """What `Atoms` say of the occupancy of sites: the site, and the share of each species that is there at all.

    ASE's readers mark it by kind of site, of which there may be no atoms any more, or by atom. In files the keys become
    text, and the whole may do so.
    """
    names = [name for name in _OCCUPANCIES if name in atoms.info or name in atoms.arrays]
    if not names:
        return
    listed = "spacegroup_kinds" in atoms.arrays
    kinds = list(map(str, atoms.arrays["spacegroup_kinds"] if listed else range(len(atoms))))
    for name in names:
        for site, share in enumerate(atoms.arrays.get(name, ())):
            yield site, _shares(share, atoms.symbols[site])
        marks = _evaluated(atoms.info.get(name))
        for kind, share in marks.items() if isinstance(marks, Mapping) else enumerate(marks):
            if str(kind) in kinds:
                site = kinds.index(str(kind))
                yield site, _shares(share, atoms.symbols[site])
            elif not listed:
                yield kind, _shares(share, "X")


def _evaluated(marks: Any) -> Any:
    """A dictionary, list or array, also one that has become text; nothing where it is anything else."""
    if isinstance(marks, str) and marks.lstrip()[:1] in tuple("{["):
        try:
            marks = ast.literal_eval(marks.strip())
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            return {}
    return marks if isinstance(marks, Mapping | list | tuple) or (np.ndim(marks) and not isinstance(marks, str)) else {}


def _shares(share: Any, symbol: str) -> dict[str, float]:
    """The share of each species at a site; NaN where it is no number."""
    shares = share if isinstance(share, Mapping) else {symbol: share}
    found = {}
    for species, value in shares.items():
        try:
            found[str(species)] = float(np.asarray(value).item())
        except (TypeError, ValueError):
            found[str(species)] = float("nan")
    return {species: value for species, value in found.items() if value}
