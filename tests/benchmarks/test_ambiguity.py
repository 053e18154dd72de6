"""What fractional coordinates cannot tell apart."""

import numpy as np
import pytest
from ase.build import bulk

from benchmarks.quality.ambiguity import amplitudes, ceiling, products, same_crystal
from empnn.crystals import from_atoms
from empnn.symmetry import ELEMENTARY


def test_products_of_elementary_matrices_and_their_shares() -> None:
    assert [len(products(n)[0]) for n in range(4)] == [1, 12, 109, 846]
    for n in range(4):
        matrices, shares = products(n)
        assert shares.sum() == pytest.approx(1)
        assert (np.linalg.det(matrices).round() == 1).all()


def test_atoms_at_halves_look_alike_in_many_bases() -> None:
    salt = from_atoms(bulk("NaCl", "rocksalt", a=5.64))
    frac, numbers = salt.frac.numpy(), salt.numbers.numpy()
    seen = amplitudes(frac, numbers, np.stack([np.eye(3), ELEMENTARY[0], ELEMENTARY[0] @ ELEMENTARY[0]]))
    assert not np.allclose(seen[1], seen[0])
    np.testing.assert_allclose(seen[2], seen[0])
    assert ceiling(salt, 0) == pytest.approx(1)
    assert ceiling(salt, 3) < 0.5
    rng = np.random.default_rng(0)
    uneven = salt.shifted(salt.frac.new_tensor(0.1 * rng.normal(size=(2, 3))))
    more = from_atoms(bulk("NaCl", "rocksalt", a=5.64, cubic=True))
    more = more.shifted(more.frac.new_tensor(0.05 * rng.normal(size=(8, 3))))
    assert ceiling(uneven, 1) == pytest.approx(1)
    assert ceiling(more, 3) == pytest.approx(1)


def test_the_same_crystal_is_known_in_another_basis_and_others_are_not() -> None:
    salt = from_atoms(bulk("NaCl", "rocksalt", a=5.64))
    cell, frac, numbers = salt.cell[0].numpy(), salt.frac.numpy(), salt.numbers.numpy()
    twice = ELEMENTARY[0] @ ELEMENTARY[0]
    assert same_crystal(1.01 * cell, cell, frac, numbers)
    assert same_crystal(twice @ cell, cell, frac, numbers)
    assert not same_crystal(ELEMENTARY[0] @ cell, cell, frac, numbers)
    assert not same_crystal(1.1 * cell, cell, frac, numbers)
    assert not same_crystal(3.55 * np.eye(3), cell, frac, numbers)
