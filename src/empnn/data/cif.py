"""CIF text to ASE `Atoms` and back, with gemmi: symmetry expanded, partial occupancy refused."""

import math

import gemmi
import numpy as np
from ase import Atoms
from ase.data import chemical_symbols
from ase.geometry import cellpar_to_cell

from empnn.errors import CrystalError

FULL_OCCUPANCY = 1 - 1e-3
SAME_ATOM = 0.3
"""Images of one site closer than this, in angstrom, are one atom: special positions are written with few digits."""

_CELL_TAGS = (
    *("_cell_length_a", "_cell_length_b", "_cell_length_c"),
    *("_cell_angle_alpha", "_cell_angle_beta", "_cell_angle_gamma"),
)
_SITE_TAGS = ("type_symbol", "label", "fract_x", "fract_y", "fract_z", "occupancy")
_NO_NAME = ("", "?", ".")


def blocks_from_text(text: str) -> list[gemmi.cif.Block]:
    """The data blocks of a CIF that describe crystals; all of them if none does.

    Raises:
        CrystalError: If the text is not CIF.
    """
    try:
        document = gemmi.cif.read_string(text)
    except (ValueError, RuntimeError) as error:
        where = " ".join(str(error).removeprefix("string:").split())[:120]
        raise CrystalError(f"not valid CIF ({where}); correct the file") from None
    blocks = list(document)
    return [b for b in blocks if b.find_value("_cell_length_a") or b.find_loop("_atom_site_fract_x")] or blocks


def atoms_from_block(block: gemmi.cif.Block) -> Atoms:
    """The crystal of one CIF data block: whole unit cell, coordinates as written, a along x.

    Raises:
        CrystalError: If the block holds no cell or no atoms, a site is partly occupied or of no known element, or
            the symmetry is not known.
    """
    cell = _cell(block)
    small = gemmi.make_small_structure_from_block(block)
    if not small.sites:
        raise CrystalError("the CIF block has no atoms with fractional coordinates; add _atom_site_fract_*")
    for site in small.sites:
        if not site.occ >= FULL_OCCUPANCY:
            raise CrystalError(
                f"site {site.label} has partial occupancy {site.occ:g}; order the structure before relaxing it"
            )
        if site.element.atomic_number == 0:
            raise CrystalError(f"site {site.label} has unknown element {site.type_symbol!r}; replace it")
        if not all(map(math.isfinite, site.fract.tolist())):
            raise CrystalError(f"site {site.label} has no numeric coordinates; correct its position")
    operations = _operations(small)
    written = [np.array([site.fract.tolist()]) for site in small.sites]
    orbits = [_orbit(site, operations, cell) for site in written] if len(operations) > 1 else written
    frac = np.concatenate(orbits)
    numbers = np.repeat([site.element.atomic_number for site in small.sites], [len(o) for o in orbits])
    return Atoms(numbers=numbers, scaled_positions=frac, cell=cell, pbc=True)


def text_from_atoms(atoms: Atoms, name: str) -> str:
    """A CIF data block in P1; fractional coordinates as they are, not wrapped.

    CIF holds lattice parameters, so the orientation and the handedness of the cell are lost.
    """
    block = gemmi.cif.Block("_".join(name.split()) or "structure")
    for tag, value in zip(_CELL_TAGS, atoms.cell.cellpar(), strict=True):
        block.set_pair(tag, f"{value:.15g}")
    block.set_pair("_symmetry_space_group_name_H-M", "'P 1'")
    block.set_pair("_symmetry_Int_Tables_number", "1")
    for key in ("empnn_status", "empnn_source", "empnn_warnings"):
        if key in atoms.info:
            block.set_pair(f"_{key}", gemmi.cif.quote(str(atoms.info[key])))
    block.init_loop("_symmetry_equiv_pos_", ["as_xyz"]).add_row(["'x, y, z'"])
    loop = block.init_loop("_atom_site_", list(_SITE_TAGS))
    for index, (number, frac) in enumerate(
        zip(atoms.numbers, atoms.cell.scaled_positions(atoms.positions), strict=True)
    ):
        symbol = chemical_symbols[number]
        loop.add_row([symbol, f"{symbol}{index}", *(f"{x + 0.0:.15g}" for x in frac), "1"])
    text: str = block.as_string()
    return text


def _orbit(site: np.ndarray, operations: list[gemmi.Op], cell: np.ndarray) -> np.ndarray:
    """The images of a site (1, 3), the site itself first and as written; on a special position they coincide."""
    orbit = site
    for operation in operations:
        image = np.array(operation.apply_to_xyz(site[0].tolist()))
        apart = orbit - image
        if (np.linalg.norm((apart - np.round(apart)) @ cell, axis=1) > SAME_ATOM).all():
            orbit = np.vstack([orbit, image])
    return orbit


def _operations(small: gemmi.SmallStructure) -> list[gemmi.Op]:
    """The symmetry operations as listed, or else those of the space group that is named.

    gemmi's own expansion drops operators that form no tabulated setting, which would silently lose atoms.
    """
    try:
        listed = [gemmi.Op(triplet) for triplet in small.symops]
    except (ValueError, RuntimeError) as error:
        raise CrystalError(f"a symmetry operator cannot be read ({error}); correct it") from None
    if listed:
        return listed
    group = small.spacegroup
    if group is None and small.spacegroup_number > 0:
        group = gemmi.find_spacegroup_by_number(small.spacegroup_number)
    if group is None and small.spacegroup_hm not in _NO_NAME:
        raise CrystalError(f"unknown space group {small.spacegroup_hm!r}; list its operators or write all atoms in P 1")
    return list(group.operations()) if group else []


def _cell(block: gemmi.cif.Block) -> np.ndarray:
    written = [block.find_value(tag) for tag in _CELL_TAGS]
    if not all(written):
        raise CrystalError("the CIF block has no unit cell; add _cell_length_* and _cell_angle_*")
    values = [gemmi.cif.as_number(text) for text in written]
    for tag, text, value in zip(_CELL_TAGS, written, values, strict=True):
        if not 0 < value < np.inf:
            raise CrystalError(f"{tag} is {text}; correct the cell")
    angles = values[3:]
    cosines = np.cos(np.deg2rad(angles))
    if not 1 - np.square(cosines).sum() + 2 * cosines.prod() > 0:
        raise CrystalError(f"the cell angles {', '.join(f'{x:g}' for x in angles)} close no cell; correct them")
    return np.asarray(cellpar_to_cell(values))
