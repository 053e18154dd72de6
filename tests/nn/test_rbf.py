import math

import torch

from empnn.nn.rbf import GaussianBasis


def test_gaussians_in_closed_form() -> None:
    basis = GaussianBasis(count=5, stop=8.0, width=0.5).double()
    distance = torch.tensor([0.0, 2.0, 2.7, 11.0], dtype=torch.float64)
    result = basis(distance)
    assert result.shape == (4, 5)
    for r, row in zip(distance.tolist(), result.tolist(), strict=True):
        expected = [math.exp(-((r - centre) ** 2) / (2 * 0.5**2)) for centre in (0, 2, 4, 6, 8)]
        torch.testing.assert_close(torch.tensor(row), torch.tensor(expected))


def test_it_has_nothing_to_learn_or_to_save() -> None:
    basis = GaussianBasis(8, 8.0, 0.25)
    assert list(basis.parameters()) == []
    assert basis.state_dict() == {}


def test_it_follows_the_precision_of_the_network() -> None:
    distance = torch.linspace(0, 8, 20)
    single = GaussianBasis(16, 8.0, 0.25)(distance)
    double = GaussianBasis(16, 8.0, 0.25).double()(distance.double())
    assert (single.dtype, double.dtype) == (torch.float32, torch.float64)
    torch.testing.assert_close(single.double(), double, rtol=0, atol=1e-5)


def test_gradients_are_right() -> None:
    basis = GaussianBasis(8, 8.0, 0.7).double()
    assert torch.autograd.gradcheck(basis, torch.tensor([0.0, 1.3, 7.9], dtype=torch.float64, requires_grad=True))
