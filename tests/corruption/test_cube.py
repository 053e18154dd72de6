"""Cubes in place of cells."""

import numpy as np
import torch
from ase.build import bulk

from empnn.corruption.cube import Cube, in_cube, rewrite
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


def test_a_share_is_the_same_crystal_in_another_basis() -> None:
    salt = from_atoms(bulk("NaCl", "rocksalt", a=5.64))
    noise = Cube(CrystalBatch.cat([salt]), rewritten=0.5, matrices=2)
    before, after = noise(np.zeros(400, dtype=np.int64), np.random.default_rng(0))
    changes = after.cell @ torch.linalg.inv(salt.cell)
    assert torch.allclose(changes, changes.round())
    assert torch.allclose(torch.linalg.det(changes), torch.ones(400, dtype=torch.float64))
    assert torch.equal(before.frac, after.frac)
    apart = (after.frac[1::2] - after.frac[::2])[:, None] @ changes
    lattice_vectors = apart - (salt.frac[1] - salt.frac[0])
    assert torch.allclose(lattice_vectors, lattice_vectors.round(), atol=1e-12)
    same = (changes.round() == torch.eye(3)).all(-1).all(-1)
    assert 0.42 < same.double().mean() < 0.62


def test_as_many_matrices_as_are_asked_for() -> None:
    salt = from_atoms(bulk("NaCl", "rocksalt", a=5.64))
    crystals = CrystalBatch.cat([salt] * 3)
    found = rewrite(crystals, np.array([0, 1, 0]), np.random.default_rng(1))
    changed = (found.cell != crystals.cell).any(-1).any(-1)
    assert changed.tolist() == [False, True, False]
    assert ((found.cell @ torch.linalg.inv(salt.cell)).round() != 0).sum((-1, -2)).tolist() == [3, 4, 3]
