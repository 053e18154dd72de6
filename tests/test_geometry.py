import ase.cell
import numpy as np
import pytest
import scipy.linalg
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from pymatgen.core import Lattice
from support.zoo import ALL, LEFT_HANDED

from empnn import symmetry
from empnn.geometry import (
    angle,
    cell_from_parameters,
    hencky_strain,
    lattice_parameters,
    metric_tensor,
    polar_factor,
    turned,
    volume,
)

LENGTHS = st.floats(1.0, 200.0)
ANGLES = st.floats(20.0, 160.0)


def _tensor(*values: object) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def _random_actions(n: int, generator: torch.Generator) -> torch.Tensor:
    """Elements of GL3(R) of both signs of the determinant."""
    return torch.randn(n, 3, 3, dtype=torch.float64, generator=generator)


def test_lattice_parameters_are_those_of_pymatgen_and_ase() -> None:
    ours = lattice_parameters(ALL.cell).numpy()
    for row, cell in zip(ours, ALL.cell.numpy(), strict=True):
        np.testing.assert_allclose(row, Lattice(cell).parameters, rtol=1e-10, atol=1e-8)
        np.testing.assert_allclose(row, ase.cell.Cell(cell).cellpar(), rtol=1e-10, atol=1e-8)


def test_lattice_parameters_in_closed_form() -> None:
    cell = _tensor([[1, 0, 0], [1, 1, 0], [0, 0, 2]])
    torch.testing.assert_close(lattice_parameters(cell), _tensor([1, 2**0.5, 2, 90, 90, 45]))


@given(lengths=st.tuples(LENGTHS, LENGTHS, LENGTHS), angles=st.tuples(ANGLES, ANGLES, ANGLES))
def test_cell_from_parameters_is_the_one_of_pymatgen(
    lengths: tuple[float, float, float], angles: tuple[float, float, float]
) -> None:
    cosines = np.cos(np.deg2rad(angles))
    assume(1 - (cosines**2).sum() + 2 * cosines.prod() > 2e-3)
    cell = cell_from_parameters(_tensor([*lengths, *angles]))
    expected = Lattice.from_parameters(*lengths, *angles).matrix
    np.testing.assert_allclose(cell[0].numpy(), expected, atol=1e-8 * max(lengths))
    torch.testing.assert_close(lattice_parameters(cell), _tensor([*lengths, *angles]), rtol=1e-9, atol=0)
    assert float(torch.linalg.det(cell)) > 0


def test_cell_from_parameters_undoes_lattice_parameters_up_to_a_rotation() -> None:
    again = cell_from_parameters(lattice_parameters(ALL.select([0, 1, 2, 3, 4, 5, 6, 8, 9]).cell))
    original = ALL.select([0, 1, 2, 3, 4, 5, 6, 8, 9]).cell
    torch.testing.assert_close(metric_tensor(again), metric_tensor(original), rtol=1e-9, atol=1e-9)
    action = torch.linalg.solve(original, again).mT
    orthogonal = action @ action.mT
    torch.testing.assert_close(orthogonal, torch.eye(3, dtype=torch.float64).expand_as(orthogonal), rtol=0, atol=1e-8)


@pytest.mark.parametrize("angles", [(10, 100, 100), (120, 120, 120), (150, 150, 150), (90, 90, 179.9)])
def test_impossible_angles_give_a_flat_cell_with_finite_gradients(angles: tuple[float, float, float]) -> None:
    parameters = _tensor([3.0, 4.0, 5.0, *angles]).requires_grad_()
    cell = cell_from_parameters(parameters)
    assert bool(torch.isfinite(cell).all())
    assert float(volume(cell.detach())) > 0.03 * 60 * 0.99
    cell.square().sum().backward()
    assert bool(torch.isfinite(parameters.grad).all())


@pytest.mark.parametrize("theta", [0.0, 1e-12, 1e-9, 1e-4, 1.0, np.pi / 2, np.pi - 1e-4, np.pi - 1e-9, np.pi])
def test_angles_are_accurate_where_acos_is_not(theta: float) -> None:
    # The second vector is written down by its small deviation from the axis, which is exact.
    away = min(theta, np.pi - theta)
    along = np.cos(away) if theta <= np.pi / 2 else -np.cos(away)
    result = float(angle(_tensor([2.0, 0, 0]), _tensor([3 * along, 3 * np.sin(away), 0])))
    assert result == pytest.approx(theta, rel=1e-14, abs=1e-30)
    if theta > np.pi / 2:
        assert np.pi - result == pytest.approx(away, rel=1e-5, abs=1e-15)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_the_gradient_of_the_angle_is_finite_for_collinear_vectors(sign: float) -> None:
    first = _tensor([1.0, 2.0, -0.5]).requires_grad_()
    second = (sign * 1.5 * first.detach()).requires_grad_()
    angle(first, second).sum().backward()
    assert bool(torch.isfinite(first.grad).all())
    assert bool(torch.isfinite(second.grad).all())


def test_the_gradient_of_the_angle_is_right_everywhere_else() -> None:
    first, second = _tensor([1.0, 0.2, 0.1]).requires_grad_(), _tensor([-0.3, 0.7, 0.5]).requires_grad_()
    assert torch.autograd.gradcheck(angle, (first, second))
    near = _tensor([1.0, 1e-7, 0.0]).requires_grad_()
    (gradient,) = torch.autograd.grad(angle(near, _tensor([1.0, 0, 0])).sum(), near)
    torch.testing.assert_close(gradient, _tensor([-1e-7, 1.0, 0.0]), rtol=1e-9, atol=1e-13)


def test_metric_tensor_and_volume() -> None:
    for index, cell in enumerate(ALL.cell.numpy()):
        np.testing.assert_allclose(metric_tensor(ALL.cell)[index].numpy(), Lattice(cell).metric_tensor, atol=1e-9)
        assert float(volume(ALL.cell)[index]) == pytest.approx(Lattice(cell).volume, rel=1e-9)
    assert float(torch.linalg.det(LEFT_HANDED.cell)) < 0 < float(volume(LEFT_HANDED.cell))


def test_invariance_under_rotations_and_reflections(generator: torch.Generator) -> None:
    rotated = ALL.cell @ symmetry.random_orthogonal(len(ALL), generator).mT
    for function in (lattice_parameters, metric_tensor, volume):
        torch.testing.assert_close(function(rotated), function(ALL.cell), rtol=1e-9, atol=1e-9)


def test_what_a_change_of_basis_does(generator: torch.Generator) -> None:
    g = symmetry.random_unimodular(len(ALL), generator)
    moved = symmetry.change_basis(ALL, g).cell
    torch.testing.assert_close(volume(moved), volume(ALL.cell), rtol=1e-9, atol=0)
    inverse = torch.linalg.inv(g.to(torch.float64))
    expected = inverse.mT @ metric_tensor(ALL.cell) @ inverse
    torch.testing.assert_close(metric_tensor(moved), expected, rtol=1e-9, atol=1e-7)
    assert not torch.allclose(lattice_parameters(moved), lattice_parameters(ALL.cell), rtol=0.01)


def test_polar_factor_is_the_one_of_scipy(generator: torch.Generator) -> None:
    actions = _random_actions(50, generator)
    stretch = polar_factor(actions)
    for h, p in zip(actions.numpy(), stretch.numpy(), strict=True):
        np.testing.assert_allclose(p, scipy.linalg.polar(h, side="right")[1], atol=1e-12)
    torch.testing.assert_close(stretch, stretch.mT, rtol=0, atol=1e-14)
    assert bool((torch.linalg.eigvalsh(stretch) > 0).all())


def test_the_polar_factor_gives_the_same_metric_tensor_without_the_rotation(generator: torch.Generator) -> None:
    n = len(ALL)
    h, q = _random_actions(n, generator), symmetry.random_orthogonal(n, generator)
    stretch = polar_factor(h)
    torch.testing.assert_close(metric_tensor(ALL.cell @ stretch), metric_tensor(ALL.cell @ h.mT), rtol=1e-10, atol=1e-8)
    torch.testing.assert_close(polar_factor(q @ h), stretch)
    torch.testing.assert_close(polar_factor(h @ q.mT), q @ stretch @ q.mT)
    torch.testing.assert_close(polar_factor(stretch), stretch)


def test_hencky_strain_is_the_logarithm_of_scipy(generator: torch.Generator) -> None:
    stretch = polar_factor(_random_actions(20, generator))
    strain = hencky_strain(stretch)
    for p, e in zip(stretch.numpy(), strain.numpy(), strict=True):
        np.testing.assert_allclose(e, scipy.linalg.logm(p), atol=1e-10)
    torch.testing.assert_close(torch.linalg.matrix_exp(strain), stretch)
    identity = torch.eye(3, dtype=torch.float64)
    assert float(hencky_strain(identity).abs().max()) < 1e-15
    doubled = torch.diag(_tensor(2.0, 1.0, 0.5))
    torch.testing.assert_close(hencky_strain(doubled).diagonal(), _tensor(2.0, 1.0, 0.5).log())


def test_the_strain_between_a_turned_cell_and_the_other_is_symmetric() -> None:
    generator = torch.Generator().manual_seed(3)
    cell, onto = (_random_actions(50, generator) for _ in range(2))
    found = turned(cell, onto)
    strain = torch.linalg.solve(found, onto)
    torch.testing.assert_close(strain, strain.mT, rtol=0, atol=1e-9 * float(strain.abs().max()))
    assert torch.linalg.eigvalsh(strain).min() > 0
    torch.testing.assert_close(metric_tensor(found), metric_tensor(cell))
    rotation = symmetry.random_orthogonal(50, generator)
    torch.testing.assert_close(turned(cell @ rotation, onto), found, rtol=1e-7, atol=1e-9)
