"""Bases that reconstruction starts from."""

import numpy as np
import pytest
import torch

from empnn.crystals import CrystalBatch
from empnn.relax.reconstruct.bases import MOST_BASES, bases, rebased
from empnn.symmetry import ELEMENTARY, elementary, elementary_product


def test_elementary_matrices_are_twelve_and_all_are_drawn() -> None:
    generator = np.random.default_rng(0)
    found = {tuple(elementary(generator).ravel()) for _ in range(400)}
    assert found == {tuple(matrix.ravel()) for matrix in ELEMENTARY}
    assert len(found) == 12


def test_the_given_basis_is_the_first_and_nearer_ones_come_before() -> None:
    found = bases(MOST_BASES)
    assert np.array_equal(found[0].rows, np.eye(3))
    matrices = [basis.matrices for basis in found]
    assert matrices == sorted(matrices)
    assert [matrices.count(n) for n in range(4)] == [1, 12, 96, 540]
    assert [len(bases(n)) for n in (1, 13, 649)] == [1, 13, 649]
    for wrong in (0, MOST_BASES + 1):
        with pytest.raises(ValueError, match="must lie between"):
            bases(wrong)


def test_whatever_three_elementary_matrices_lead_to_is_among_them_but_for_the_axes() -> None:
    generator = np.random.default_rng(1)
    metrics = {tuple((basis.rows.T @ basis.rows).ravel()) for basis in bases(MOST_BASES)}
    assert len(metrics) == MOST_BASES
    for _ in range(300):
        product = elementary_product(generator, 3)
        assert tuple((product.T @ product).ravel()) in metrics


def test_another_basis_is_the_same_crystal(crystals: CrystalBatch) -> None:
    for basis in bases(MOST_BASES)[::80]:
        assert round(np.linalg.det(basis.rows)) == 1
        moved = rebased(crystals, basis.rows)
        torch.testing.assert_close(moved.cell, torch.from_numpy(basis.rows).double() @ crystals.cell)
        # The point cloud is the same: as many neighbours at each distance.
        for index in range(len(crystals)):
            given, found = (_distances(some.select([index])) for some in (crystals, moved))
            np.testing.assert_allclose(found, given, atol=1e-9)


def _distances(crystal: CrystalBatch) -> np.ndarray:
    images = np.array(np.meshgrid(*[range(-6, 7)] * 3)).reshape(3, -1).T
    frac = crystal.frac.numpy()
    apart = (frac[:, None] - frac[None]).reshape(-1, 1, 3) + images
    found = np.linalg.norm(apart @ crystal.cell[0].numpy(), axis=2).ravel()
    return np.sort(found[found < 4.0])
