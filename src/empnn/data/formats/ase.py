"""ASE's databases, and every other format that ASE reads and writes.

Where a file does not tell the elements, some of ASE's readers make them up: they are not believed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from copy import copy
from itertools import takewhile
from pathlib import Path
from typing import Any

import ase.db
import ase.io
import numpy as np
from ase import Atoms
from ase.data import atomic_masses, atomic_numbers
from ase.db.core import check, object_to_bytes
from ase.db.row import AtomsRow
from ase.io.formats import filetype

from empnn.ase_atoms import STANDARD_ARRAYS, is_deuterium, set_arrays, with_plain_info
from empnn.data.records import Entries, Entry
from empnn.errors import CrystalError
from empnn.files import open_bytes

_ARRAYS = "empnn_arrays"
_SAME_MASS = 0.5
"""How far a mass may be from that of the element it stands for."""


def entries(path: Path) -> Entries:
    """Whatever ASE makes of a file, unless it makes up the elements.

    Raises:
        CrystalError: If the file does not tell the elements.
    """
    name = filetype(str(path))
    if name in _NOT_TOLD:
        _NOT_TOLD[name](path)
    # By the labels of types, ASE sorts everything but the labels.
    options = {"sort_by_id": False} if name == "lammps-data" else {}
    for atoms in ase.io.iread(path, format=name, do_not_split_by_at_sign=True, **options):
        yield Entry(_GUESSED.get(name, _with_arrays), atoms)


def database_entries(path: Path) -> Entries:
    """The rows of a database."""
    with ase.db.connect(path, serial=True) as database:
        for row in database.select():
            yield Entry(_atoms_from_row, row)


def write(name: str, path: Path, structures: Iterable[Atoms]) -> None:
    """A file in another format of ASE's, by its name there."""
    ase.io.write(path, list(structures), format=name)


def for_trajectory(given: Atoms) -> Atoms:
    """What a trajectory holds of a structure; arrays that it has no place for go to info."""
    atoms, arrays = _without_arrays(with_plain_info(given), STANDARD_ARRAYS)
    if arrays:
        atoms.info[_ARRAYS] = arrays
    return atoms


def write_trajectory(path: Path, structures: Iterable[Atoms]) -> None:
    """An ASE trajectory of structures made ready by `for_trajectory`."""
    with ase.io.Trajectory(path, "w") as trajectory:
        for atoms in structures:
            trajectory.write(atoms)


Row = tuple[Atoms, dict[str, Any], dict[str, Any]]


def for_database(given: Atoms) -> Row:
    """What a database holds of a structure: atoms, pairs and data.

    Info goes to key-value pairs where it can, so that it can be selected by, else to data with arrays that have no
    place, as are moments that are vectors.
    """
    given = with_plain_info(given)
    pairs = {key: value for key, value in given.info.items() if _is_pair(key, value)}
    data = {key: value for key, value in given.info.items() if key not in pairs}
    vectors = given.get_initial_magnetic_moments().ndim > 1
    atoms, arrays = _without_arrays(
        given, [name for name in STANDARD_ARRAYS if name != "initial_magmoms" or not vectors]
    )
    data |= {_ARRAYS: arrays} if arrays else {}
    object_to_bytes(data)
    return atoms, pairs, data


def write_database(path: Path, rows: Iterable[Row]) -> None:
    """An ASE database of rows made by `for_database`."""
    with ase.db.connect(path, append=False, serial=True) as database:
        for atoms, pairs, data in rows:
            database.write(atoms, key_value_pairs=pairs, data=data)


def _without_arrays(given: Atoms, known: Iterable[str]) -> tuple[Atoms, dict[str, Any]]:
    """The atoms with the arrays that are known, and the others, text as lists."""
    atoms = given.copy()
    aside = {name: atoms.arrays.pop(name) for name in given.arrays if name not in known}
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
    return not hasattr(AtomsRow, key)  # Read back, it would be what the row computes: its charge.


def _check_lammps_data(path: Path) -> None:
    """Refuse types of atoms without masses, and without labels all of which are elements."""
    lines = [line.partition("#")[0].split() for line in _lines(path)]
    if ["Masses"] in lines:
        return
    title = ["Atom", "Type", "Labels"]
    rows = filter(None, lines[lines.index(title) + 1 :] if title in lines else [])
    labels = [row[1] for row in takewhile(lambda row: len(row) == 2 and row[0].isdecimal(), rows)]
    if not labels or not atomic_numbers.keys() >= set(labels):
        raise CrystalError("its types of atoms are no elements; add Masses, or Atom Type Labels that are elements")


def _check_lammps_dump(path: Path) -> None:
    """Refuse types of atoms without elements or masses."""
    for line in _lines(path):
        if line.startswith("ITEM: ATOMS") and not {"element", "mass"}.intersection(line.split()):
            raise CrystalError("its types of atoms are no elements; dump the column element, or mass")


def _check_protein_data_bank(path: Path) -> None:
    """Refuse names of atoms that are more than symbols where no elements stand beside them."""
    for line in _lines(path):
        if line.startswith(("ATOM", "HETATM")) and not line[76:78].strip():
            _element_called(line[12:16].strip())


def _refuse_types(path: Path) -> None:
    raise CrystalError(f"such a {path.suffix} file tells types or names of atoms, no elements; write extxyz or CIF")


def _lines(path: Path) -> Iterator[str]:
    with open_bytes(path) as handle:
        yield from (line.decode("latin-1").rstrip("\r\n") for line in handle)


def _element_called(name: str) -> str:
    """The element of an atom of this name, which is the symbol and maybe a number: Cl, CL1, but not OW or SOD."""
    symbol = name.rstrip("0123456789+-").capitalize()
    if symbol not in atomic_numbers:
        raise CrystalError(f"an atom is called '{name}', which tells no element; name atoms by their elements")
    return symbol


def _from_types(atoms: Atoms) -> Atoms:
    """Atoms whose elements come from masses; refuse masses that no element has."""
    if "id" in atoms.arrays:
        atoms = atoms[np.argsort(atoms.arrays["id"], kind="stable")]
    apart = np.abs(atoms.get_masses() - atomic_masses[atoms.numbers])
    apart[is_deuterium(atoms)] = 0
    if apart.max() > _SAME_MASS:
        mass = atoms.get_masses()[apart.argmax()]
        raise CrystalError(f"atom {apart.argmax()} has the mass {mass:g}, which is that of no element; correct it")
    return atoms


def _from_names(atoms: Atoms) -> Atoms:
    """Atoms by their names, of which ASE took the first letters that are an element (C for CL)."""
    rests = atoms.arrays.get("dlp4_labels")
    names = atoms.arrays["atomtypes"] if rests is None else map("".join, zip(atoms.symbols, rests, strict=True))
    atoms.symbols = [_element_called(name) for name in names]
    return atoms


_NOT_TOLD: dict[str, Callable[[Path], None]] = {
    "lammps-data": _check_lammps_data,
    "lammps-dump-text": _check_lammps_dump,
    "proteindatabank": _check_protein_data_bank,
    **dict.fromkeys(("lammps-dump-binary", "netcdftrajectory", "gromos"), _refuse_types),
}
"""Formats that need not tell the elements, and what refuses the files that do not."""
_GUESSED: dict[str, Callable[[Atoms], Atoms]] = {
    **dict.fromkeys(("lammps-data", "gpumd"), _from_types),
    **dict.fromkeys(("gromacs", "dlp4", "dlp-history"), _from_names),
}
"""Formats in which ASE guesses the elements, and what mends or refuses that."""
