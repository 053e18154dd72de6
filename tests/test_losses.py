import numpy as np
import pytest
import scipy.linalg
import torch
from support.zoo import ALL

from empnn import symmetry
from empnn.corruption.strain import with_fixed_noise
from empnn.geometry import lattice_parameters
from empnn.losses import (
    LOSSES,
    ParameterScale,
    metric_mae,
    metric_mse,
    param_mae,
    param_mse,
    position_mae,
    riemann,
    trace_as_printed,
)

SCALE = ParameterScale.of(ALL.cell)
NOISY = with_fixed_noise(ALL, 0.1, seed=0).cell
DISTANCES = [name for name in LOSSES if name != "trace_as_printed"]


def _boxes(*lengths: tuple[float, float, float]) -> torch.Tensor:
    return torch.diag_embed(torch.tensor(lengths, dtype=torch.float64))


def _scale(deviation: list[float]) -> ParameterScale:
    return ParameterScale(
        torch.tensor([5.0, 5, 5, 90, 90, 90], dtype=torch.float64), torch.tensor(deviation, dtype=torch.float64)
    )


def test_losses_on_lattice_parameters_by_hand() -> None:
    scale = _scale([0.5, 1.0, 2.0, 10, 10, 10])
    predicted, relaxed = _boxes((4, 5, 6), (3, 3, 3)), _boxes((5, 5, 5), (3, 4, 3))
    # Residuals: -1/0.5, 0, 1/2 and 0, -1/1, 0.
    assert float(param_mae(predicted, relaxed, scale)) == pytest.approx((2 + 0.5 + 1) / 2)
    assert float(param_mse(predicted, relaxed, scale)) == pytest.approx((4 + 0.25 + 1) / 2)


def test_angles_count_in_units_of_their_deviation() -> None:
    sheared = torch.tensor([[[2.0, 0, 0], [2.0 * np.cos(np.deg2rad(80)), 2 * np.sin(np.deg2rad(80)), 0], [0, 0, 2]]])
    sheared = sheared.to(torch.float64)
    scale = _scale([1, 1, 1, 3, 4, 5])
    assert float(param_mae(sheared, _boxes((2, 2, 2)), scale)) == pytest.approx(10 / 5, rel=1e-6)
    assert float(param_mse(sheared, _boxes((2, 2, 2)), scale)) == pytest.approx(4.0, rel=1e-6)


def test_the_scale_is_mean_and_deviation_of_the_lattice_parameters() -> None:
    parameters = lattice_parameters(ALL.cell).numpy()
    np.testing.assert_allclose(SCALE.mean.numpy(), parameters.mean(0))
    np.testing.assert_allclose(SCALE.deviation.numpy(), parameters.std(0))
    normalised = SCALE.normalise(lattice_parameters(ALL.cell))
    np.testing.assert_allclose(normalised.mean(0).numpy(), 0, atol=1e-12)
    np.testing.assert_allclose(normalised.std(0, correction=0).numpy(), 1)


def test_parameters_that_do_not_vary_have_a_floor() -> None:
    scale = ParameterScale.of(_boxes((4, 4, 4), (4, 5, 4.01)))
    np.testing.assert_allclose(scale.deviation.numpy(), [0.1, 0.5, 0.1, 2, 2, 2])
    alone = ParameterScale.of(_boxes((4, 5, 6)))
    np.testing.assert_allclose(alone.deviation.numpy(), [0.1] * 3 + [2.0] * 3)
    wrong = with_fixed_noise(ALL.select([4]), 0.01, seed=0).cell
    assert float(param_mse(wrong, ALL.cell[4:5], ParameterScale.of(ALL.cell[4:5]))) < 10


def test_normalise_keeps_the_precision_it_is_given() -> None:
    assert SCALE.normalise(torch.zeros(2, 6)).dtype == torch.float32


@pytest.mark.parametrize("name", DISTANCES)
def test_losses_vanish_at_the_target_only(name: str) -> None:
    assert float(LOSSES[name](ALL.cell, ALL.cell, SCALE)) == 0.0
    losses = [float(LOSSES[name](NOISY[i : i + 1], ALL.cell[i : i + 1], SCALE)) for i in range(len(ALL))]
    assert min(losses) > 1e-4
    assert float(LOSSES[name](NOISY, ALL.cell, SCALE)) == pytest.approx(np.mean(losses))


@pytest.mark.parametrize("name", LOSSES)
def test_losses_are_invariant_under_rotations_and_reflections_of_either_cell(
    name: str, generator: torch.Generator
) -> None:
    q, r = (symmetry.random_orthogonal(len(ALL), generator) for _ in range(2))
    expected = float(LOSSES[name](NOISY, ALL.cell, SCALE))
    assert float(LOSSES[name](NOISY @ q.mT, ALL.cell @ r.mT, SCALE)) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("name", LOSSES)
def test_gradients_are_right(name: str) -> None:
    predicted = NOISY[4:6].clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda cell: LOSSES[name](cell, ALL.cell[4:6], SCALE), predicted)


@pytest.mark.parametrize("name", DISTANCES)
def test_gradients_are_0_at_the_target(name: str) -> None:
    at_target = ALL.cell.clone().requires_grad_()
    LOSSES[name](at_target, ALL.cell, SCALE).backward()
    assert float(at_target.grad.abs().max()) == 0.0


@pytest.mark.parametrize("name", LOSSES)
def test_gradients_are_finite_for_a_flat_cell(name: str) -> None:
    flat = torch.tensor([[[1.0, 0, 0], [2.0, 0, 0], [0, -1.0, 0]]], dtype=torch.float64, requires_grad=True)
    LOSSES[name](flat, ALL.cell[:1], SCALE).backward()
    assert bool(torch.isfinite(flat.grad).all())


def test_losses_on_the_metric_by_hand() -> None:
    sheared = torch.tensor([[[2.0, 0, 0], [1.0, 3.0, 0], [0, 0, 1.0]]], dtype=torch.float64)
    # Metrics [[4, 2, 0], [2, 10, 0], [0, 0, 1]] and diag(4, 9, 4): residuals 2 twice, 1 and -3.
    assert float(metric_mae(sheared, _boxes((2, 3, 2)), SCALE)) == pytest.approx(2 + 2 + 1 + 3)
    assert float(metric_mse(sheared, _boxes((2, 3, 2)), SCALE)) == pytest.approx(4 + 4 + 1 + 9)


def test_riemann_is_four_times_the_squared_logarithmic_stretches(generator: torch.Generator) -> None:
    logarithms = torch.tensor([[0.1, -0.2, 0.05], [0.0, 0.3, 0.3]], dtype=torch.float64)
    stretch = torch.diag_embed(logarithms.exp())
    # Eigenvalues of the metric are squares of the stretches, so its logarithms are doubled.
    expected = 4 * logarithms.square().sum(-1).mean()
    torch.testing.assert_close(
        riemann(_boxes((4, 5, 6), (3, 3, 3)) @ stretch, _boxes((4, 5, 6), (3, 3, 3)), SCALE), expected
    )
    q = symmetry.random_orthogonal(2, generator)
    torch.testing.assert_close(riemann(ALL.cell[4:6] @ q @ stretch @ q.mT, ALL.cell[4:6], SCALE), expected)


def test_riemann_is_the_logarithm_of_scipy() -> None:
    expected = []
    for before, after in zip(ALL.cell.numpy(), NOISY.numpy(), strict=True):
        root = np.linalg.inv(scipy.linalg.sqrtm(before @ before.T))
        expected.append(np.square(scipy.linalg.logm(root @ after @ after.T @ root)).sum())
    assert min(expected) > 0.01
    assert float(riemann(NOISY, ALL.cell, SCALE)) == pytest.approx(np.mean(expected), rel=1e-6)


def test_riemann_is_symmetric_and_does_not_see_a_common_basis(generator: torch.Generator) -> None:
    expected = float(riemann(NOISY, ALL.cell, SCALE))
    assert float(riemann(ALL.cell, NOISY, SCALE)) == pytest.approx(expected, rel=1e-9)
    basis = symmetry.random_unimodular(len(ALL), generator, 6, 2).to(torch.float64)
    assert float(basis.abs().max()) > 5
    assert float(riemann(basis @ NOISY, basis @ ALL.cell, SCALE)) == pytest.approx(expected, rel=1e-8)
    assert float(riemann(basis @ NOISY, ALL.cell, SCALE)) > 2 * expected


def test_riemann_is_differentiable_where_eigenvalues_are_equal() -> None:
    scaled = (1.1 * ALL.cell[4:6]).requires_grad_()
    assert torch.autograd.gradcheck(lambda cell: riemann(cell, ALL.cell[4:6], SCALE), scaled)
    axial = (ALL.cell[4:6] @ torch.diag(torch.tensor([1.2, 1.2, 0.9], dtype=torch.float64))).requires_grad_()
    assert torch.autograd.gradcheck(lambda cell: riemann(cell, ALL.cell[4:6], SCALE), axial)


def test_the_printed_trace_is_not_0_at_the_target_and_rewards_a_collapse() -> None:
    cubes = _boxes((2, 2, 2))
    assert float(trace_as_printed(cubes, cubes, SCALE)) == pytest.approx(3 * 4 * 4)
    losses = [float(trace_as_printed(s * ALL.cell, ALL.cell, SCALE)) for s in (1.1, 1.0, 0.9, 0.5, 0.01)]
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] == pytest.approx(1e-4 * losses[1])
    distances = [float(riemann(s * ALL.cell, ALL.cell, SCALE)) for s in (1.0, 0.9, 0.5, 0.01)]
    assert distances == sorted(distances)


def test_the_position_loss_is_the_mean_distance(generator: torch.Generator) -> None:
    residual = torch.randn(50, 3, dtype=torch.float64, generator=generator)
    expected = torch.linalg.vector_norm(residual, dim=1).mean()
    torch.testing.assert_close(position_mae(residual), expected, rtol=0, atol=2e-4)
    q = symmetry.random_orthogonal(1, generator)[0]
    torch.testing.assert_close(position_mae(residual @ q.T), position_mae(residual))


def test_the_position_loss_is_0_and_flat_at_the_target() -> None:
    residual = torch.zeros(4, 3, dtype=torch.float64, requires_grad=True)
    loss = position_mae(residual)
    (gradient,) = torch.autograd.grad(loss, residual)
    assert float(loss.detach()) == 0.0
    assert not gradient.any()
