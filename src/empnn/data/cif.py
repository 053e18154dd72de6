"""CIF text to ASE `Atoms`, with gemmi: symmetry expanded, partial occupancy refused."""

import gemmi
import numpy as np
from ase import Atoms
from ase.geometry import cellpar_to_cell

from empnn.errors import CrystalError

FULL_OCCUPANCY = 1 - 1e-3


def atoms_from_block(block: gemmi.cif.Block) -> Atoms:
    """The crystal of one CIF data block: whole unit cell, coordinates as written, a along x.

    Raises:
        CrystalError: If the block holds no cell or no atoms, or a site is partly occupied or of no known element.
    """
    small = gemmi.make_small_structure_from_block(block)
    if not small.cell.is_crystal():
        raise CrystalError("the CIF block has no unit cell; add _cell_length_* and _cell_angle_*")
    for site in small.sites:
        if not site.occ >= FULL_OCCUPANCY:
            raise CrystalError(
                f"site {site.label} has partial occupancy {site.occ:g}; order the structure before relaxing it"
            )
        if site.element.atomic_number == 0:
            raise CrystalError(f"site {site.label} has unknown element {site.type_symbol!r}; replace it")
    sites = small.get_all_unit_cell_sites() if len(small.symops) > 1 or _is_symmetric(small) else small.sites
    frac = np.array([site.fract.tolist() for site in sites]).reshape(-1, 3)
    numbers = [site.element.atomic_number for site in sites]
    return Atoms(numbers=numbers, scaled_positions=frac, cell=_cell(small.cell), pbc=True)


def _is_symmetric(small: gemmi.SmallStructure) -> bool:
    return small.spacegroup is not None and small.spacegroup.number > 1


def _cell(cell: gemmi.UnitCell) -> np.ndarray:
    a, b, c, *angles = cell.parameters
    cosines = np.cos(np.deg2rad(angles))
    if not 1 - np.square(cosines).sum() + 2 * cosines.prod() > 0:
        raise CrystalError(f"the cell angles {angles} close no cell; correct them")
    return np.asarray(cellpar_to_cell([a, b, c, *angles]))
