"""Why a result is to be looked at twice."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from empnn.ase_atoms import DOUBTS
from empnn.crystals import CrystalBatch
from empnn.geometry import volume

if TYPE_CHECKING:
    from ase import Atoms
    from pymatgen.core import Structure


USUAL_VOLUMES = (2.0, 200.0)


def doubts(before: CrystalBatch, after: torch.Tensor, elements: set[int], strain_limit: float) -> list[list[str]]:
    """For each structure the reasons to look at the result twice, in words.

    Args:
        before: The crystals as given.
        after: Relaxed cells (structures, 3, 3), angstrom.
        elements: Atomic numbers the model was trained on; empty if unknown.
        strain_limit: Largest principal Hencky strain that the model was trained to remove.
    """
    volumes = {"given": volume(before.cell) / before.sizes, "relaxed": volume(after) / before.sizes}
    stretches = torch.linalg.svdvals(torch.linalg.solve(before.cell, after))
    strain = stretches.log().abs().amax(-1)
    reasons: list[list[str]] = []
    for index, (start, stop) in enumerate(zip(before.starts[:-1], before.starts[1:], strict=True)):
        found = []
        unseen = set(before.numbers[start:stop].tolist()) - elements if elements else set()
        if unseen:
            found.append(f"elements not in the training data: {', '.join(map(_symbol, sorted(unseen)))}")
        for name, per_atom in volumes.items():
            if not USUAL_VOLUMES[0] <= per_atom[index] <= USUAL_VOLUMES[1]:
                found.append(f"{name} volume {per_atom[index]:.1f} cubic angstrom per atom is outside 2-200")
        if strain[index] > strain_limit:
            found.append(f"deformed by a strain of {strain[index]:.2f}, more than the model was trained to remove")
        reasons.append(found)
    return reasons


def _symbol(number: int) -> str:
    from ase.data import chemical_symbols

    return str(chemical_symbols[number])


def doubtful_periodicity(crystal: Atoms | Structure) -> list[str]:
    """A warning for slabs and wires; ASE `Atoms` without any periodicity are mostly crystals made without saying so."""
    pbc = np.asarray(getattr(crystal, "lattice", crystal).pbc)
    if pbc.any() and not pbc.all():
        return ["not periodic in all directions, but taken as a crystal that is"]
    return []


def doubts_when_read(crystal: Atoms | Structure) -> list[str]:
    """What was doubtful in the file that a crystal comes from; it is kept in the info, in any format that holds it."""
    held = getattr(crystal, "info", None) or getattr(crystal, "properties", None) or {}
    return [str(held[DOUBTS])] if held.get(DOUBTS) else []
