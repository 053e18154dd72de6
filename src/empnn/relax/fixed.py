"""What a crystal as given says of atoms that are to stay: ASE's constraints, pymatgen's selective dynamics."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from empnn.data.formats.constraints import SELECTIVE_DYNAMICS, fixed_by_flags, held, names_of
from empnn.errors import CrystalError

if TYPE_CHECKING:
    from ase import Atoms
    from pymatgen.core import IStructure

_KEPT = "fractional coordinates: fixed in the input"
_IGNORED = "constraints that fix no fractional coordinate are ignored: "
"""How the notes on what is kept end, and how the one on what is not begins."""


def fixed_in(crystal: Atoms | IStructure) -> tuple[np.ndarray | None, list[str]]:
    """The fractional coordinates that are fixed, true in (atoms, 3) or None without any, and notes on them.

    Directions that do not go along lattice vectors, distances and the like cannot be kept; the notes say so.

    Raises:
        CrystalError: If it is said of atoms that do not exist, or otherwise than by three truth values.
    """
    said = _said(crystal)
    if said is None:
        return None, []
    fixed, others = said
    whole, some = fixed.all(axis=1), fixed.any(axis=1)
    notes = [_kept(int(whole.sum()), ""), _kept(int((some & ~whole).sum()), "some of ")]
    if others:
        notes.append(_IGNORED + names_of(others))
    return fixed if some.any() else None, list(filter(None, notes))


def said_of_fixed(notes: Iterable[str]) -> tuple[bool, list[str]]:
    """Whether fixed coordinates were kept, and which kinds of constraints were ignored, by the notes on a crystal."""
    kept, ignored = False, []
    for note in notes:
        kept |= note.endswith(_KEPT)
        if note.startswith(_IGNORED):
            ignored += note.removeprefix(_IGNORED).split(", ")
    return kept, ignored


def _kept(count: int, part: str) -> str:
    if not count:
        return ""
    who, whose = ("1 atom keeps", "its") if count == 1 else (f"{count:,} atoms keep", "their")
    return f"{who} {part}{whose} {_KEPT}"


def _said(crystal: Atoms | IStructure) -> tuple[np.ndarray, list[Any]] | None:
    """The fractional coordinates that are fixed, and the constraints that say anything else; None without either."""
    from ase import Atoms

    if not isinstance(crystal, Atoms):
        flags = [site.properties.get(SELECTIVE_DYNAMICS) for site in crystal]
        return None if all(one is None for one in flags) else (fixed_by_flags(flags), [])
    try:
        return held(crystal) if crystal.constraints else None
    except IndexError:
        raise CrystalError("its constraints name atoms that it does not have; correct or remove them") from None
