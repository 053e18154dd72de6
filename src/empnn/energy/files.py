"""Crystals with what an oracle found, as they are written."""

from __future__ import annotations

from typing import cast

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

from empnn.ase_atoms import with_input_results
from empnn.crystals import replace_cell
from empnn.energy.oracle import Result


def with_result(given: Atoms, result: Result) -> Atoms:
    """The crystal as it ended, with energy, forces and stress as ASE keeps them; those that it came with are renamed.

    The energy per atom, eV, is in info, too.
    """
    shift = 0.0 if result.shift is None else np.array(result.shift)
    atoms = cast("Atoms", replace_cell(with_input_results(given), np.array(result.cell), shift))
    held = {"energy": result.energy, "forces": result.forces, "stress": result.stress}
    atoms.calc = SinglePointCalculator(atoms, **{key: value for key, value in held.items() if value is not None})
    atoms.info["empnn_energy_per_atom"] = result.energy_per_atom
    return atoms
