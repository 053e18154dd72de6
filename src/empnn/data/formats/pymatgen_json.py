"""Structures of pymatgen as JSON: one, a list of them, or rows that hold one under the key `structure`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from io import TextIOBase
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from pymatgen.core import Lattice, Structure

from empnn.ase_atoms import OXIDATION_STATES, STANDARD_ARRAYS, as_array, mark_deuterium, with_results_kept
from empnn.crystals import is_deuterium_species, numbers_of
from empnn.data.formats import ase as ase_files
from empnn.data.formats.cif.sites import LABELS
from empnn.data.formats.constraints import SELECTIVE_DYNAMICS, described, fixed_by_flags, held, hold, restore
from empnn.data.formats.json_items import items
from empnn.data.records import Entries, Entry, identifier
from empnn.errors import CrystalError
from empnn.files import json_text, open_bytes, text_chunks, with_nulls

_CONSTRAINTS = "empnn_constraints"
"""The property that holds the constraints for which selective dynamics has no words."""
_ARRAYS = {"magmom": "initial_magmoms", "charge": "initial_charges"}
"""ASE's names of what pymatgen calls otherwise."""


def entries(path: Path) -> Entries:
    """The structures of a JSON file, one after the other; a database of ASE in JSON is read as what it is."""
    with open_bytes(path) as handle:
        for item in items(text_chunks(handle)):
            if not item.listed and isinstance(item.value, dict) and "ids" in item.value:
                yield from ase_files.database_entries(path)
            else:
                yield _entry(item.value)._replace(share=handle.share)


def entries_of_text(text: str) -> Entries:
    """The structures of a JSON text; a database of ASE is none of pymatgen's."""
    for item in items([text]):
        yield _entry(item.value)


def _entry(content: Any) -> Entry:
    return Entry(atoms_from_dict, content, identifier(content) if isinstance(content, dict) else None)


def atoms_from_dict(entry: Any) -> Atoms:
    """The crystal of a pymatgen dictionary, or of one in JSON text, with what else stands beside it.

    Raises:
        CrystalError: If it describes no ordered structure.
    """
    if isinstance(entry, str | bytes):
        entry = json.loads(entry)
    content = entry.get("structure", entry) if isinstance(entry, dict) else None
    if isinstance(content, str):
        content = json.loads(content)
    if not isinstance(content, dict) or "lattice" not in content:
        raise CrystalError("it is no pymatgen structure; write it with Structure.to(fmt='json')")
    if not content.get("sites"):
        raise CrystalError("it has no atoms; remove it or add the atoms")
    # What belongs to the sites is taken as it is written: pymatgen makes objects of it, and ASE's adaptor stumbles.
    bare = [{**site, "properties": None} for site in content["sites"]]
    structure = Structure.from_dict({**content, "sites": bare, "charge": None, "properties": None})
    numbers, lattice = numbers_of(structure), structure.lattice
    atoms = Atoms(numbers, positions=structure.cart_coords, cell=lattice.matrix, pbc=lattice.pbc)
    atoms.info.update(_with_arrays(content.get("properties") or {}))
    if content.get("charge"):
        atoms.info["charge"] = content["charge"]
    _add_site_properties(atoms, [site.get("properties") or {} for site in content["sites"]])
    _add_what_species_say(atoms, structure)
    if content is not entry:
        atoms.info.update({key: value for key, value in entry.items() if key != "structure"})
    restore(atoms, atoms.info.pop(_CONSTRAINTS, []))
    return mark_deuterium(atoms, [i for i, site in enumerate(structure) if is_deuterium_species(site.specie)])


def _add_site_properties(atoms: Atoms, properties: list[dict[str, Any]]) -> None:
    """The properties of sites as arrays of their names; where one is missing on some sites, it is None there."""
    for name in dict.fromkeys(name for site in properties for name in site):
        values = _with_arrays([site.get(name) for site in properties])
        if name == SELECTIVE_DYNAMICS:
            hold(atoms, fixed_by_flags(values))
            continue
        array = as_array(values)
        numeric = array.dtype.kind in "if"
        place = _ARRAYS.get(name, name) if numeric else name
        taken = place in ("numbers", "positions") or (place in STANDARD_ARRAYS and not numeric)
        atoms.set_array(f"site_{place}" if taken else place, array)


def _add_what_species_say(atoms: Atoms, structure: Structure) -> None:
    """Oxidation states, spins, and labels unless these are the species."""
    states = [getattr(site.specie, "oxi_state", None) or 0 for site in structure]
    if any(states):
        atoms.set_array(OXIDATION_STATES, np.array(states))
    spins = [getattr(site.specie, "spin", None) or 0 for site in structure]
    if any(spins) and not atoms.has("initial_magmoms"):
        atoms.set_initial_magnetic_moments(spins)
    if any(site.label not in (site.species_string, site.specie.symbol) for site in structure):
        atoms.set_array(LABELS, np.array([str(site.label) for site in structure]))


def _with_arrays(value: Any) -> Any:
    """Content of JSON in which numpy's arrays, as pymatgen writes them, are arrays."""
    if isinstance(value, list):
        return [_with_arrays(item) for item in value]
    if not isinstance(value, dict):
        return value
    if value.get("@module") == "numpy" and "data" in value:
        return np.array(value["data"], dtype=value.get("dtype"))
    return {key: _with_arrays(item) for key, item in value.items()}


def text_from_atoms(atoms: Atoms) -> str:
    """A pymatgen dictionary on one line; info becomes properties of the structure, arrays those of its sites.

    JSON knows no NaN and no infinity: they become null.
    """
    kept = with_results_kept(atoms)
    fixed, others = held(kept)
    info = {**kept.info, **({_CONSTRAINTS: described(others)} if others else {})}
    sites = {name: array.tolist() for name, array in kept.arrays.items() if name not in ("numbers", "positions")}
    for theirs, ours in _ARRAYS.items():
        if ours in sites and theirs not in sites:
            sites[theirs] = sites.pop(ours)
    if fixed.any():
        sites[SELECTIVE_DYNAMICS] = (~fixed).tolist()
    states = sites.pop(OXIDATION_STATES, None)
    is_text = all(isinstance(label, str) for label in sites.get(LABELS, ()))
    labels = sites.pop(LABELS, None) if is_text else None
    lattice = Lattice(kept.cell.array, pbc=tuple(kept.pbc.tolist()))
    structure = Structure(
        lattice,
        list(kept.symbols),
        kept.positions,
        coords_are_cartesian=True,
        site_properties=sites,
        labels=labels,
        properties=info,
    )
    if states is not None:
        structure.add_oxidation_state_by_site(states)
    content = structure.as_dict()
    if isinstance(info.get("charge"), int | float):
        content["charge"] = info["charge"]
    try:
        return json_text(content, allow_nan=False)
    except ValueError:
        return json_text(with_nulls(json.loads(json_text(content))), allow_nan=False)


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
