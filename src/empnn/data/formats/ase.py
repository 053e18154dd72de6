"""ASE's databases, and every other format that ASE reads and writes."""

from __future__ import annotations

from collections.abc import Iterable
from copy import copy
from pathlib import Path
from typing import Any

import ase.db
import ase.io
from ase import Atoms
from ase.db.core import check

from empnn.ase_atoms import STANDARD_ARRAYS, set_arrays
from empnn.data.records import Entries, Entry

_ARRAYS = "empnn_arrays"


def entries(path: Path) -> Entries:
    """Whatever ASE makes of a file."""
    for atoms in ase.io.iread(path, do_not_split_by_at_sign=True):
        yield Entry(_with_arrays, atoms)


def database_entries(path: Path) -> Entries:
    """The rows of a database."""
    with ase.db.connect(path, serial=True) as database:
        for row in database.select():
            yield Entry(_atoms_from_row, row)


def write(name: str, path: Path, structures: Iterable[Atoms]) -> None:
    """A file in another format of ASE's, by its name there."""
    ase.io.write(path, list(structures), format=name)


def write_trajectory(path: Path, structures: Iterable[Atoms]) -> None:
    """An ASE trajectory; arrays that it has no place for go to info."""
    with ase.io.Trajectory(path, "w") as trajectory:
        for given in structures:
            atoms = given.copy()
            atoms.calc = given.calc
            aside = {name: array for name, array in atoms.arrays.items() if name not in STANDARD_ARRAYS}
            if aside:
                atoms.info[_ARRAYS] = aside
            trajectory.write(atoms)


def write_database(path: Path, structures: Iterable[Atoms]) -> None:
    """An ASE database; info goes to key-value pairs where it can, so that it can be selected by, else to data."""
    with ase.db.connect(path, append=False, serial=True) as database:
        for given in structures:
            pairs = {key: value for key, value in given.info.items() if _is_pair(key, value)}
            data = {key: value for key, value in given.info.items() if key not in pairs}
            atoms, arrays = _without_arrays(given)
            database.write(atoms, key_value_pairs=pairs, data={**data, **({_ARRAYS: arrays} if arrays else {})})


def _without_arrays(given: Atoms) -> tuple[Atoms, dict[str, Any]]:
    """The atoms, and the arrays that a database has no place for, text as lists; moments that are vectors are one."""
    atoms = given.copy()
    names = [name for name in given.arrays if name not in STANDARD_ARRAYS]
    names += ["initial_magmoms"] if given.get_initial_magnetic_moments().ndim > 1 else []
    aside = {name: atoms.arrays.pop(name) for name in names}
    if given.calc is not None:
        # ASE drops the results of a calculator whose atoms are not quite these.
        atoms.calc = copy(given.calc)
        atoms.calc.atoms = atoms.copy()
    return atoms, {name: array.tolist() if array.dtype.kind in "OU" else array for name, array in aside.items()}


def _with_arrays(atoms: Atoms) -> Atoms:
    """The arrays that were put aside in info."""
    return set_arrays(atoms, atoms.info.pop(_ARRAYS, {}))


def _atoms_from_row(row: Any) -> Atoms:
    """A database row with its key-value pairs and data as info, and the arrays that were put aside."""
    atoms: Atoms = row.toatoms()
    atoms.info.update(row.key_value_pairs)
    atoms.info.update(row.data)
    return _with_arrays(atoms)


def _is_pair(key: str, value: object) -> bool:
    try:
        check({key: value})
    except ValueError:
        return False
    return True
