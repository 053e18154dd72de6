"""Crystals to CIF text: all atoms in P1, or the asymmetric unit of a crystal that was made symmetric.

CIF has no place for ASE's arrays, constraints and most info: what is written here keeps them under `_empnn_ase`, in
JSON, which other programs skip.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import gemmi
import numpy as np
from ase import Atoms
from ase.data import atomic_masses, chemical_symbols
from ase.io.jsonio import encode

from empnn.ase_atoms import OXIDATION_STATES, SYMMETRIZED, is_deuterium, with_results_kept
from empnn.data.formats.cif.asymmetric import AsymmetricUnit, asymmetric_unit
from empnn.data.formats.cif.crystals import CELL_TAGS, SITE_TAGS, cells_from_parameters
from empnn.data.formats.cif.names import UNNAMED, block_name
from empnn.data.formats.cif.own import MATRIX_TAGS, OWN_TAG, in_lines, tags_of_info
from empnn.data.formats.cif.sites import LABELS, is_whole, labels_to_write, species, states_to_write
from empnn.data.formats.cif.symmetry import GROUP_NUMBERS, MOMENT_TAGS
from empnn.data.formats.constraints import names_of
from empnn.data.records import identifier

_ALL_DIGITS = 0
"""Instead of a number of decimals."""
_DECIMALS = (8, 11, 15)
_FAR = 5e-7
"""The farthest, in angstrom, that rounding may take an atom or the end of a lattice vector."""
_USUAL = 1e-9
"""How far, in angstrom, vectors may be from those along the usual axes that parameters alone tell."""


def named_text_from_atoms(atoms: Atoms) -> str:
    """A data block named by the identifier, with all that belongs to the crystal; CIF wants the names to differ."""
    kept = with_results_kept(atoms)
    found = asymmetric_unit(kept) if SYMMETRIZED in kept.info else None
    name = identifier(kept.info) or UNNAMED
    return (text_from_atoms(kept, name) if found is None else _symmetric_text(kept, name, found)) + "\n"


def losses(atoms: Atoms) -> list[str]:
    """What the asymmetric unit has no place for, and in which cell it is, where that is not the given one."""
    if SYMMETRIZED not in atoms.info:
        return []
    kept = with_results_kept(atoms)
    found = asymmetric_unit(kept)
    if found is None:
        return []
    cell = f"holds the standard cell of its space group ({found.n_atoms} atoms; {len(atoms)} as given)"
    words = [] if found.as_given else [cell]
    lost = {"arrays": ", ".join(_arrays_lost(kept, found)), "constraints": names_of(kept.constraints)}
    return words + [
        f"has no place for its {what} beside symmetry ({names}), which are lost"
        for what, names in lost.items()
        if names
    ]


def _arrays_lost(atoms: Atoms, found: AsymmetricUnit) -> list[str]:
    written = ["numbers", "positions", OXIDATION_STATES]
    if LABELS in atoms.arrays and labels_to_write(atoms[found.sites]) is not None:
        written.append(LABELS)
    if np.allclose(atoms.get_masses()[~is_deuterium(atoms)], atomic_masses[atoms.numbers[~is_deuterium(atoms)]]):
        written.append("masses")
    return [name for name in atoms.arrays if name not in written]


def text_from_atoms(atoms: Atoms, name: str, with_info: bool = True) -> str:
    """A data block in P1; fractional coordinates as they are, not wrapped.

    Eight decimals, more where the cell is so skewed or the coordinates so far out that eight would move an atom. Tables
    hold info in columns of their own, and all digits: for them `with_info` is false.
    """
    parameters = atoms.cell.cellpar()
    frac = atoms.cell.scaled_positions(atoms.positions)
    decimals = _decimals(parameters, atoms.cell.array, frac) if with_info else _ALL_DIGITS
    block = _head(name, parameters, decimals, "P 1", 1)
    moments = _moments(atoms)
    tags, in_tags = tags_of_info(atoms) if with_info else ({}, set(atoms.info))
    beside = _beside(atoms, {key: value for key, value in atoms.info.items() if key not in in_tags})
    labels = labels_to_write(atoms)
    for array in ([] if labels is None else [LABELS]) + ([] if moments is None else ["initial_magmoms"]):
        del beside[array]
    for tag, value in tags.items():
        block.set_pair(tag, value)
    if np.abs(cells_from_parameters(parameters[None])[0] - atoms.cell.array).max() > _USUAL:
        for row, values in zip(MATRIX_TAGS, atoms.cell.array.T.tolist(), strict=True):
            for tag, value in zip(row, values, strict=True):
                block.set_pair(tag, _written(value, decimals) if decimals else repr(value))
    if beside:
        block.set_pair(OWN_TAG, in_lines(encode(beside)))
    _add_operators(block, ["x, y, z"])
    names = _add_sites(block, atoms, labels, frac, decimals)
    if moments is not None:
        loop = block.init_loop("", MOMENT_TAGS)
        for site, moment in zip(names, moments.tolist(), strict=True):
            loop.add_row([site, *(_written(component, decimals) for component in moment)])
    text: str = block.as_string()
    return text


def _symmetric_text(atoms: Atoms, name: str, found: AsymmetricUnit) -> str:
    """A data block with the asymmetric unit of a crystal in a setting of the tables."""
    sites = atoms[found.sites]
    block = _head(name, found.parameters, _DECIMALS[0], found.name, found.number)
    tags, in_tags = tags_of_info(atoms)
    for tag, value in tags.items():
        block.set_pair(tag, value)
    info = {key: value for key, value in atoms.info.items() if key not in in_tags}
    if info:
        block.set_pair(OWN_TAG, in_lines(encode({"info": info})))
    _add_operators(block, found.operators)
    _add_sites(block, sites, labels_to_write(sites), found.frac, _DECIMALS[0], found.multiplicities)
    text: str = block.as_string()
    return text


def _head(name: str, parameters: np.ndarray, decimals: int, group: str, number: int) -> gemmi.cif.Block:
    block = gemmi.cif.Block(block_name(name))
    for tag, value in zip(CELL_TAGS, parameters.tolist(), strict=True):
        block.set_pair(tag, _written(value, decimals))
    block.set_pair("_symmetry_space_group_name_H-M", gemmi.cif.quote(group))
    block.set_pair(GROUP_NUMBERS[0], str(number))
    return block


def _add_operators(block: gemmi.cif.Block, operators: Iterable[str]) -> None:
    loop = block.init_loop("_symmetry_equiv_pos_", ["as_xyz"])
    for operator in operators:
        loop.add_row([f"'{operator}'"])


def _add_sites(
    block: gemmi.cif.Block,
    atoms: Atoms,
    labels: list[str] | None,
    frac: np.ndarray,
    decimals: int,
    multiplicities: Sequence[int] | None = None,
) -> list[str]:
    """The loop of sites, and that of oxidation states if there are any; returns the labels as written."""
    symbols = [chemical_symbols[number] for number in atoms.numbers]
    usual = [f"{symbol}{index}" for index, symbol in enumerate(symbols)]
    names = usual if labels is None else list(map(gemmi.cif.quote, labels))
    kinds = species(atoms, symbols)
    rows = zip(kinds, names, frac.tolist(), strict=True)
    columns = [[kind, name, *(_written(x, decimals) for x in site), "1"] for kind, name, site in rows]
    tags = list(SITE_TAGS)
    if multiplicities is not None:
        tags.append("symmetry_multiplicity")
        columns = [[*row, str(count)] for row, count in zip(columns, multiplicities, strict=True)]
    loop = block.init_loop("_atom_site_", tags)
    for row in columns:
        loop.add_row(row)
    if states := states_to_write(atoms, kinds):
        types = block.init_loop("_atom_type_", ["symbol", "oxidation_number"])
        for kind, state in states.items():
            types.add_row([kind, str(state)])
    return names


def _written(value: float, decimals: int) -> str:
    return f"{round(value, decimals) + 0.0:.{decimals}f}" if decimals else f"{value:.15g}"


def _decimals(parameters: np.ndarray, cell: np.ndarray, frac: np.ndarray) -> int:
    """The fewest decimals that keep every atom and lattice vector, of the cell as it is and by its parameters."""
    usual = cells_from_parameters(parameters[None])[0]
    for decimals in _DECIMALS:
        rounded = np.round(frac, decimals)
        by_parameters = cells_from_parameters(np.round(parameters, decimals)[None])[0]
        errors = [
            error
            for before, after in ((usual, by_parameters), (cell, np.round(cell, decimals)))
            for error in (after - before, rounded @ after - frac @ before)
        ]
        if max(np.abs(error).max() for error in errors) < _FAR:
            return decimals
    return _DECIMALS[-1]


def _moments(atoms: Atoms) -> np.ndarray | None:
    """Magnetic moments that are vectors, as components along the lattice vectors (atoms, 3); None without any."""
    moments = atoms.arrays.get("initial_magmoms")
    if moments is None or moments.shape != (len(atoms), 3) or not moments.any() or not np.isfinite(moments).all():
        return None
    axes = atoms.cell.array / atoms.cell.lengths()[:, None]
    along: np.ndarray = np.linalg.solve(axes.T, moments.T).T
    return along


def _beside(atoms: Atoms, info: dict[str, Any]) -> dict[str, Any]:
    """What CIF has no place for: arrays, constraints, pbc and info."""
    beside: dict[str, Any] = {
        key: value for key, value in atoms.todict().items() if key not in ("numbers", "positions", "cell", "info")
    }
    if np.all(beside["pbc"]):
        del beside["pbc"]
    states = beside.get(OXIDATION_STATES)
    if states is not None and all(map(is_whole, states)):
        del beside[OXIDATION_STATES]
    return {**beside, **({"info": info} if info else {})}
