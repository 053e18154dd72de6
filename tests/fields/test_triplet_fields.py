"""Every field on triplets inherits these tests; see test_fields.py for edges."""

import pytest
import torch
from support.zoo import zoo
from torch import Tensor

from empnn import symmetry
from empnn.fields import TABLE2, TRIPLET_FIELDS, TripletField
from empnn.graph import TRIPLETS, Graph, knn
from empnn.testing import assert_equivariant

IN_ROWS = {f"{key}-{i}": field for key, row in TABLE2.items() for i, field in enumerate(row.triplets)}
NEW = {name: field for name, field in IN_ROWS.items() if field not in TRIPLET_FIELDS.values()}
FIELDS = [pytest.param(field, id=name) for name, field in (TRIPLET_FIELDS | NEW).items()]
CRYSTALS = zoo("fcc", "rocksalt", "diamond", "perovskite", "triclinic", "one-atom", "left-handed")


def _legs(n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    first, second = 3 * torch.randn(2, n, 3, dtype=torch.float64, generator=generator)
    return first, second


@pytest.mark.parametrize("field", FIELDS)
def test_fields_turn_with_the_vectors(field: TripletField, generator: torch.Generator) -> None:
    v, w = _legs(50, generator)
    q = symmetry.random_orthogonal(50, generator)
    turned = field(*((q @ leg.unsqueeze(-1)).squeeze(-1) for leg in (v, w)))
    torch.testing.assert_close(turned, q @ field(v, w) @ torch.linalg.inv(q), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("triplets", TRIPLETS)
@pytest.mark.parametrize("field", FIELDS)
def test_fields_are_equivariant_on_crystals(field: TripletField, triplets: str) -> None:
    """Weighed by an invariant that is not the same for all, and summed per structure."""

    def total(graph: Graph) -> dict[str, Tensor]:
        found = TRIPLETS[triplets](graph)
        v, w = found.vectors(graph.vectors)
        weight = 1 / ((v + 2 * w).square().sum(-1) + 1)
        matrices = weight[:, None, None] * field(v, w)
        return {"action": torch.zeros(graph.n_structures, 3, 3, dtype=v.dtype).index_add(0, found.batch, matrices)}

    assert float(total(knn(4)(CRYSTALS))["action"].abs().max()) > 0.1
    assert_equivariant(total, CRYSTALS, rule=knn(4), tolerance=1e-8)


@pytest.mark.parametrize("field", FIELDS)
def test_fields_are_finite_and_differentiable(field: TripletField, generator: torch.Generator) -> None:
    assert isinstance(field.formula, str)
    legs = [leg.requires_grad_() for leg in _legs(3, generator)]
    assert torch.autograd.gradcheck(field, legs)
    single = field(*(leg.detach().to(torch.float32) for leg in legs))
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), field(*legs).detach(), rtol=1e-4, atol=1e-4)
    assert field(legs[0][:0], legs[1][:0]).shape == (0, 3, 3)


@pytest.mark.parametrize("opposite", [-1.0, 1.0])
@pytest.mark.parametrize("bend", [0.0, 1e-8])
@pytest.mark.parametrize("field", FIELDS)
def test_fields_are_finite_and_smooth_for_collinear_legs(field: TripletField, bend: float, opposite: float) -> None:
    v = torch.tensor([[1.3, 2.0, -0.4]], dtype=torch.float64)
    w = opposite * 1.5 * v + bend * torch.tensor([[2.0, -1.3, 0.0]], dtype=torch.float64)
    for dtype in (torch.float64, torch.float32):
        legs = [leg.to(dtype).requires_grad_() for leg in (v, w)]
        assert bool(torch.isfinite(field(*legs)).all())
        for jacobian in torch.autograd.functional.jacobian(field, tuple(legs)):
            assert float(jacobian.abs().max()) < 10
