"""In how many directions crystals hang together, whatever the basis, the cell and the edges that are looked at."""

import numpy as np
import pytest
from support.zoo import ALL, PEROVSKITE, ROCKSALT, supercell

from empnn import symmetry
from empnn.crystals import CrystalBatch, from_arrays
from empnn.graph import cutoff, dimensions


def grid(a, b, c, frac=((0, 0, 0),)):
    return from_arrays(np.diag([a, b, c]).astype(float), np.array(frac, dtype=float), np.full(len(frac), 6))


CASES = [
    (grid(9, 9, 9), 0),
    (grid(3, 9, 9), 1),
    (grid(3, 9, 3), 2),
    (grid(3, 3, 3), 3),
    (grid(9, 9, 9, [[0, 0, 0], [0.3, 0, 0], [0.3, 0.3, 0]]), 0),
    (grid(9, 9, 9, [[0, 0, 0], [1 / 3, 0, 0], [2 / 3, 0, 0]]), 1),
    (grid(9, 9, 3, [[0.1, 0.5, 0], [0.5, 0.5, 0], [0.8, 0.6, 0], [0.5, 0.9, 0]]), 2),
    (grid(9, 9, 9, [[0.5, 0.5, 0.5], *np.eye(3) / 3, *np.eye(3) * 2 / 3, [0, 0, 0]]), 3),
]
"""Crystals and their dimension by edges up to 4 angstrom; the last one is a frame around an atom on its own."""


@pytest.mark.parametrize(("crystal", "expected"), CASES)
def test_dimensions(crystal, expected, generator):
    moved = symmetry.change_basis(crystal, symmetry.random_unimodular(1, generator, 6, 2))
    moved = symmetry.translate(moved, symmetry.random_translation(1, generator))
    moved = symmetry.rotate(moved, symmetry.random_orthogonal(1, generator))
    for variant in (crystal, moved, supercell(crystal, (2, 3, 2))):
        assert dimensions(cutoff(4.0)(variant), 4.0).tolist() == [expected]


def test_structures_of_a_batch_are_told_apart():
    batch = CrystalBatch.cat([crystal for crystal, _ in CASES])
    assert dimensions(cutoff(5.0)(batch), 4.0).tolist() == [expected for _, expected in CASES]
    assert dimensions(cutoff(5.0)(batch.select([])), 4.0).tolist() == []


def test_bonds_make_three_dimensions_and_shorter_edges_none():
    assert (dimensions(cutoff(6.5)(ALL), 6.5)[:8] == 3).all()
    for crystal in (PEROVSKITE, ROCKSALT):
        assert dimensions(cutoff(4.0)(crystal), 1.0).tolist() == [0]
