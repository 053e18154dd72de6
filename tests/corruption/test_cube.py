"""Cubes in place of cells."""

import numpy as np
import torch
from ase.build import bulk

from empnn.corruption.cube import Cube, in_cube
from empnn.crystals import CrystalBatch, from_atoms


def test_the_cell_is_a_cube_and_all_else_stays() -> None:
    crystals = CrystalBatch.cat([from_atoms(bulk("NaCl", "rocksalt", a=5.64)), from_atoms(bulk("Cu"))])
    before, after = Cube(crystals)(np.array([1, 0, 0]), np.random.default_rng(0))
    assert torch.equal(before.cell, torch.eye(3, dtype=torch.float64).expand(3, 3, 3))
    assert torch.equal(before.frac, after.frac)
    assert torch.equal(before.numbers, after.numbers)
    assert torch.equal(after.cell, crystals.cell[[1, 0, 0]])


def test_a_cube_of_another_size() -> None:
    crystals = from_atoms(bulk("Cu"))
    assert torch.equal(in_cube(crystals, 5.0).cell[0], 5 * torch.eye(3, dtype=torch.float64))
