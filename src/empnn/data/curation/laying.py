"""Crystals brought to standard form and laid onto each other, many at a time, in arrays on disk.

The functions that run in processes of their own take the folder of the arrays, so that nothing but names and numbers
passes between processes, and memory does not grow with the number of crystals.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from empnn.data.array_files import Layout
from empnn.data.curation.alignment import Target
from empnn.data.curation.standard_form import StandardForm, standard_form, symmetric_form
from empnn.processes import Report

LAYOUT: Layout = {
    "cell": ("F64", np.float64, (3, 3)),
    "frac": ("F64", np.float64, (3,)),
    "starts": ("I64", np.int64, ()),
    "group": ("I64", np.int64, ()),
    "key": ("I64", np.int64, ()),
    "formula": ("I64", np.int64, ()),
    "basis": ("I32", np.int32, (3, 3)),
    "hall": ("I16", np.int16, ()),
    "slot": ("I16", np.int16, ()),
    "numbers": ("U8", np.uint8, ()),
}
"""See `empnn.data.curation.isostructural.Isostructural`."""
PER_ATOM = ("frac", "slot", "numbers")


def create(folder: Path, sizes: np.ndarray) -> None:
    """Make the files of the arrays of crystals with so many atoms each."""
    lengths = dict.fromkeys(LAYOUT, len(sizes)) | dict.fromkeys(PER_ATOM, int(sizes.sum())) | {"starts": len(sizes) + 1}
    for name, (_, dtype, item) in LAYOUT.items():
        np.lib.format.open_memmap(folder / f"{name}.npy", "w+", dtype, (lengths[name], *item))
    open_rows(folder)["starts"][1:] = np.cumsum(sizes)


def open_rows(folder: Path) -> dict[str, np.ndarray]:
    """The arrays, to be read and written."""
    return {name: np.load(folder / f"{name}.npy", mmap_mode="r+") for name in LAYOUT}


def standardise(on_crystals: Report, folder: Path, first: int, cells: np.ndarray, frac: np.ndarray) -> None:
    """Bring crystals, from the given one on, to standard form; each gets a group of its own."""
    rows = open_rows(folder)
    start = rows["starts"][first]
    for index, cell in enumerate(cells, first):
        atoms = slice(*rows["starts"][index : index + 2])
        places = frac[atoms.start - start : atoms.stop - start]
        numbers = rows["numbers"][atoms]
        found = standard_form(cell, places, numbers.astype(np.int64))
        rows["group"][index] = index
        rows["formula"][index] = _formula(numbers)
        rows["hall"][index] = 0 if found is None else found.form.hall
        rows["key"][index] = 0 if found is None else _digest(found.key.encode())
        rows["basis"][index] = np.eye(3) if found is None else found.basis
        rows["cell"][index] = cell if found is None else np.linalg.cholesky(found.form.metric)
        rows["slot"][atoms] = np.arange(len(places)) if found is None else found.sites
        rows["frac"][atoms] = places if found is None else found.form.frac[found.sites]
        on_crystals(1)


def lay(on_crystals: Report, folder: Path, jobs: Sequence[tuple[StandardForm, int, np.ndarray]]) -> np.ndarray:
    """Lay crystals onto others of their key.

    Args:
        on_crystals: Called with the number of crystals that were laid onto another.
        folder: Where the arrays are, of crystals in standard form.
        jobs: Crystals to lay others onto, the number of their group, and the others.

    Returns:
        The crystals that are not alike.
    """
    rows = open_rows(folder)
    apart = []
    for leader, group, members in jobs:
        target = Target(leader)
        for index in members.tolist():
            if _lay(rows, index, target, group):
                on_crystals(1)
            else:
                apart.append(index)
    return np.array(apart, dtype=np.int64)


def form_of(rows: dict[str, np.ndarray], index: int) -> StandardForm:
    """The standard form of a crystal that was brought to it and laid onto no other."""
    atoms = slice(*rows["starts"][index : index + 2])
    _, first = np.unique(rows["slot"][atoms], return_index=True)
    cell = rows["cell"][index]
    form = symmetric_form(
        int(rows["hall"][index]), cell @ cell.T, rows["frac"][atoms][first], rows["numbers"][atoms][first]
    )
    if form is None:
        raise ValueError(f"crystal {index} is not in standard form")
    return form


def _lay(rows: dict[str, np.ndarray], index: int, target: Target, group: int) -> bool:
    found = target.lay(form_of(rows, index))
    if found is None:
        return False
    atoms = slice(*rows["starts"][index : index + 2])
    sites = np.array(rows["slot"][atoms])
    rows["group"][index] = group
    rows["basis"][index] = found.change @ rows["basis"][index]
    rows["cell"][index] = np.linalg.cholesky(found.metric)
    rows["slot"][atoms] = found.slots[sites]
    rows["frac"][atoms] = found.frac[sites]
    return True


def _formula(numbers: np.ndarray) -> int:
    """A number for each reduced composition."""
    elements, counts = np.unique(numbers, return_counts=True)
    return _digest(np.stack([elements, counts // np.gcd.reduce(counts)]).astype(np.int64).tobytes())


def _digest(content: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "little", signed=True)
