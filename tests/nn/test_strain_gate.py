"""The gate scales the two parts of a strain by functions of invariants."""

import torch
from torch import Tensor

from empnn import symmetry
from empnn.nn.strain_gate import StrainGate

FEATURES = 6
IDENTITY = torch.eye(3, dtype=torch.float64)


def _matrices(scale: float, generator: torch.Generator) -> Tensor:
    return scale * torch.randn(20, 3, 3, dtype=torch.float64, generator=generator)


def _gate() -> StrainGate:
    torch.manual_seed(0)
    return StrainGate(FEATURES).double().requires_grad_(False)


def test_the_gate_scales_both_parts_by_factors_between_0_and_2(generator: torch.Generator) -> None:
    exponent, strain = _matrices(0.3, generator), _matrices(0.1, generator)
    features = torch.randn(20, FEATURES, dtype=torch.float64, generator=generator)
    gated = _gate()(exponent, strain, features)
    for before, after in zip(exponent, gated, strict=True):
        volume = after.trace() / before.trace()
        shape = (after - after.trace() / 3 * IDENTITY) / (before - before.trace() / 3 * IDENTITY)
        torch.testing.assert_close(shape, shape[0, 1].expand(3, 3), rtol=1e-7, atol=0)
        assert 0 < float(volume) < 2
        assert 0 < float(shape[0, 1]) < 2
    assert not torch.allclose(gated, _gate()(exponent, 2 * strain, features))
    assert not torch.allclose(gated, _gate()(exponent, strain, 2 * features))


def test_the_gate_is_equivariant_and_smooth_at_no_strain(generator: torch.Generator) -> None:
    exponent, strain = _matrices(0.3, generator), _matrices(0.1, generator)
    features, q = torch.zeros(20, FEATURES, dtype=torch.float64), symmetry.random_orthogonal(20, generator)
    gated = _gate()(exponent, strain, features)
    turned = _gate()(q @ exponent @ q.mT, q @ strain @ q.mT, features)
    torch.testing.assert_close(turned, q @ gated @ q.mT)
    nothing = torch.zeros(1, 3, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda s: _gate()(exponent[:1], s, features[:1]), nothing)
