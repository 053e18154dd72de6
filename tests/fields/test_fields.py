"""Every field of Table 2 inherits the first tests; closed forms follow."""

import re

import pytest
import torch
from support.zoo import ALL, zoo

from empnn import symmetry
from empnn.fields import KETBRA, TABLE2, EdgeField
from empnn.graph import cutoff, knn
from empnn.testing import assert_equivariant

FIELDS = [pytest.param(field, id=f"{key}-{i}") for key, row in TABLE2.items() for i, field in enumerate(row.edges)]


def _vectors(n: int, generator: torch.Generator) -> torch.Tensor:
    return 3 * torch.randn(n, 3, dtype=torch.float64, generator=generator)


def test_keys_are_plain_names() -> None:
    assert all(re.fullmatch(r"[a-z0-9-]+", key) for key in TABLE2)


@pytest.mark.parametrize("field", FIELDS)
def test_fields_turn_with_the_vectors(field: EdgeField, generator: torch.Generator) -> None:
    v, q = _vectors(50, generator), symmetry.random_orthogonal(50, generator)
    turned = field((q @ v.unsqueeze(-1)).squeeze(-1))
    torch.testing.assert_close(turned, q @ field(v) @ q.mT, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("rule", [knn(8), cutoff(4.3)])
def test_fields_are_equivariant_on_crystals(field: EdgeField, rule: object) -> None:
    crystals = zoo("fcc", "hcp", "rocksalt", "diamond", "perovskite", "triclinic", "one-atom", "left-handed")
    assert_equivariant(lambda graph: field(graph.vectors), crystals, rule=rule, tolerance=1e-8)


@pytest.mark.parametrize("field", FIELDS)
def test_fields_are_finite_and_differentiable(field: EdgeField, generator: torch.Generator) -> None:
    assert isinstance(field.formula, str)
    v = _vectors(3, generator).requires_grad_()
    assert torch.autograd.gradcheck(field, v)
    assert bool(torch.isfinite(field(torch.zeros(1, 3, dtype=torch.float64))).all())
    assert field(v.detach().to(torch.float32)).dtype == torch.float32
    assert field(v[:0]).shape == (0, 3, 3)


def test_the_ket_bra_in_closed_form() -> None:
    v = torch.tensor([[3.0, 0, 4.0], [0, -2.0, 0]], dtype=torch.float64)
    expected = [[[0.36, 0, 0.48], [0, 0, 0], [0.48, 0, 0.64]], [[0, 0, 0], [0, 1, 0], [0, 0, 0]]]
    torch.testing.assert_close(KETBRA(v), torch.tensor(expected, dtype=torch.float64))


def test_the_ket_bra_is_the_projector_on_the_edge(generator: torch.Generator) -> None:
    v = _vectors(50, generator)
    field = KETBRA(v)
    torch.testing.assert_close(field @ field, field)
    torch.testing.assert_close(field, field.mT, rtol=0, atol=0)
    torch.testing.assert_close(field.diagonal(dim1=-2, dim2=-1).sum(-1), torch.ones(50, dtype=torch.float64))
    torch.testing.assert_close((field @ v.unsqueeze(-1)).squeeze(-1), v)
    torch.testing.assert_close(KETBRA(-7 * v), field)


def test_the_field_of_a_cubic_environment_is_isotropic() -> None:
    for index in (0, 2, 3):
        graph = knn(8)(ALL.select([index]))
        mean = KETBRA(graph.vectors).mean(0)
        torch.testing.assert_close(mean, torch.eye(3, dtype=torch.float64) / 3, rtol=0, atol=1e-9)
