import numpy as np
import pytest
import scipy.linalg
import torch
from jaxtyping import TypeCheckError
from support.zoo import ALL

from empnn.corruption.strain import fixed_displacement, fixed_strain, strain_cells, with_fixed_noise


def test_every_structure_has_its_own_generator() -> None:
    strains = fixed_strain(7, 0.05, seed=11)
    assert strains.dtype == torch.float64
    for index, strain in enumerate(strains):
        expected = np.random.default_rng([11, index]).normal(0.0, 0.05, (3, 3))
        np.testing.assert_array_equal(strain.numpy(), expected)


def test_a_deviation_of_nothing_has_no_sign() -> None:
    assert torch.equal(fixed_strain(3, -0.0, seed=1), torch.zeros(3, 3, 3, dtype=torch.float64))


def test_the_strain_is_the_matrix_exponential_of_scipy() -> None:
    strains = fixed_strain(len(ALL), 0.3, seed=0)
    strained = strain_cells(ALL.cell, strains)
    for cell, a, result in zip(ALL.cell.numpy(), strains.numpy(), strained.numpy(), strict=True):
        np.testing.assert_allclose(result, cell @ scipy.linalg.expm(a).T, rtol=1e-12, atol=1e-10)


def test_noise_does_not_depend_on_the_subset_nor_on_batching() -> None:
    whole = with_fixed_noise(ALL, 0.1, seed=3)
    first = with_fixed_noise(ALL.select(range(4)), 0.1, seed=3)
    assert torch.equal(first.cell, whole.cell[:4])
    again = torch.cat(
        [strain_cells(ALL.cell[i : i + 1], fixed_strain(i + 1, 0.1, seed=3)[i:]) for i in range(len(ALL))]
    )
    torch.testing.assert_close(again, whole.cell, rtol=1e-14, atol=1e-13)


def test_noise_moves_cells_only_and_keeps_their_handedness() -> None:
    noisy = with_fixed_noise(ALL, 0.2, seed=0)
    for name in ("frac", "numbers", "batch"):
        assert torch.equal(getattr(noisy, name), getattr(ALL, name))
    assert torch.equal(torch.linalg.det(noisy.cell).sign(), torch.linalg.det(ALL.cell).sign())
    assert float((noisy.cell - ALL.cell).abs().amax((1, 2)).min()) > 0.05


def test_the_entries_are_independent_and_normal() -> None:
    strains = fixed_strain(2000, 0.1, seed=1).reshape(2000, 9).numpy() / 0.1
    assert np.abs(strains.mean(0)).max() < 4 / 2000**0.5
    np.testing.assert_allclose(np.cov(strains.T), np.eye(9), atol=0.12)
    assert (strains**4).mean() == pytest.approx(3.0, abs=0.2)
    assert not np.allclose(fixed_strain(1, 0.1, seed=1), fixed_strain(1, 0.1, seed=2))


def test_no_noise_is_no_change() -> None:
    assert torch.equal(with_fixed_noise(ALL, 0.0, seed=5).cell, ALL.cell)
    assert fixed_strain(0, 0.1, seed=0).shape == (0, 3, 3)


def test_single_precision_is_refused() -> None:
    with pytest.raises(TypeCheckError):
        strain_cells(ALL.cell.to(torch.float32), fixed_strain(len(ALL), 0.1, seed=0))


def test_displacements_come_after_the_strain_from_the_same_generator() -> None:
    drawn = fixed_displacement(ALL, 0.07, seed=5)
    for index in range(len(ALL)):
        rng = np.random.default_rng([5, index])
        rng.normal(0.0, 0.1, (3, 3))
        own = rng.normal(0.0, 0.07, (int(ALL.sizes[index]), 3))
        np.testing.assert_allclose(drawn[ALL.batch == index].numpy(), own - own.mean(0), atol=1e-15)


def test_atoms_are_displaced_in_angstrom_before_the_strain() -> None:
    noisy = with_fixed_noise(ALL, 0.1, seed=3, positions=0.05)
    assert torch.equal(noisy.cell, with_fixed_noise(ALL, 0.1, seed=3).cell)
    moved = fixed_displacement(ALL, 0.05, seed=3)
    images = noisy.frac - ALL.frac - torch.einsum("ai,aij->aj", moved, torch.linalg.inv(ALL.cell)[ALL.batch])
    torch.testing.assert_close(images, images.round(), rtol=0, atol=1e-9)
    assert float(moved.abs().max()) > 0.05
    assert bool((noisy.frac >= 0).all() and (noisy.frac < 1).all())
    assert torch.equal(with_fixed_noise(ALL, 0.1, seed=3, positions=0.0).frac, ALL.frac)
