"""Gradient fields against finite differences of what they are gradients of, and at collinear legs."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from empnn.fields import TripletField
from empnn.fields.gradient import ANGLE, AREA, COLLINEAR, FIRST_LENGTH, LENGTH, SECOND_LENGTH

Vectors = np.ndarray
STEP = 1e-5


def _angle(v: Vectors, w: Vectors) -> Vectors:
    return np.arctan2(np.linalg.norm(np.cross(v, w), axis=-1), (v * w).sum(-1))


def _area(v: Vectors, w: Vectors) -> Vectors:
    return np.linalg.norm(np.cross(v, w), axis=-1) / 2


def _legs(generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Both legs of triplets whose angle is between 15 and 165 degrees."""
    v, w = 3 * torch.randn(2, 80, 3, dtype=torch.float64, generator=generator)
    keep = np.sin(_angle(v.numpy(), w.numpy())) > 0.25
    assert keep.sum() > 40
    return v[keep], w[keep]


def _differences(quantity: Callable[[Vectors, Vectors], Vectors], v: Tensor, w: Tensor) -> Tensor:
    """d/dE f((I + E) v, (I + E) v') for the nine entries of E, by central differences."""
    result = np.empty((len(v), 3, 3))
    for row in range(3):
        for column in range(3):
            unit = np.zeros((3, 3))
            unit[row, column] = STEP
            ahead, behind = (
                quantity(v.numpy() @ (np.eye(3) + e).T, w.numpy() @ (np.eye(3) + e).T) for e in (unit, -unit)
            )
            result[:, row, column] = (ahead - behind) / (2 * STEP)
    return torch.from_numpy(result)


def _floored(v: Tensor, w: Tensor) -> Tensor:
    """What the floor in the denominator makes of a field, s / sqrt(s^2 + eps^2)."""
    sine = torch.from_numpy(np.sin(_angle(v.numpy(), w.numpy())))
    return (sine / torch.hypot(sine, torch.full_like(sine, COLLINEAR)))[:, None, None]


QUANTITIES: dict[str, tuple[Callable[[Tensor, Tensor], Tensor], Callable[[Vectors, Vectors], Vectors], bool]] = {
    "r of edges": (lambda v, _: LENGTH(v), lambda v, _: np.linalg.norm(v, axis=-1), False),
    "r": (FIRST_LENGTH, lambda v, _: np.linalg.norm(v, axis=-1), False),
    "r'": (SECOND_LENGTH, lambda _, w: np.linalg.norm(w, axis=-1), False),
    "theta": (ANGLE, _angle, True),
    "area": (AREA, _area, True),
}


@pytest.mark.parametrize("name", QUANTITIES)
def test_fields_are_the_derivatives_along_all_nine_directions(name: str, generator: torch.Generator) -> None:
    field, quantity, floored = QUANTITIES[name]
    v, w = _legs(generator)
    expected = _differences(quantity, v, w) * (_floored(v, w) if floored else 1)
    torch.testing.assert_close(field(v, w), expected, rtol=1e-7, atol=1e-7)
    assert float(expected.abs().max()) > 0.5


@pytest.mark.parametrize("name", QUANTITIES)
def test_derivatives_along_rotations_are_0(name: str, generator: torch.Generator) -> None:
    """So `grad-*` and `gradsym-*` are the same functions."""
    matrices = _differences(QUANTITIES[name][1], *_legs(generator))
    torch.testing.assert_close(matrices, matrices.mT, rtol=0, atol=1e-7)


def test_norms_in_closed_form(generator: torch.Generator) -> None:
    v, w = _legs(generator)
    sine = torch.from_numpy(np.sin(_angle(v.numpy(), w.numpy())))
    floor = _floored(v, w)[:, 0, 0]
    torch.testing.assert_close(torch.linalg.matrix_norm(ANGLE(v, w)), 2**0.5 * sine * floor)
    area = torch.from_numpy(_area(v.numpy(), w.numpy()))
    torch.testing.assert_close(torch.linalg.matrix_norm(AREA(v, w)), 2**0.5 * area * floor)
    torch.testing.assert_close(torch.linalg.matrix_norm(LENGTH(v)), torch.linalg.vector_norm(v, dim=-1))


def test_what_the_fields_do_to_the_triangle(generator: torch.Generator) -> None:
    v, w = _legs(generator)
    area = AREA(v, w)
    normal = torch.linalg.cross(v, w).unsqueeze(-1)
    torch.testing.assert_close(area @ normal, torch.zeros_like(normal), rtol=0, atol=1e-9)
    size = torch.from_numpy(_area(v.numpy(), w.numpy()))[:, None, None] * _floored(v, w)
    torch.testing.assert_close(area @ v.unsqueeze(-1), size * v.unsqueeze(-1))
    angle = ANGLE(v, w)
    trace = angle.diagonal(dim1=-2, dim2=-1).sum(-1)
    torch.testing.assert_close(trace, torch.zeros_like(trace), rtol=0, atol=1e-12)
    torch.testing.assert_close(angle, ANGLE(w, v))
    torch.testing.assert_close(angle, ANGLE(2 * v, 5 * w))


def _nearly_collinear(bend: float, opposite: bool, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    along = torch.tensor([[0.48, 0.6, 0.64]], dtype=torch.float64)
    across = torch.tensor([[0.8, 0.0, -0.6]], dtype=torch.float64)
    second = (-1.0 if opposite else 1.0) * (np.cos(bend) * along + np.sin(bend) * across)
    return (2.3 * along).to(dtype), (3.1 * second).to(dtype)


@pytest.mark.parametrize("opposite", [False, True])
@pytest.mark.parametrize("field", [ANGLE, AREA])
def test_fields_tend_to_0_at_collinear_legs(field: TripletField, opposite: bool) -> None:
    for bend in (0.0, 1e-12, 1e-8):
        assert float(field(*_nearly_collinear(bend, opposite)).abs().max()) < 1e-11
    sizes = [float(field(*_nearly_collinear(10.0**-n, opposite)).norm()) for n in range(1, 7)]
    assert sizes == sorted(sizes, reverse=True)
    assert 0.1 < sizes[0] / 10**-1 < 10
    assert sizes[-1] < 1e-8


@pytest.mark.parametrize("opposite", [False, True])
@pytest.mark.parametrize("bend", [0.0, 1e-12, 1e-8, 1e-4, 1e-2])
@pytest.mark.parametrize("field", [ANGLE, AREA])
def test_gradients_of_the_fields_are_right_at_collinear_legs(field: TripletField, bend: float, opposite: bool) -> None:
    legs = [leg.requires_grad_() for leg in _nearly_collinear(bend, opposite)]
    assert torch.autograd.gradcheck(field, legs, atol=1e-4)


@pytest.mark.parametrize("opposite", [False, True])
@pytest.mark.parametrize("bend", [0.0, 1e-8, 1e-3])
@pytest.mark.parametrize("field", [ANGLE, AREA])
def test_single_precision_is_enough(field: TripletField, bend: float, opposite: bool) -> None:
    legs = [leg.requires_grad_() for leg in _nearly_collinear(bend, opposite, torch.float32)]
    value = field(*legs)
    exact = field(*_nearly_collinear(bend, opposite))
    torch.testing.assert_close(value.double(), exact, rtol=0, atol=2e-3)
    value.square().sum().backward()
    assert all(bool(torch.isfinite(leg.grad).all()) for leg in legs)
