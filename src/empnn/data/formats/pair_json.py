"""Pairs in one JSON file: by identifier, species, and lattice vectors and fractional coordinates before and after."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from empnn.data.records import Entries, Entry
from empnn.errors import CrystalError, printable
from empnn.files import read_text


def entries(path: Path, side: str) -> Entries:
    """The crystals of one side, `unrelaxed` or `relaxed`, of `{id: {species, lattice_unrelaxed, frac_unrelaxed, ...}}`.

    Raises:
        CrystalError: If the file holds something else.
    """
    content = json.loads(read_text(path))
    if not isinstance(content, dict) or not all(isinstance(row, dict) for row in content.values()):
        raise CrystalError(
            "the file is no JSON of pairs by identifier ({id: {species, lattice_unrelaxed, frac_unrelaxed, "
            "lattice_relaxed, frac_relaxed}}); name two files, one unrelaxed and one relaxed"
        )
    for name, row in content.items():
        yield Entry(partial(_atoms, side), row, printable(" ".join(name.split())) or None)


def _atoms(side: str, row: dict[str, Any]) -> Atoms:
    lattice, frac = f"lattice_{side}", f"frac_{side}"
    missing = [key for key in ("species", lattice, frac) if key not in row]
    if missing:
        raise CrystalError(f"it has no {missing[0]}; add it")
    cell, places = (np.asarray(row[key], dtype=np.float64) for key in (lattice, frac))
    if cell.shape != (3, 3) or places.shape != (len(row["species"]), 3):
        shapes = f"{lattice} must be 3 x 3 and {frac} must have three numbers for each of the species"
        raise CrystalError(f"{shapes}; correct them")
    return Atoms(row["species"], scaled_positions=places, cell=cell, pbc=True)
