"""Reconstruction: what it depends on and what not, and which start is chosen."""

from dataclasses import replace

import pytest
import torch
from ase.build import bulk

from empnn.corruption.cube import in_cube
from empnn.crystals import CrystalBatch, from_atoms
from empnn.errors import ConfigError
from empnn.geometry import hencky_distance, lattice_parameters
from empnn.relax.passes import apply_passes
from empnn.relax.reconstruct import Reconstructor, reconstructor
from empnn.relax.reconstruct.reconstructor import HIGHER, WORSE
from empnn.symmetry import ELEMENTARY, change_basis, permute, random_permutation, rotate, translate


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
    here, there = (model.reconstruct(some, 13) for some in (crystals, wrong))
    assert torch.equal(here.cell, there.cell)


def test_without_a_rank_the_cube_in_the_given_basis_goes_on(model: Reconstructor, crystals: CrystalBatch) -> None:
    found = model.reconstruct(crystals, passes=3, rank="none")
    cube = crystals.with_cell(model.protocol(crystals)).fixing("positions")
    expected = apply_passes(model.second.network, cube, 3).relaxed(cube).cell
    torch.testing.assert_close(found.cell, expected, rtol=1e-4, atol=1e-4)
    assert len(found.cells) == 1


def test_shapes_that_a_cube_cannot_become_are_among_the_starts(model: Reconstructor) -> None:
    salt = from_atoms(bulk("NaCl", "rocksalt", a=5.64))
    cube = lattice_parameters(model.reconstruct(salt, rank="none").cell)
    torch.testing.assert_close(cube[:, 3:], torch.full((1, 3), 90.0, dtype=torch.float64), rtol=0, atol=1e-3)
    every = model.reconstruct(salt, n_starts=21)
    angles = lattice_parameters(every.cells[torch.isfinite(every.cells).all(-1).all(-1).squeeze(1), 0])[:, 3:]
    for one in (60.0, 109.47):
        # The network is not trained: cells stay near to where they start, and as symmetric.
        assert ((angles - angles[:, :1]).abs().amax(1) < 1e-2)[(angles[:, 0] - one).abs() < 10].any()


def test_axes_that_are_exchanged_or_inverted_make_no_difference_to_starts(
    model: Reconstructor, crystals: CrystalBatch
) -> None:
    matrix = torch.tensor([[0.0, 1, 0], [-1, 0, 0], [0, 0, 1]], dtype=torch.float64)
    turned = change_basis(crystals, matrix.to(torch.int64).repeat(len(crystals), 1, 1))
    here, there = (model.reconstruct(some, n_starts=21) for some in (crystals, turned))
    assert float(hencky_distance(torch.linalg.inv(matrix).mT @ here.cell, there.cell).max()) < 1e-3
    # Of the second, which has no symmetry, all 21 are there.
    strains = [found.second_strains[:, 1].sort().values for found in (here, there)]
    assert strains[0].isfinite().all()
    torch.testing.assert_close(*strains, rtol=1e-2, atol=1e-4)


def test_origin_and_order_of_atoms_make_no_difference(
    model: Reconstructor, crystals: CrystalBatch, generator: torch.Generator
) -> None:
    expected = lattice_parameters(model.reconstruct(crystals, 13, 3).cell)
    vector = torch.randn(4, 3, dtype=torch.float64, generator=generator)
    moved = translate(crystals, vector)
    moved = permute(moved, random_permutation(moved, generator))
    torch.testing.assert_close(lattice_parameters(model.reconstruct(moved, 13, 3).cell), expected, rtol=2e-4, atol=2e-4)


def test_a_crystal_does_not_depend_on_those_beside_it(model: Reconstructor, crystals: CrystalBatch) -> None:
    together = model.reconstruct(crystals, 13)
    alone = [model.reconstruct(crystals.select([index]), 13) for index in range(4)]
    distances = hencky_distance(together.cell, torch.cat([one.cell for one in alone]))
    assert float(distances.max()) < 1e-4


def test_axes_that_are_exchanged_come_out_exchanged(model: Reconstructor, crystals: CrystalBatch) -> None:
    # The cube's own symmetries are all that is left of SL3(Z).
    exchanged = replace(crystals, cell=crystals.cell[:, [1, 2, 0]], frac=crystals.frac[:, [1, 2, 0]])
    expected = lattice_parameters(model.protocol(crystals))[:, [1, 2, 0, 4, 5, 3]]
    torch.testing.assert_close(lattice_parameters(model.protocol(exchanged)), expected, rtol=1e-4, atol=1e-4)


def test_the_best_start_has_the_lowest_score_and_a_nearer_basis_comes_first(
    model: Reconstructor, crystals: CrystalBatch
) -> None:
    found = model.reconstruct(crystals, 13, 6, rank="residual")
    assert torch.equal(found.chosen, (found.residuals * WORSE**found.steps).argmin(0))
    agreed = found.ranked("agreement")
    # The second network predicts no errors here.
    assert torch.equal(agreed.chosen, (found.residuals * found.second_strains * WORSE**found.steps).argmin(0))
    # One that is not predicted is not chosen, and says nothing of the others.
    errors = torch.ones_like(found.residuals)
    errors[0], errors[1, 1:] = torch.inf, 0.1
    told = replace(found, errors=errors)
    usable = torch.isfinite(found.cells).all(-1).all(-1)
    expected = torch.where(usable, errors * WORSE**found.steps, torch.inf).argmin(0)
    assert torch.equal(told.ranked("errors").chosen, expected)
    assert torch.equal(told.ranked("residual").chosen, found.chosen)


def test_those_starts_go_on_that_a_second_pass_changes_least(model: Reconstructor, crystals: CrystalBatch) -> None:
    assert [len(model.reconstruct(crystals, n).cells) for n in (1, 13)] == [4, 16]
    every = model.reconstruct(crystals, 13, 33)
    best = model.reconstruct(crystals, 13, 2)
    scores = every.second_strains * WORSE**every.steps
    assert (scores.diff(dim=0)[scores[1:].isfinite()] >= 0).all()
    assert (every.steps == 0).sum(0).eq(1).all()
    torch.testing.assert_close(best.cells, every.cells[:2], equal_nan=True)


def test_bases_in_which_coordinates_are_the_same_are_one_start(model: Reconstructor) -> None:
    salt = from_atoms(bulk("NaCl", "rocksalt", a=5.64))
    uneven = salt.shifted(torch.tensor([[0.0, 0.0, 0.0], [0.02, 0.07, 0.11]], dtype=torch.float64))
    found = model.reconstruct(CrystalBatch.cat([salt, uneven]), 109, 129, passes=2)
    usable = torch.isfinite(found.cells).all(-1).all(-1)
    assert (torch.linalg.det(found.cells[usable]) > 0).all()
    assert int(usable[:, 0].sum()) < 25
    assert int(usable[:, 1].sum()) > 80
    # Which of the bases counts does not depend on the last digits: it is the nearest.
    skewed = change_basis(salt, torch.from_numpy(ELEMENTARY[3] @ ELEMENTARY[8])[None])
    alone, beside = (
        model.reconstruct(some, 109, 8, passes=2) for some in (skewed, CrystalBatch.cat([skewed, uneven, salt]))
    )
    assert float(hencky_distance(alone.cell, beside.cell[:1])) < 1e-4


def test_how_crystals_are_split_makes_no_difference(
    model: Reconstructor, crystals: CrystalBatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    together = model.reconstruct(crystals, 13, 4, passes=1)
    monkeypatch.setattr(reconstructor, "DEFAULT_BATCH_ATOMS", 6)
    apart = model.reconstruct(crystals, 13, 4, passes=1)
    assert float(hencky_distance(together.cell, apart.cell).max()) < 1e-4


def test_a_judge_sees_what_did_not_fail_and_where_it_knows_nothing_the_default_decides(
    model: Reconstructor, crystals: CrystalBatch
) -> None:
    seen = []

    def knows_only_iron(some: CrystalBatch) -> torch.Tensor:
        seen.append(bool(torch.isfinite(some.cell).all()))
        volumes = torch.linalg.det(some.cell).abs()
        return torch.where(some.sizes == 1, volumes, torch.inf)

    by_default = model.reconstruct(crystals, 13)
    found = model.reconstruct(crystals, 13, rank=knows_only_iron)
    assert all(seen)
    assert torch.equal(found.chosen[:3], by_default.chosen[:3])
    assert found.by_judge.tolist() == [False, False, False, True]
    assert not by_default.by_judge.any()
    volumes = torch.linalg.det(found.cells[:, 3]).abs() + HIGHER * found.steps[:, 3]
    assert int(found.chosen[3]) == int(volumes.nan_to_num(torch.inf).argmin())


def test_a_crystal_in_a_skewed_basis_is_found_where_its_own_is_among_those_looked_at(
    model: Reconstructor, crystals: CrystalBatch
) -> None:
    # All starts of one basis, one of which is that of the other.
    plain = model.reconstruct(crystals, rank="none")
    skewed = change_basis(crystals, torch.from_numpy(ELEMENTARY[3]).repeat(len(crystals), 1, 1))
    found = model.reconstruct(skewed, 13, 33)
    rows = torch.linalg.inv(torch.from_numpy(ELEMENTARY[3]).double()).mT
    met = torch.zeros(len(crystals), dtype=torch.bool)
    for cells in found.cells:
        usable = torch.isfinite(cells).all(-1).all(-1)
        met[usable] |= hencky_distance((rows @ plain.cell)[usable], cells[usable]) < 1e-3
    # One start stands for all bases in which iron's single atom looks the same.
    assert met[:3].all()


def test_answers_are_in_the_given_basis(model: Reconstructor, crystals: CrystalBatch) -> None:
    found = model.reconstruct(crystals, 13, 8)
    for cells, residuals in zip(found.cells, found.residuals, strict=True):
        usable = torch.isfinite(cells).all(-1).all(-1)
        before = crystals.select(usable.nonzero().squeeze(-1)).with_cell(cells[usable])
        after = apply_passes(model.second.network, before, 1).relaxed(before)
        torch.testing.assert_close(hencky_distance(before.cell, after.cell), residuals[usable], rtol=1e-2, atol=1e-3)
        assert residuals[~usable].isinf().all()


def test_where_a_network_fails_other_starts_answer(model: Reconstructor, crystals: CrystalBatch) -> None:
    found = model.reconstruct(crystals, 13, 5)
    failed = replace(
        found,
        cells=found.cells.index_fill(0, found.chosen[:1], torch.nan),
        residuals=found.residuals.index_fill(0, found.chosen[:1], 0.0),
    )
    assert not torch.isin(failed.ranked("residual").chosen, found.chosen[:1]).any()
    none = replace(found, cells=torch.full_like(found.cells, torch.nan)).ranked("agreement")
    assert (none.chosen == -1).all()
    assert none.cell.isnan().all()


def test_networks_in_the_wrong_places_are_refused(model: Reconstructor, crystals: CrystalBatch) -> None:
    with pytest.raises(ConfigError, match="not trained to start from a cube"):
        Reconstructor(model.second, model.second)
    with pytest.raises(ConfigError, match="relaxes nothing"):
        Reconstructor(model.first, model.first)
    with pytest.raises(ConfigError, match="rank best does not exist"):
        model.reconstruct(crystals, rank="best")
    with pytest.raises(ValueError, match="must be at least 1"):
        model.reconstruct(crystals, 1, 0)
    with pytest.raises(ValueError, match="without a rank there is one basis, not 13"):
        model.reconstruct(crystals, 13, rank="none")
    with pytest.raises(ValueError, match="must lie between 1 and 649"):
        model.reconstruct(crystals, 650)
    with pytest.raises(ConfigError, match="relaxes none"):
        model.first.relax([])


def test_orientation_is_that_of_the_cube(model: Reconstructor, crystals: CrystalBatch) -> None:
    turned = rotate(crystals, torch.linalg.qr(torch.ones(4, 3, 3).double() + torch.eye(3))[0])
    assert torch.equal(model.protocol(turned), model.protocol(crystals))
