"""What a crystal as given says of atoms that are to stay: ASE's constraints, pymatgen's selective dynamics."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from empnn.data.formats.constraints import SELECTIVE_DYNAMICS, fixed_by_flags, held, names_of
from empnn.errors import CrystalError

if TYPE_CHECKING:
    from ase import Atoms
    from pymatgen.core import IStructure


def fixed_in(crystal: Atoms | IStructure) -> tuple[np.ndarray, list[str]]:
    """The fractional coordinates that are fixed, true in (atoms, 3), and what is to be said of that (notes).

    Directions that do not go along lattice vectors, distances and the like cannot be kept; the notes say so.

    Raises:
        CrystalError: If it is said of atoms that do not exist, or otherwise than by three truth values.
    """
    fixed, others = _said(crystal)
    whole, some = fixed.all(axis=1), fixed.any(axis=1)
    notes = [_kept(int(whole.sum()), ""), _kept(int((some & ~whole).sum()), "some of ")]
    if others:
        notes.append(f"constraints that fix no fractional coordinate are ignored: {names_of(others)}")
    return fixed, list(filter(None, notes))


def _kept(count: int, part: str) -> str:
    if not count:
        return ""
    who, whose = ("1 atom keeps", "its") if count == 1 else (f"{count:,} atoms keep", "their")
    return f"{who} {part}{whose} fractional coordinates: fixed in the input"


def _said(crystal: Atoms | IStructure) -> tuple[np.ndarray, list[Any]]:
    """The fractional coordinates that are fixed, and the constraints that say anything else."""
    from ase import Atoms

    if not isinstance(crystal, Atoms):
        return fixed_by_flags([site.properties.get(SELECTIVE_DYNAMICS) for site in crystal]), []
    try:
        return held(crystal)
    except IndexError:
        raise CrystalError("its constraints name atoms that it does not have; correct or remove them") from None
