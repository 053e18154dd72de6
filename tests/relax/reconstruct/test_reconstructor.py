"""Reconstruction: what it depends on and what not, and which start is chosen."""

from dataclasses import replace

import pytest
import torch

from empnn.corruption.cube import in_cube
from empnn.crystals import CrystalBatch
from empnn.errors import ConfigError
from empnn.geometry import hencky_distance, lattice_parameters
from empnn.relax.passes import apply_passes
from empnn.relax.reconstruct import Reconstructor
from empnn.symmetry import permute, random_permutation, rotate, translate


def test_the_protocol_is_one_pass_from_the_cube(model: Reconstructor, crystals: CrystalBatch) -> None:
    found = model.protocol(crystals)
    cube = in_cube(crystals)
    torch.testing.assert_close(found, apply_passes(model.first.network, cube, 1).relaxed(cube).cell)
    assert torch.isfinite(found).all()
    assert (torch.linalg.det(found) > 1).all()


def test_the_given_cell_is_not_looked_at(
    model: Reconstructor, crystals: CrystalBatch, generator: torch.Generator
) -> None:
    wrong = crystals.with_cell(7 * torch.randn(4, 3, 3, dtype=torch.float64, generator=generator))
    here, there = (model.reconstruct(some, 8) for some in (crystals, wrong))
    assert torch.equal(here.cell, there.cell)


def test_origin_and_order_of_atoms_make_no_difference(
    model: Reconstructor, crystals: CrystalBatch, generator: torch.Generator
) -> None:
    expected = lattice_parameters(model.reconstruct(crystals, 3).cell)
    vector = torch.randn(4, 3, dtype=torch.float64, generator=generator)
    moved = translate(crystals, vector)
    moved = permute(moved, random_permutation(moved, generator))
    torch.testing.assert_close(lattice_parameters(model.reconstruct(moved, 3).cell), expected, rtol=2e-4, atol=2e-4)


def test_a_crystal_does_not_depend_on_those_beside_it(model: Reconstructor, crystals: CrystalBatch) -> None:
    together = model.reconstruct(crystals, 8)
    alone = [model.reconstruct(crystals.select([index]), 8) for index in range(4)]
    distances = hencky_distance(together.cell, torch.cat([one.cell for one in alone]))
    assert float(distances.max()) < 1e-4


def test_axes_that_are_exchanged_come_out_exchanged(model: Reconstructor, crystals: CrystalBatch) -> None:
    # The cube's own symmetries are all that is left of SL3(Z).
    exchanged = replace(crystals, cell=crystals.cell[:, [1, 2, 0]], frac=crystals.frac[:, [1, 2, 0]])
    expected = lattice_parameters(model.protocol(crystals))[:, [1, 2, 0, 4, 5, 3]]
    torch.testing.assert_close(lattice_parameters(model.protocol(exchanged)), expected, rtol=1e-4, atol=1e-4)


def test_the_best_start_is_the_one_with_the_lowest_score(model: Reconstructor, crystals: CrystalBatch) -> None:
    by_residual = model.reconstruct(crystals, 6, rank="residual")
    assert torch.equal(by_residual.chosen, by_residual.residuals.argmin(0))
    assert (model.reconstruct(crystals, 6, rank="none").chosen == 0).all()
    small = model.reconstruct(crystals, 6, rank=lambda some: torch.linalg.det(some.cell).abs())
    volumes = torch.linalg.det(small.cells).abs()
    assert torch.equal(small.chosen, volumes.argmin(0))


def test_answers_are_in_the_given_basis(model: Reconstructor, crystals: CrystalBatch) -> None:
    found = model.reconstruct(crystals, 8)
    refined = [crystals.with_cell(cells) for cells in found.cells]
    again = [apply_passes(model.second.network, one, 1).relaxed(one).cell for one in refined]
    for before, after, residual in zip(found.cells, again, found.residuals, strict=True):
        torch.testing.assert_close(hencky_distance(before, after), residual, rtol=1e-2, atol=1e-3)


def test_networks_in_the_wrong_places_are_refused(model: Reconstructor, crystals: CrystalBatch) -> None:
    with pytest.raises(ConfigError, match="not trained to start from a cube"):
        Reconstructor(model.second, model.second)
    with pytest.raises(ConfigError, match="relaxes nothing"):
        Reconstructor(model.first, model.first)
    with pytest.raises(ConfigError, match="rank best does not exist"):
        model.reconstruct(crystals, rank="best")
    with pytest.raises(ValueError, match="must be at least 1"):
        model.reconstruct(crystals, 0)
    with pytest.raises(ConfigError, match="relaxes none"):
        model.first.relax([])


def test_orientation_is_that_of_the_cube(model: Reconstructor, crystals: CrystalBatch) -> None:
    turned = rotate(crystals, torch.linalg.qr(torch.ones(4, 3, 3).double() + torch.eye(3))[0])
    assert torch.equal(model.protocol(turned), model.protocol(crystals))
