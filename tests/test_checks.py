"""What is refused, what is doubtful, and that neither depends on how a crystal is written down."""

import numpy as np
import pytest
import torch
from crystals_zoo import ALL, SKEWED, ZOO

from empnn import symmetry
from empnn.checks import doubts, is_collapsed, refusals
from empnn.crystals import CrystalBatch, from_arrays
from empnn.noise import fixed_strain, strain_cells


def crystal(cell, frac=((0, 0, 0),), number=6):
    return from_arrays(np.array(cell, dtype=float), np.array(frac, dtype=float), np.full(len(frac), number))


def test_sound_crystals_pass():
    assert refusals(ALL) == [None] * len(ALL)
    assert refusals(CrystalBatch.cat([])) == []


def share_of_box(cell):
    return abs(np.linalg.det(cell)) / np.prod(np.linalg.norm(cell, axis=1))


@pytest.mark.parametrize("scale", [0.5, 1.0, 4.0, 30.0])
@pytest.mark.parametrize(
    "cell",
    [
        [[1, 0, 0], [0, 1, 0], [0.6, 0.8, 9e-5]],
        [[1, 0, 0], [0, 1, 0], [1, 1, 9e-5]],
        [[1, 0, 0], [1, 9e-5, 0], [0, 0, 1]],
        [[1, 0, 0], [1, 5e-3, 0], [1, 0, 5e-3]],
        [[1, 0.2, 0.3], [0.3, 1, 0.1], [1.3, 1.2, 0.40005]],
    ],
)
def test_cells_with_next_to_no_volume_are_refused(cell, scale):
    """What |det| / (abc) < 1e-4 is meant to catch: vectors next to coplanar or collinear, at any scale."""
    bad = np.array(cell) * scale
    assert share_of_box(bad) < 1e-4
    (reason,) = refusals(crystal(bad))
    assert "flat or too small" in reason or "atom 0 and its periodic image overlap" in reason


def test_skewed_bases_under_the_same_limit_pass():
    """The ratio depends on the basis, so that it cannot be a reason for refusal."""
    change = np.array([[1, 0, 0], [30, 1, 0], [-7, 40, 1]])
    names = [name for name in ZOO if name not in ("skewed", "elongated")]
    good = CrystalBatch.cat([ZOO[name] for name in names])
    skewed = symmetry.change_basis(good, torch.from_numpy(change).expand(len(names), 3, 3))
    assert max(map(share_of_box, skewed.cell.numpy())) < 1e-4
    assert refusals(skewed) == refusals(good) == [None] * len(names)


def test_the_shortest_translation_is_found_in_any_basis(generator):
    """A lattice with a vector of 0.2 angstrom is refused at once in any basis; a search would take long."""
    thin = crystal([[0.2, 0, 0], [3, 400, 0], [1, 2, 90]], [[0, 0, 0], [0.3, 0.2, 0.5]])
    moved = symmetry.change_basis(thin, symmetry.random_unimodular(1, generator, 6, 2))
    for one in (thin, moved):
        (reason,) = refusals(one)
        assert reason.startswith("atom 0 and its periodic image overlap (0.200 angstrom apart)")


def test_strongly_skewed_cells_pass(generator):
    for factors, largest in ((4, 1), (8, 2), (10, 3)):
        unimodular = symmetry.random_unimodular(len(ALL), generator, factors, largest)
        moved = symmetry.change_basis(ALL, unimodular)
        reasons = [r for r in refusals(moved) if r and "10000" not in r]
        assert reasons == []


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (crystal([[3, 0, 0], [0, 3, 0], [3, 3, 0]]), "flat"),
        (crystal([[3, 0, 0], [0, 3, 0], [0, 0, 1e-9]]), "flat"),
        (crystal(np.zeros((3, 3))), "flat"),
        (crystal(np.eye(3) * 0.7), "too small"),
        (crystal(np.diag([3, 3, 2e4])), "10000"),
        (crystal([[3, 0, 0], [0, 0.2, 0], [0, 0, 30]]), "atom 0 and its periodic image overlap"),
        (crystal(np.eye(3) * 4, [[0, 0, 0], [0.5, 0.5, 0.5], [0.99, 0.01, 0]]), "atoms 0 and 2 overlap"),
        (crystal(np.eye(3) * 4, [[0.3, 0, 0], [0.3, 0, 0]]), "atoms 0 and 1 overlap (0.000"),
        (crystal(np.eye(3) * 9000, [[0.3, 0, 0], [0.3, 0, 0.00001]]), "atoms 0 and 1 overlap (0.090"),
        (crystal(np.eye(3) * 9000, [*np.arange(90).reshape(30, 3) / 90, [0.3, 0, 0], [0.3, 0, 1e-5]]), "30 and 31"),
    ],
)
def test_bad_crystals_are_refused_among_good_ones(bad, reason):
    good = ZOO["triclinic"]
    first, second, third = refusals(CrystalBatch.cat([good, bad, good]))
    assert first is None
    assert third is None
    assert reason in second
    assert "; " in second


def test_refusals_are_invariant(generator):
    bad = crystal([[4.0, 1, 0], [0, 5, 0.5], [0.2, 0, 6]], [[0.1, 0.2, 0.3], [0.5, 0.5, 0.5], [0.11, 0.19, 0.3]])
    batch = CrystalBatch.cat([bad, ZOO["perovskite"]])
    moved = symmetry.rotate(batch, symmetry.random_orthogonal(2, generator))
    moved = symmetry.translate(moved, symmetry.random_translation(2, generator))
    moved = symmetry.change_basis(moved, symmetry.random_unimodular(2, generator, 6, 2))
    assert [r is None for r in refusals(moved)] == [r is None for r in refusals(batch)] == [False, True]


def test_cell_without_a_compact_basis_is_refused_not_raised():
    skewed = crystal([[0.8, 0, 0], [9500, 0.8, 0], [0, 0, 9]])
    assert refusals(skewed)[0] is None or "skewed" in refusals(skewed)[0]


def test_collapsed_cells():
    factors = torch.tensor([3.0, 0.5, torch.nan, torch.inf, 1e200, 2e4], dtype=torch.float64)
    cells = factors[:, None, None] * torch.eye(3, dtype=torch.float64)
    assert is_collapsed(cells, torch.ones(6)).tolist() == [False, True, True, True, True, False]


def test_doubts():
    batch = CrystalBatch.cat([ZOO["fcc"], ZOO["perovskite"], SKEWED, ZOO["diamond"]])
    factors = torch.tensor([1.0, 5.0, 1.01, 0.5], dtype=torch.float64)[:, None, None]
    after = batch.cell * factors
    found = doubts(batch, after, {29, 11, 17, 6}, 0.5)
    blown = doubts(batch, batch.cell, set(), 0.5)
    assert blown == [[], [], [], []]
    (dense,) = doubts(batch.select([0]).with_cell(batch.cell[:1] * 0.5), batch.cell[:1], set(), 2.0)
    assert dense == ["given volume 1.5 cubic angstrom per atom is outside 2-200"]
    assert found[0] == []
    assert any("Sr" in text and "Ti" in text and "O" in text for text in found[1])
    assert any("2-200" in text for text in found[1])
    assert any("strain of 1.61" in text for text in found[1])
    assert found[2] == []
    assert any("strain of 0.69" in text for text in found[3])
    assert doubts(batch, batch.cell, set(), 0.1) == [[], [], [], []]


def test_doubts_are_invariant(generator):
    batch = CrystalBatch.cat([ZOO["triclinic"]] * 8)
    after = strain_cells(batch.cell, fixed_strain(8, 0.2, 1))
    q = symmetry.random_orthogonal(8, generator)
    moved, moved_after = symmetry.rotate(batch, q), symmetry.rotate(batch.with_cell(after), q).cell
    assert doubts(moved, moved_after, set(), 0.4) == doubts(batch, after, set(), 0.4)
    assert {len(texts) for texts in doubts(batch, after, set(), 0.4)} == {0, 1}
