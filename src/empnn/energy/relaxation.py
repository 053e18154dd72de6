"""Relaxing by forces and stress: of the cell at fixed fractional coordinates, or of everything."""

from __future__ import annotations

from typing import Any

import numpy as np
from ase import Atoms
from ase.filters import FrechetCellFilter
from ase.optimize import BFGS

from empnn.checks.refusals import MIN_VOLUME_PER_ATOM
from empnn.energy.oracle import OracleRelaxation
from empnn.errors import CrystalError

_STIFFNESS = 20.0
"""First guess of the curvature of the energy in the strain, eV per atom: bulk modulus times volume is 5 to 35."""
_LARGEST_STEP = 0.05
"""Largest row of the strain that one step may add."""


class FixedFractionalFilter(FrechetCellFilter):
    """The cell alone as ASE sees three more atoms: the logarithm of its deformation, atoms carried along.

    Fractional coordinates stay, as under VASP's ISIF = 6. The forces are the exact derivatives of the energy by the
    Hencky strain, eV; near the end they are the virial.
    """

    def __init__(self, atoms: Atoms) -> None:
        FrechetCellFilter.__init__(self, atoms, exp_cell_factor=1.0)
        self._undeformed = FrechetCellFilter.get_positions(self)[: len(atoms)]

    def get_positions(self) -> np.ndarray:
        """The logarithm of the deformation (3, 3), up to a constant."""
        strain: np.ndarray = FrechetCellFilter.get_positions(self)[len(self.atoms) :]
        return strain

    def set_positions(self, new: np.ndarray, **kwargs: object) -> None:  # type: ignore[override]
        """Deform the first cell; each atom keeps its fractional coordinates."""
        FrechetCellFilter.set_positions(self, np.concatenate([self._undeformed, new]), **kwargs)

    def get_forces(self, **kwargs: object) -> np.ndarray:
        """Minus the derivative of the energy by the strain (3, 3), eV."""
        forces: np.ndarray = FrechetCellFilter.get_forces(self, **kwargs)[len(self.atoms) :]
        return forces

    def __len__(self) -> int:
        return 3


def relax(atoms: Atoms, relaxation: OracleRelaxation) -> tuple[int, bool]:
    """Relax a crystal in place with its calculator.

    Returns:
        The number of steps, and whether they converged: every row of the virial is below `fmax` per atom, and with
        `all` every force too.

    Raises:
        CrystalError: If the cell collapses on the way.
    """
    if relaxation.mode == "none":
        return 0, True
    n = len(atoms)
    if relaxation.mode == "cell":
        cell: Any = FixedFractionalFilter(atoms)
        optimizer = BFGS(cell, logfile=None, alpha=_STIFFNESS * n, maxstep=_LARGEST_STEP)
        limit = relaxation.fmax * n
    else:
        everything: Any = FrechetCellFilter(atoms)
        optimizer = BFGS(everything, logfile=None)
        limit = relaxation.fmax
    optimizer.attach(_check_volume, 1, atoms)
    converged = optimizer.run(fmax=limit, steps=relaxation.steps)
    return optimizer.get_number_of_steps(), bool(converged)


def _check_volume(atoms: Atoms) -> None:
    if not abs(np.linalg.det(atoms.cell.array)) >= MIN_VOLUME_PER_ATOM * len(atoms):
        raise CrystalError("its cell collapsed while it was relaxed; start from a sounder one or another oracle")
