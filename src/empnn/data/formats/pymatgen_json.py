"""Structures of pymatgen as JSON: one, a list of them, or rows that hold one under the key `structure`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from io import TextIOBase
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from monty.json import MontyEncoder
from pymatgen.core import Structure
from pymatgen.io.ase import AseAtomsAdaptor

from empnn.ase_atoms import OXIDATION_STATES, is_deuterium, mark_deuterium, with_results_kept
from empnn.crystals import is_deuterium_species, numbers_of
from empnn.data.formats import ase as ase_files
from empnn.data.records import Entries, Entry, identifier
from empnn.errors import CrystalError
from empnn.files import read_text, with_nulls


def entries(path: Path) -> Entries:
    """The structures of a JSON file; a database of ASE in JSON is read as what it is."""
    content = json.loads(read_text(path))
    if isinstance(content, dict) and "ids" in content:
        yield from ase_files.database_entries(path)
        return
    for entry in content if isinstance(content, list) else [content]:
        yield Entry(atoms_from_dict, entry, identifier(entry) if isinstance(entry, dict) else None)


def atoms_from_dict(entry: Any) -> Atoms:
    """The crystal of a pymatgen dictionary, or of one in JSON text, with what else stands beside it.

    Raises:
        CrystalError: If it describes no ordered structure.
    """
    if isinstance(entry, str | bytes):
        entry = json.loads(entry)
    described = entry.get("structure", entry) if isinstance(entry, dict) else None
    if isinstance(described, str):
        described = json.loads(described)
    if not isinstance(described, dict) or "lattice" not in described:
        raise CrystalError("it is no pymatgen structure; write it with Structure.to(fmt='json')")
    if not described.get("sites"):
        raise CrystalError("it has no atoms; remove it or add the atoms")
    structure = Structure.from_dict(described)
    numbers_of(structure)
    deuterium = [index for index, site in enumerate(structure) if is_deuterium_species(site.specie)]
    if deuterium:
        structure.replace_species({"D": "H"})
    atoms: Atoms = AseAtomsAdaptor.get_atoms(structure, msonable=False)
    if OXIDATION_STATES in atoms.arrays:
        states = [0 if state is None else state for state in atoms.arrays[OXIDATION_STATES]]
        atoms.arrays[OXIDATION_STATES] = np.array(states)
    if structure._charge:
        atoms.info["charge"] = structure._charge
    spins = [getattr(site.specie, "spin", None) or 0 for site in structure]
    if any(spins) and not atoms.has("initial_magmoms"):
        atoms.set_initial_magnetic_moments(spins)
    if described is not entry:
        atoms.info.update({key: value for key, value in entry.items() if key != "structure"})
    return mark_deuterium(atoms, deuterium)


def text_from_atoms(atoms: Atoms) -> str:
    """A pymatgen dictionary on one line; info becomes properties of the structure, arrays those of its sites.

    JSON knows no NaN and no infinity: they become null.
    """
    structure = AseAtomsAdaptor.get_structure(_bare(atoms))
    for index in is_deuterium(atoms).nonzero()[0].tolist():
        structure.replace(index, "D", properties=structure[index].properties)
    described = structure.as_dict()
    try:
        return json.dumps(described, cls=MontyEncoder, allow_nan=False)
    except ValueError:
        return json.dumps(with_nulls(json.loads(json.dumps(described, cls=MontyEncoder))), allow_nan=False)


def write(handle: TextIOBase, texts: Iterable[str]) -> None:
    """One dictionary, or a list where there are several, a line for each."""
    lines = iter(texts)
    first, second = next(lines, "[]"), next(lines, None)
    if second is None:
        handle.write(first + "\n")
        return
    handle.write(f"[\n{first},\n{second}")
    handle.writelines(f",\n{line}" for line in lines)
    handle.write("\n]\n")


def texts_in(written: Iterable[str]) -> Iterator[str]:
    """The dictionaries in what `write` wrote, as they are."""
    return (line.rstrip(",\n") for line in written if line.startswith("{"))


def _bare(atoms: Atoms) -> Atoms:
    """The atoms without a calculator, and arrays in their info as lists, which any reader of JSON understands."""
    bare: Atoms = with_results_kept(atoms).copy()
    bare.calc = None
    bare.info = {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in bare.info.items()}
    return bare
