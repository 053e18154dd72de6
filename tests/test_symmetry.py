"""Propositions 1 to 3: what the groups do to a crystal, and that they commute."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial import KDTree
from support.zoo import ALL, PEROVSKITE, ZOO, ball, single, zoo

from empnn import symmetry
from empnn.crystals import CrystalBatch

N = len(ALL)
SEEDS = st.integers(0, 2**32 - 1)

Action = Callable[[CrystalBatch], CrystalBatch]


def draw(name: str, generator: torch.Generator) -> Action:
    """The action of a random element of a group on the whole zoo."""
    if name == "O(3)":
        q = symmetry.random_orthogonal(N, generator)
        return lambda crystals: symmetry.rotate(crystals, q)
    if name == "translation":
        v = symmetry.random_translation(N, generator)
        return lambda crystals: symmetry.translate(crystals, v)
    if name == "S_n":
        order = symmetry.random_permutation(ALL, generator)
        return lambda crystals: symmetry.permute(crystals, order)
    g = symmetry.random_unimodular(N, generator, factors=5, largest=2)
    return lambda crystals: symmetry.change_basis(crystals, g)


def assert_same(first: CrystalBatch, second: CrystalBatch, tolerance: float = 1e-8) -> None:
    """The same description of the same crystals, lattice translations of single atoms aside."""
    torch.testing.assert_close(first.cell, second.cell, rtol=1e-11, atol=tolerance)
    apart = first.frac - second.frac
    torch.testing.assert_close(apart - apart.round(), torch.zeros_like(apart), rtol=0, atol=tolerance)
    assert torch.equal(first.numbers, second.numbers)


def assert_same_cloud(
    before: CrystalBatch, after: CrystalBatch, orthogonal: np.ndarray, shift: np.ndarray, rng: np.random.Generator
) -> None:
    """All atoms in a ball, moved by x -> Q x + shift, are the atoms in the moved ball, species included."""
    radius, margin = 6.0 + rng.random(), 1e-5
    atom = rng.integers(before.n_atoms)
    centre = before.frac.numpy()[atom] @ before.cell[0].numpy() + rng.normal(0, 1, 3)
    moved_centre = orthogonal @ centre + shift
    for here, there in ((radius, radius + margin), (radius + margin, radius)):
        positions, numbers = ball(before, centre, here)
        moved, moved_numbers = ball(after, moved_centre, there)
        expected = positions @ orthogonal.T + shift
        if here > there:
            expected, numbers, moved, moved_numbers = moved, moved_numbers, expected, numbers
        assert len(expected) > 0
        distance, match = KDTree(moved).query(expected)
        assert distance.max() < margin
        assert len(np.unique(match)) == len(match)
        np.testing.assert_array_equal(moved_numbers[match], numbers)


@given(seed=SEEDS)
def test_rotations_move_the_point_cloud(seed: int) -> None:
    q = symmetry.random_orthogonal(N, torch.Generator().manual_seed(seed))
    moved = symmetry.rotate(ALL, q)
    rng = np.random.default_rng(seed)
    for i in range(N):
        assert_same_cloud(single(i), single(i, moved), q[i].numpy(), np.zeros(3), rng)


@given(seed=SEEDS)
def test_translations_move_the_point_cloud(seed: int) -> None:
    v = symmetry.random_translation(N, torch.Generator().manual_seed(seed))
    moved = symmetry.translate(ALL, v)
    rng = np.random.default_rng(seed)
    for i in range(N):
        assert_same_cloud(single(i), single(i, moved), np.eye(3), v[i].numpy(), rng)


@given(seed=SEEDS, factors=st.integers(0, 8), largest=st.integers(1, 3))
def test_permutations_and_changes_of_basis_keep_the_point_cloud(seed: int, factors: int, largest: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    permuted = symmetry.permute(ALL, symmetry.random_permutation(ALL, generator))
    g = symmetry.random_unimodular(N, generator, factors, largest)
    skewed = symmetry.change_basis(ALL, g)
    rng = np.random.default_rng(seed)
    for i in range(N):
        assert_same_cloud(single(i), single(i, permuted), np.eye(3), np.zeros(3), rng)
        assert_same_cloud(single(i), single(i, skewed), np.eye(3), np.zeros(3), rng)


def test_the_comparison_of_clouds_sees_a_moved_atom_and_a_swapped_species() -> None:
    rng = np.random.default_rng(0)
    frac, numbers = PEROVSKITE.frac.clone(), PEROVSKITE.numbers.clone()
    frac[1, 0] += 1e-3
    numbers[[0, 1]] = numbers[[1, 0]]
    for wrong in (
        CrystalBatch(cell=PEROVSKITE.cell, frac=frac, numbers=PEROVSKITE.numbers, batch=PEROVSKITE.batch),
        CrystalBatch(cell=PEROVSKITE.cell, frac=PEROVSKITE.frac, numbers=numbers, batch=PEROVSKITE.batch),
    ):
        with pytest.raises(AssertionError):
            assert_same_cloud(PEROVSKITE, wrong, np.eye(3), np.zeros(3), rng)


def test_marks_of_fixed_atoms_are_carried_along(generator: torch.Generator) -> None:
    fixed = torch.rand(ALL.n_atoms, generator=generator) < 0.5
    held = replace(ALL, fixed_frac=fixed[:, None].expand(-1, 3)).fixing("cell")
    order, g = symmetry.random_permutation(ALL, generator), symmetry.random_unimodular(N, generator)
    assert torch.equal(symmetry.permute(held, order).fixed_frac, held.fixed_frac[order])
    assert torch.equal(symmetry.change_basis(held, g).fixed_frac, held.fixed_frac)
    assert symmetry.change_basis(held, g).fixed_cell.all()
    partly = replace(ALL, fixed_frac=fixed[:, None] & torch.tensor([True, True, False]))
    with pytest.raises(ValueError, match="keep the basis"):
        symmetry.change_basis(partly, g)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("O(3)", "S_n"),
        ("O(3)", "SL3(Z)"),
        ("translation", "S_n"),
        ("translation", "SL3(Z)"),
        ("S_n", "SL3(Z)"),
    ],
)
def test_the_groups_commute(first: str, second: str, generator: torch.Generator) -> None:
    for _ in range(5):
        one, other = draw(first, generator), draw(second, generator)
        assert_same(one(other(ALL)), other(one(ALL)))


def test_rotations_and_translations_compose_as_a_semidirect_product(generator: torch.Generator) -> None:
    q, v = symmetry.random_orthogonal(N, generator), symmetry.random_translation(N, generator)
    rotated = (q @ v.unsqueeze(-1)).squeeze(-1)
    assert_same(symmetry.rotate(symmetry.translate(ALL, v), q), symmetry.translate(symmetry.rotate(ALL, q), rotated))
    with pytest.raises(AssertionError):
        assert_same(symmetry.rotate(symmetry.translate(ALL, v), q), symmetry.translate(symmetry.rotate(ALL, q), v))


def test_actions_of_products_are_products_of_actions(generator: torch.Generator) -> None:
    q, r = (symmetry.random_orthogonal(N, generator) for _ in range(2))
    assert_same(symmetry.rotate(symmetry.rotate(ALL, q), r), symmetry.rotate(ALL, r @ q))
    v, w = (symmetry.random_translation(N, generator) for _ in range(2))
    assert_same(symmetry.translate(symmetry.translate(ALL, v), w), symmetry.translate(ALL, v + w))
    g, h = (symmetry.random_unimodular(N, generator) for _ in range(2))
    assert_same(symmetry.change_basis(symmetry.change_basis(ALL, g), h), symmetry.change_basis(ALL, h @ g))


def test_change_of_basis_agrees_with_the_paper(generator: torch.Generator) -> None:
    g = symmetry.random_unimodular(N, generator, factors=8, largest=3)
    moved = symmetry.change_basis(ALL, g)
    for i, name in enumerate(ZOO):
        rho, unimodular = ALL.cell[i].numpy().T, g[i].numpy()
        np.testing.assert_allclose(moved.cell[i].numpy().T, rho @ np.linalg.inv(unimodular), atol=1e-8, err_msg=name)
    before = (ALL.frac.unsqueeze(1) @ g[ALL.batch].mT.to(torch.float64)).squeeze(1)
    apart = before - moved.frac
    torch.testing.assert_close(apart, apart.round(), rtol=0, atol=1e-12)
    assert bool(((moved.frac >= 0) & (moved.frac < 1)).all())


def test_random_orthogonal_is_uniform(generator: torch.Generator) -> None:
    q = symmetry.random_orthogonal(4000, generator)
    torch.testing.assert_close(q @ q.mT, torch.eye(3, dtype=torch.float64).expand_as(q), rtol=0, atol=1e-13)
    determinant = torch.linalg.det(q)
    assert abs(float(determinant.mean())) < 4 / 4000**0.5
    # Every entry of a uniform element has mean 0, second moment 1/3 and fourth moment 1/5.
    assert float(q.mean(0).abs().max()) < 0.05
    assert float((q.square().mean(0) - 1 / 3).abs().max()) < 0.03
    assert float((q**4).mean(0).sub(1 / 5).abs().max()) < 0.03


def test_random_unimodular_has_determinant_one_and_grows_skewed(generator: torch.Generator) -> None:
    mild = symmetry.random_unimodular(200, generator, factors=2, largest=1)
    skewed = symmetry.random_unimodular(200, generator, factors=8, largest=3)
    for g in (mild, skewed):
        assert g.dtype == torch.int64
        assert bool((torch.linalg.det(g.to(torch.float64)).round() == 1).all())
    assert int(mild.abs().max()) <= 2
    assert int(skewed.abs().max()) > 50
    assert len(torch.unique(skewed, dim=0)) > 190
    nothing = symmetry.random_unimodular(3, generator, factors=0)
    assert torch.equal(nothing, torch.eye(3, dtype=torch.int64).expand(3, 3, 3))


def test_random_permutation_stays_within_structures(generator: torch.Generator) -> None:
    orders = torch.stack([symmetry.random_permutation(ALL, generator) for _ in range(50)])
    assert bool((ALL.batch[orders] == ALL.batch).all())
    assert bool((orders.sort(dim=1).values == torch.arange(ALL.n_atoms)).all())
    assert len(torch.unique(orders, dim=0)) > 45


def test_wrong_elements_are_refused() -> None:
    crystals = zoo("hcp", "perovskite")
    with pytest.raises(ValueError, match="between structures"):
        symmetry.permute(crystals, torch.tensor([2, 1, 0, 3, 4, 5, 6]))
    with pytest.raises(ValueError, match="not a permutation"):
        symmetry.permute(crystals, torch.tensor([0, 0, 2, 3, 4, 5, 6]))
    for diagonal in ([1, 1, -1], [2, 1, 1], [0, 0, 0]):
        g = torch.diag(torch.tensor(diagonal)).repeat(2, 1, 1)
        with pytest.raises(ValueError, match="determinant 1"):
            symmetry.change_basis(crystals, g)
