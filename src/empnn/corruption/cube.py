"""`cube`: nothing of the cell is left but the fractional coordinates in its basis (paper, Table 3)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from empnn.corruption.source import BeforeAfter
from empnn.crystals import CrystalBatch, Crystals

SIDE = 1.0
"""Edge of the cube in angstrom."""


@dataclass(frozen=True)
class Cube:
    """The crystals in a cube of 1 angstrom on a side, rho = I.

    What they are then depends on the basis in which they are given, unlike all else that is done to crystals.

    Attributes:
        crystals: The true crystals.
    """

    crystals: Crystals

    def __call__(self, chosen: np.ndarray, generator: np.random.Generator) -> BeforeAfter:
        """The chosen crystals, before and after."""
        after = self.crystals.select(chosen)
        return in_cube(after), after


def in_cube(crystals: CrystalBatch, side: float = SIDE) -> CrystalBatch:
    """The crystals with a cube as their cell, fractional coordinates unchanged; side in angstrom."""
    cube = side * torch.eye(3, dtype=crystals.cell.dtype)
    return crystals.with_cell(cube.expand_as(crystals.cell).clone())
