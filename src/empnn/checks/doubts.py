"""Why a result is to be looked at twice."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
import torch

from empnn.ase_atoms import DOUBTS
from empnn.checks.refusals import edges_within, flaws_of
from empnn.crystals import CrystalBatch
from empnn.geometry import volume
from empnn.graph import dimensions
from empnn.graph.reduction import reduce_cells
from empnn.ragged import runs

if TYPE_CHECKING:
    from ase import Atoms
    from pymatgen.core import IStructure

LARGE_ERRORS = {
    "volume_90": (8.0, "its volume", "%"),
    "length_90": (0.6, "its lattice vectors", "angstrom"),
    "position_90": (0.4, "its atoms", "angstrom"),
}
"""Bounds on errors above which an answer is to be looked at, what they are bounds of, and their units."""
USUAL_VOLUMES = (2.0, 200.0)
VACUUM = 6.5
"""Angstrom without an atom that no crystal has: layers and large ions come to 5.5."""
_DIMENSIONS = ("atoms or molecules", "wires", "sheets")
_GAP = 4.0
"""Where no atomic layers are so far apart there is no vacuum, so that few crystals are looked at more closely."""
_PARTS = 2
_PLANES = np.array([h for h in itertools.product(range(-_PARTS, _PARTS + 1), repeat=3) if h > (0, 0, 0)])
"""All that are `VACUUM` apart, in a reduced cell whose vectors are shorter than (_PARTS + 1) times that."""
_MOST_PARTS = 12
_BONDS = 4.0
"""Most crystals hang together by distances up to that."""


def doubts(
    before: CrystalBatch | None,
    after: CrystalBatch,
    elements: set[int],
    strain_limit: float,
    rare: Mapping[int, int] = MappingProxyType({}),
) -> list[list[str]]:
    """For each structure the reasons to look at the result twice, in words.

    Args:
        before: The crystals as given, none of which is refused; None if their cells were not looked at.
        after: The same relaxed, in usable cells.
        elements: Atomic numbers the model was trained on; empty if unknown.
        strain_limit: Largest principal Hencky strain that the model was trained to remove.
        rare: Atomic numbers that next to none of the crystals the model was trained on hold, and how many do.
    """
    states = {("found", "as found"): after}
    strain = torch.zeros(len(after))
    if before is not None:
        states = {("given", "as given"): before, ("relaxed", "once relaxed"): after}
        strain = torch.linalg.svdvals(torch.linalg.solve(before.cell, after.cell)).log().abs().amax(-1)
    volumes = {name: volume(some.cell) / some.sizes for (name, _), some in states.items()}
    vacuums = _vacuums(after if before is None else before)
    flaws = {when: flaws_of(some) for (_, when), some in states.items()}
    reasons: list[list[str]] = []
    for index, (start, stop) in enumerate(zip(after.starts[:-1], after.starts[1:], strict=True)):
        found = []
        present = set(after.numbers[start:stop].tolist())
        unseen = present - elements if elements else set()
        if unseen:
            found.append(f"elements not in the training data: {', '.join(map(_symbol, sorted(unseen)))}")
        found += [f"{_symbol(z)} is in only {rare[z]} of the training crystals" for z in sorted(present & rare.keys())]
        for name, per_atom in volumes.items():
            if not USUAL_VOLUMES[0] <= per_atom[index] <= USUAL_VOLUMES[1]:
                found.append(f"{name} volume {per_atom[index]:.1f} cubic angstrom per atom is outside 2-200")
        if strain[index] > strain_limit:
            found.append(f"deformed by a strain of {strain[index]:.2f}, more than the model was trained to remove")
        if index in vacuums:
            found.append(vacuums[index])
        found += [f"{when}, {flaw.what}" for when, some in flaws.items() if (flaw := some[index])]
        reasons.append(found)
    return reasons


def doubtful_errors(bounds: Mapping[str, float]) -> list[str]:
    """Predicted errors that are too large to rely on the answer, in words.

    Args:
        bounds: What errors lie below in 90 % of the cases, by name: `volume_90`, `length_90`, `position_90`.
    """
    found = []
    for name, (limit, what, unit) in LARGE_ERRORS.items():
        if (bound := bounds.get(name, 0.0)) > limit:
            found.append(f"{what} may be off by {bound:.2g} {unit} (one in ten such answers is by more)")
    return found


def doubtful_periodicity(crystal: Atoms | IStructure) -> list[str]:
    """A warning for slabs and wires; ASE `Atoms` without any periodicity are mostly crystals made without saying so."""
    pbc = np.asarray(getattr(crystal, "lattice", crystal).pbc)
    if pbc.any() and not pbc.all():
        return ["not periodic in all directions, but taken as a crystal that is"]
    return []


def doubts_when_read(crystal: Atoms | IStructure) -> list[str]:
    """What was doubtful in the file that a crystal comes from; it is kept in the info, in any format that holds it."""
    held = getattr(crystal, "info", None) or getattr(crystal, "properties", None) or {}
    return [str(held[DOUBTS])] if held.get(DOUBTS) else []


def _vacuums(crystals: CrystalBatch) -> dict[int, str]:
    """The structures that do not hang together in all directions, and the vacuum that parts them, in words."""
    cells, change = reduce_cells(crystals.cell.numpy())
    frac = np.einsum("ai,aij->aj", crystals.frac.numpy(), np.linalg.inv(change)[crystals.batch.numpy()])
    large = np.linalg.norm(cells, axis=-1).max(1, initial=0) >= (_PARTS + 1) * VACUUM
    parted = np.flatnonzero(large | _has_gap(cells, frac, crystals))
    found = np.empty(0, dtype=np.int64)
    for longest in (_BONDS, VACUUM):
        found = dimensions(edges_within(crystals.select(parted), longest), longest)
        parted, found = parted[found < 3], found[found < 3]
    words = {}
    for index, dimension in zip(parted.tolist(), found.tolist(), strict=True):
        gap = _widest_gap(cells[index], frac[crystals.batch.numpy() == index])
        size = f"{max(VACUUM, gap):.1f} angstrom between {_DIMENSIONS[dimension]}"
        words[index] = f"a vacuum of {size}, relaxed as part of a crystal"
    return words


def _has_gap(cells: np.ndarray, frac: np.ndarray, crystals: CrystalBatch) -> np.ndarray:
    """Whether neighbouring atomic layers on some plane are more than `_GAP` apart (structures,), in reduced cells."""
    spacing = 1 / np.linalg.norm(_PLANES @ np.linalg.inv(cells).transpose(0, 2, 1), axis=-1)
    structure, plane = np.nonzero(spacing > _GAP)
    atom, sizes = runs(crystals.starts.numpy(), structure)
    family, ends = np.repeat(np.arange(len(sizes)), sizes), sizes.cumsum()
    # Heights in units of the spacing; all families of planes are sorted at once, one above the other.
    heights = np.sort(np.mod(np.einsum("ai,ai->a", frac[atom], _PLANES[plane[family]]), 1) + family)
    gaps = np.diff(heights, append=0)
    gaps[ends - 1] = heights[ends - sizes] + 1 - heights[ends - 1]
    found = np.zeros(len(cells), dtype=bool)
    found[structure[family[gaps * spacing[structure, plane][family] > _GAP]]] = True
    return found


def _widest_gap(cell: np.ndarray, frac: np.ndarray) -> float:
    """Largest distance of neighbouring atomic layers in a reduced cell, on planes `VACUUM` apart or more, angstrom."""
    widest = 0.0
    # Planes (h, k, l) cut the vector a into h parts, none of which is shorter than they are apart.
    most = np.minimum(np.linalg.norm(cell, axis=1) // VACUUM, _MOST_PARTS).astype(int)
    for plane in itertools.product(*(range(-n, n + 1) for n in most)):
        spacing = 1 / np.linalg.norm(np.linalg.solve(cell, plane)) if plane > (0, 0, 0) else 0.0
        if spacing > max(VACUUM, widest):
            heights = np.sort(np.mod(frac @ plane, 1))
            widest = max(widest, float(np.diff(heights, append=heights[0] + 1).max() * spacing))
    return widest


def _symbol(number: int) -> str:
    from ase.data import chemical_symbols

    return str(chemical_symbols[number])
