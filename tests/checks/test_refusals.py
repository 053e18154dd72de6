"""What is refused, and that it does not depend on how a crystal is written down."""

import numpy as np
import pytest
import torch
from support.zoo import ALL, ZOO

from empnn import symmetry
from empnn.checks.refusals import is_collapsed, refusals
from empnn.crystals import CrystalBatch, from_arrays


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


def test_no_cell_that_is_large_and_short_enough_is_too_skewed_to_be_judged():
    """Lattices that are found in another basis only, where the vectors given say nothing of the distances."""
    skewed = crystal([[0.8, 0, 0], [9500, 0.8, 0], [0, 0, 9]])
    thin = crystal([[0.8, 0, 0], [9500.3, 0.8, 0], [0.2, -0.1, 9]])
    flat = crystal([[0.8, 0, 0], [9500.2, 0.2, 0], [0, 0, 9]])
    near = crystal([[0.8, 0, 0], [9500, 0.8, 0], [0, 0, 9]], [[0, 0, 0], [0.3125, 0.25, 0]])
    assert [r and r[:44] for r in refusals(CrystalBatch.cat([skewed, thin, flat, near]))] == [
        None,
        None,
        "atom 0 and its periodic image overlap (0.283",
        "atoms 0 and 1 overlap (0.206 angstrom apart)",
    ]


@pytest.mark.parametrize("length", [1e-2, 1e-4, 1e-6])
def test_lattices_of_next_to_equal_atoms_are_refused_at_once(length):
    """A search would find millions of neighbours within half an angstrom."""
    thin = crystal([[6000, 300, 0], [6000, 300 + 2 * length, length], [1, 7, 5000]], [[0, 0, 0], [0.1, 0.2, 0.5]])
    (reason,) = refusals(thin)
    assert reason.startswith(f"atom 0 and its periodic image overlap ({5**0.5 * length:.3f} angstrom apart)")


@pytest.mark.parametrize("scale", [1e-2, 1e-5, 1e-8])
def test_vectors_next_to_coplanar_are_judged_and_never_raise(scale):
    random = np.random.default_rng(0)
    cells = random.normal(size=(300, 3, 3)) * 10 ** random.uniform(0, 3.5, size=(300, 3, 1))
    cells[:, 2] = (random.integers(-3, 4, size=(300, 1, 2)) @ cells[:, :2])[:, 0] + scale * random.normal(size=(300, 3))
    reasons = refusals(CrystalBatch.cat([crystal(cell) for cell in cells]))
    volumes, lengths = np.abs(np.linalg.det(cells)), np.linalg.norm(cells, axis=2).max(1)
    for reason, volume, length in zip(reasons, volumes, lengths, strict=True):
        assert ("volume" in str(reason)) == (volume < 0.5)
        assert reason is None or "overlap" in reason or volume < 0.5 or length > 1e4


def test_thousands_of_atoms_in_one_place_are_refused_at_once():
    many = crystal(np.eye(3) * 50, np.full((5000, 3), 0.3))
    jittered = many.shifted(torch.rand(5000, 3, dtype=torch.float64) * 1e-4)
    (first,), (second,) = refusals(many), refusals(jittered)
    assert first == "atoms 0 and 1 overlap (0.000 angstrom apart); remove or move one"
    assert "overlap (0.00" in second


def test_collapsed_cells():
    factors = torch.tensor([3.0, 0.5, torch.nan, torch.inf, 1e200, 2e4], dtype=torch.float64)
    cells = factors[:, None, None] * torch.eye(3, dtype=torch.float64)
    assert is_collapsed(cells, torch.ones(6)).tolist() == [False, True, True, True, True, False]
