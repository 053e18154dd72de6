"""Bases and shapes that reconstruction starts from."""

import numpy as np
import torch

from empnn.crystals import CrystalBatch
from empnn.geometry import lattice_parameters, volume
from empnn.graph.reduction import reduce_cells
from empnn.relax.reconstruct.starts import (
    CUBE,
    GIVEN,
    PRODUCT,
    REDUCED,
    SHAPES,
    Start,
    bases,
    rebased,
    shaped,
    starts,
)
from empnn.symmetry import change_basis, elementary, random_unimodular


def test_the_first_starts_are_the_cubes_then_the_shapes() -> None:
    found = list(starts(10))
    assert found[:2] == [Start(GIVEN, CUBE), Start(REDUCED, CUBE)]
    assert [start.shape for start in found[2:6]] == list(SHAPES)
    assert [start.basis for start in found[6:]] == [PRODUCT, REDUCED, PRODUCT, REDUCED]


def test_elementary_matrices_are_all_twelve() -> None:
    generator = np.random.default_rng(0)
    found = {tuple(elementary(generator).ravel()) for _ in range(400)}
    assert len(found) == 12
    assert all(round(np.linalg.det(np.reshape(matrix, (3, 3)))) == 1 for matrix in found)


def test_a_basis_is_reduced_and_proper(crystals: CrystalBatch, generator: torch.Generator) -> None:
    skewed = change_basis(crystals, random_unimodular(len(crystals), generator, factors=6))
    for kind in (REDUCED, PRODUCT):
        basis = bases(Start(kind, CUBE), skewed.cell, seed=1)
        assert torch.linalg.det(basis.double()).round().eq(1).all()
    found = rebased(skewed, bases(Start(REDUCED, CUBE), skewed.cell, seed=0))
    expected, _ = reduce_cells(skewed.cell.numpy())
    lengths = [np.sort(np.linalg.norm(cells, axis=2)) for cells in (found.cell.numpy(), expected)]
    np.testing.assert_allclose(*lengths, rtol=1e-3)
    # The point cloud is the same: as many neighbours at each distance.
    for index in range(len(crystals)):
        given, moved = (_distances(some.select([index])) for some in (crystals, found))
        np.testing.assert_allclose(moved, given, atol=1e-9)


def test_shapes_have_their_angles_and_the_volume_of_others(crystals: CrystalBatch) -> None:
    for name, angles in SHAPES.items():
        cells = shaped(crystals, name, crystals.cell).cell
        torch.testing.assert_close(lattice_parameters(cells)[:, 3:], torch.tensor([angles] * 4, dtype=torch.float64))
        torch.testing.assert_close(volume(cells), volume(crystals.cell))


def _distances(crystal: CrystalBatch) -> np.ndarray:
    images = np.array(np.meshgrid(*[range(-6, 7)] * 3)).reshape(3, -1).T
    frac = crystal.frac.numpy()
    apart = (frac[:, None] - frac[None]).reshape(-1, 1, 3) + images
    found = np.linalg.norm(apart @ crystal.cell[0].numpy(), axis=2).ravel()
    return np.sort(found[found < 4.0])
