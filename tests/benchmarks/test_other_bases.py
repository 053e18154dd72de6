"""Cells that are the same crystal at the same coordinates."""

import numpy as np
import torch
from ase.build import bulk

from benchmarks.quality.other_bases import cells_of_the_same, nearest
from empnn.crystals import CrystalBatch, from_atoms
from empnn.geometry import hencky_distance
from empnn.symmetry import ELEMENTARY


def cells_of(crystal: CrystalBatch) -> np.ndarray:
    return cells_of_the_same(crystal.cell[0].numpy(), crystal.frac.numpy(), crystal.numbers.numpy())


def test_salt_has_other_cells_at_its_coordinates_and_a_crystal_without_symmetry_has_none() -> None:
    salt = from_atoms(bulk("NaCl", "rocksalt", a=5.64))
    cells = cells_of(salt)
    np.testing.assert_array_equal(cells[0], salt.cell[0].numpy())
    every = torch.from_numpy(cells)
    assert hencky_distance(every, salt.cell.expand_as(every)).max() > 0.5
    np.testing.assert_allclose(np.abs(np.linalg.det(cells)), np.abs(np.linalg.det(cells[0])))
    assert not np.isclose(cells, ELEMENTARY[0] @ cells[0]).all((1, 2)).any()
    rng = np.random.default_rng(0)
    uneven = salt.shifted(torch.from_numpy(0.1 * rng.normal(size=(2, 3))))
    odd = from_atoms(bulk("NaCl", "rocksalt", a=5.64, cubic=True))
    odd = odd.shifted(torch.from_numpy(0.05 * rng.normal(size=(8, 3))))
    assert len(cells) > 8 * len(cells_of(odd))
    # Two atoms always have an inversion between them, which is no other cell.
    for crystal in (uneven, odd):
        some = torch.from_numpy(cells_of(crystal))
        assert hencky_distance(some, crystal.cell.expand_as(some)).max() < 1e-9


def test_the_nearest_of_the_cells_is_the_one_that_was_strained_a_little() -> None:
    salt = from_atoms(bulk("NaCl", "rocksalt", a=5.64))
    cells = cells_of(salt)
    given = torch.from_numpy(np.stack([cells[0], cells[-1]])) @ (torch.eye(3) + 0.02 * torch.ones(3, 3)).double()
    found = nearest([cells, cells], given)
    assert hencky_distance(found, torch.from_numpy(np.stack([cells[0], cells[-1]]))).max() < 1e-9
    turned = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0)))[0]
    again = nearest([cells, cells], given @ turned)
    assert hencky_distance(again, found).max() < 1e-9
