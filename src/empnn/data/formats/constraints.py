"""Constraints of atoms: as selective dynamics, which most formats know, and as JSON, which says all of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from ase import Atoms
from ase.constraints import FixAtoms, FixCartesian, FixedLine, FixedPlane, FixScaled, dict2constraint

from empnn.ase_atoms import as_array
from empnn.errors import CrystalError

SELECTIVE_DYNAMICS = "selective_dynamics"
"""The property of pymatgen's sites that tells which fractional coordinates are free."""
_PARALLEL = 1e-6


def held(atoms: Atoms) -> tuple[np.ndarray, list[Any]]:
    """Which fractional coordinates are held, true in (atoms, 3), and the constraints that say anything else."""
    fixed = np.zeros((len(atoms), 3), dtype=bool)
    others = []
    for constraint in atoms.constraints:
        mask = _held_by(constraint, atoms.cell.array)
        if mask is None:
            others.append(constraint)
        else:
            fixed[constraint.index] |= mask
    return fixed, others


def hold(atoms: Atoms, fixed: np.ndarray, partly: type[FixScaled | FixCartesian] = FixScaled) -> Atoms:
    """Add constraints that hold the coordinates, fractional unless told otherwise, true in `fixed` (atoms, 3)."""
    masks = [mask for mask in np.unique(fixed, axis=0)[::-1] if mask.any()]
    sites = [np.flatnonzero((fixed == mask).all(axis=1)) for mask in masks]
    added = [FixAtoms(at) if mask.all() else partly(at, mask) for at, mask in zip(sites, masks, strict=True)]
    atoms.set_constraint([*added, *atoms.constraints])
    return atoms


def fixed_by_flags(flags: Sequence[Any]) -> np.ndarray:
    """The fractional coordinates that flags of selective dynamics hold, true in (atoms, 3); None frees an atom.

    Raises:
        CrystalError: If there are not three for each atom.
    """
    free = as_array([[True] * 3 if one is None else one for one in flags])
    if free.shape != (len(flags), 3) or free.dtype.kind not in "bi":
        raise CrystalError(f"{SELECTIVE_DYNAMICS} are not three truth values for each site; correct or remove them")
    return ~free.astype(bool)


def described(constraints: Iterable[Any]) -> list[dict[str, Any]]:
    """Constraints as dictionaries."""
    return [constraint.todict() for constraint in constraints]


def restore(atoms: Atoms, descriptions: Iterable[dict[str, Any]]) -> Atoms:
    """Add the constraints that `described` described."""
    atoms.set_constraint([*atoms.constraints, *map(dict2constraint, descriptions)])
    return atoms


def names_of(constraints: Iterable[Any]) -> str:
    """What kinds of constraints there are, in words."""
    return ", ".join(sorted({type(constraint).__name__ for constraint in constraints}))


def _held_by(constraint: Any, cell: np.ndarray) -> np.ndarray | None:
    """The fractional coordinates that a constraint holds, and nothing else; None if it does anything else.

    It forbids displacements along some Cartesian directions n, so that f cell n = 0 for fractional displacements f:
    that holds coordinates if as many of them occur as there are directions.
    """
    if isinstance(constraint, FixScaled):
        return np.asarray(constraint.mask)
    if isinstance(constraint, FixAtoms):
        return np.ones(3, dtype=bool)
    if isinstance(constraint, FixCartesian):
        directions = np.eye(3)[constraint.mask]
    elif isinstance(constraint, FixedPlane):
        directions = constraint.dir[None]
    elif isinstance(constraint, FixedLine):
        directions = np.linalg.svd(constraint.dir[None])[2][1:]
    else:
        return None
    across = np.abs(directions @ cell.T)
    mask: np.ndarray = (across > _PARALLEL * np.abs(cell).max()).any(axis=0)
    return mask if mask.sum() == len(directions) else None
