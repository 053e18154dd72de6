"""One deformation from many edges, against a literal reading of equations 10, 16, 18 and 20."""

from dataclasses import dataclass

import pytest
import scipy.linalg
import torch
from support.field_weights import field_weights
from support.zoo import ZOO, supercell, zoo
from torch import Tensor
from torch.nn.functional import silu

from empnn import symmetry
from empnn.crystals import CrystalBatch
from empnn.fields import TABLE2
from empnn.graph import Graph, cutoff, knn
from empnn.nn.action import (
    EXPONENT_LIMIT,
    SUM_START,
    ActionSettings,
    CrystalAction,
    Reduction,
    exponential,
    first_order,
    limit_exponent,
)
from empnn.nn.message_passing import local_geometry
from empnn.nn.rbf import GaussianBasis
from empnn.testing import assert_equivariant

FEATURES, RADIAL = 6, 5
CRYSTALS = zoo("hcp", "perovskite", "triclinic", "one-atom", "left-handed")
BASIS = GaussianBasis(RADIAL, 6.0, 0.8).double()
EMBEDDING = torch.randn(119, FEATURES, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
SCALE = 0.02
IDENTITY = torch.eye(3, dtype=torch.float64)


@dataclass(frozen=True)
class Case:
    """Settings of a layer on one field; `strength` multiplies the initial weights, with which h is nearly I."""

    action: str = "first_order"
    reduction: Reduction = "mean"
    weight_limit: float | None = None
    gate: bool = False
    strength: float = 5.0


def _layer(case: Case) -> CrystalAction:
    torch.manual_seed(0)
    settings = ActionSettings(
        fields=TABLE2["ketbra-e"],
        action=case.action,
        reduction=case.reduction,
        scale=SCALE,
        weight_limit=case.weight_limit,
        gate=case.gate,
    )
    layer = CrystalAction(FEATURES, RADIAL, settings).double().requires_grad_(False)
    for weight in field_weights(layer):
        weight.mul_(case.strength / (SUM_START if case.reduction == "sum" else 1))
    return layer


def _apply(layer: CrystalAction, crystals: CrystalBatch, graph: Graph | None = None) -> Tensor:
    """h of the layer, as the first that deforms."""
    return _both(layer, crystals, graph)[0]


def _both(layer: CrystalAction, crystals: CrystalBatch, graph: Graph | None = None) -> tuple[Tensor, Tensor]:
    graph = knn(8)(crystals) if graph is None else graph
    strain = graph.vectors.new_zeros(len(crystals), 3, 3)
    geometry = local_geometry(graph, graph.vectors, BASIS)
    action = layer(EMBEDDING[crystals.numbers], geometry, strain)
    return action.lattice, action.strain


def _matrices(scale: float, generator: torch.Generator) -> Tensor:
    return scale * torch.randn(20, 3, 3, dtype=torch.float64, generator=generator)


def _size(action: Tensor) -> Tensor:
    """How far h is from the identity."""
    return torch.linalg.matrix_norm(action - IDENTITY)


@pytest.mark.parametrize("scale", [1e-12, 1e-3, 0.1, 1.0, 1e3, 1e150])
def test_the_limit_bounds_the_norm_and_keeps_the_direction(scale: float, generator: torch.Generator) -> None:
    exponent = _matrices(scale, generator)
    limited = limit_exponent(exponent)
    norm, before = torch.linalg.matrix_norm(limited), torch.linalg.matrix_norm(exponent)
    assert float(norm.max()) <= EXPONENT_LIMIT * (1 + 1e-12)
    torch.testing.assert_close(norm, EXPONENT_LIMIT * torch.tanh(before / EXPONENT_LIMIT), rtol=1e-10, atol=0)
    torch.testing.assert_close(limited / norm[:, None, None], exponent / before[:, None, None])


def test_the_limit_is_equivariant_under_any_orthogonal_matrix(generator: torch.Generator) -> None:
    exponent, q = _matrices(1.0, generator), symmetry.random_orthogonal(20, generator)
    torch.testing.assert_close(limit_exponent(q @ exponent @ q.mT), q @ limit_exponent(exponent) @ q.mT)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", [0.0, 1e-30, 1e-10, 1e-4])
def test_the_limit_is_the_identity_near_zero_gradients_included(dtype: torch.dtype, size: float) -> None:
    exponent = torch.full((1, 3, 3), size, dtype=dtype)
    torch.testing.assert_close(limit_exponent(exponent), exponent, rtol=1e-5, atol=0)
    jacobian = torch.autograd.functional.jacobian(limit_exponent, exponent).reshape(9, 9)
    torch.testing.assert_close(jacobian, torch.eye(9, dtype=dtype), rtol=0, atol=1e-5)


def test_the_gradient_of_the_limit_is_right(generator: torch.Generator) -> None:
    assert torch.autograd.gradcheck(limit_exponent, _matrices(0.5, generator)[:3].requires_grad_())


def test_the_exponential_is_the_one_of_scipy_and_keeps_handedness(generator: torch.Generator) -> None:
    exponent = _matrices(5.0, generator)
    action = exponential(exponent)
    for h, s in zip(action, limit_exponent(exponent), strict=True):
        torch.testing.assert_close(h, torch.from_numpy(scipy.linalg.expm(s.numpy())))
    assert bool((torch.linalg.det(action) > 0).all())
    assert bool((torch.linalg.det(first_order(exponent)) < 0).any())
    torch.testing.assert_close(first_order(exponent), IDENTITY + exponent)


@pytest.mark.parametrize("weight_limit", [None, 0.3])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_a_layer_is_equations_16_18_and_20(reduction: Reduction, weight_limit: float | None) -> None:
    layer = _layer(Case(reduction=reduction, weight_limit=weight_limit))
    graph = knn(8)(CRYSTALS)
    atoms, radial = EMBEDDING[CRYSTALS.numbers], BASIS(torch.linalg.vector_norm(graph.vectors, dim=-1))
    assert layer.edges is not None
    edge = layer.edges.edge
    weight = torch.cat([edge.source.weight, edge.target.weight, edge.radial.weight], dim=1)
    hidden = torch.cat([atoms[graph.source], atoms[graph.target], radial], dim=1) @ weight.T + edge.source.bias
    weights = silu(hidden) @ layer.edges.weight.weight.T
    if weight_limit is not None:
        weights = weight_limit * (2 / (1 + torch.exp(-weights)) - 1)
    exponents = []
    for index in range(len(CRYSTALS)):
        own = torch.nonzero(graph.batch == index).flatten().tolist()
        terms = [weights[e] * torch.outer(v, v) / v.dot(v) for e, v in zip(own, graph.vectors[own], strict=True)]
        exponents.append(sum(terms) / len(terms) if reduction == "mean" else SCALE * sum(terms))
    action, strain = _both(layer, CRYSTALS)
    torch.testing.assert_close(strain, torch.stack(exponents))
    torch.testing.assert_close(action, IDENTITY + strain)


@pytest.mark.parametrize("gate", [False, True])
@pytest.mark.parametrize("weight_limit", [None, 0.8])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("action", ["exp", "first_order"])
def test_a_layer_is_equivariant(action: str, reduction: Reduction, weight_limit: float | None, gate: bool) -> None:
    layer = _layer(Case(action, reduction, weight_limit, gate, strength=8.0))
    size = _size(_apply(layer, CRYSTALS))
    assert 0.1 < float(size.max()) < 2.0
    assert float(size.median()) > 0.03

    def subject(crystals: CrystalBatch) -> dict[str, Tensor]:
        return dict(zip(("action", "strain"), _both(layer, crystals), strict=True))

    assert_equivariant(subject, CRYSTALS, kinds={"strain": "operator"})


@pytest.mark.parametrize("action", ["exp", "first_order"])
def test_the_weight_limit_bounds_the_strain_of_a_layer(action: str) -> None:
    limited = _size(_apply(_layer(Case(action, weight_limit=0.01, strength=1e4)), CRYSTALS))
    assert 0.003 < float(limited.max()) < 0.0101
    assert float(_size(_apply(_layer(Case(action, strength=1e4)), CRYSTALS)).min()) > 0.2
    # Each part of the exponent is scaled by a factor in (0, 2), hence at most doubled.
    gated = _size(_apply(_layer(Case(action, weight_limit=0.01, strength=1e4, gate=True)), CRYSTALS))
    assert float(gated.max()) < 0.0202


@pytest.mark.parametrize("name", ["hcp", "perovskite", "triclinic", "one-atom"])
def test_the_mean_does_not_see_the_choice_of_a_supercell_and_the_sum_does(name: str) -> None:
    crystal, large = ZOO[name], supercell(ZOO[name], (2, 1, 3))
    for layer in (_layer(Case()), _layer(Case("exp", gate=True))):
        assert float(_size(_apply(layer, crystal))) > 0.01
        torch.testing.assert_close(_apply(layer, large), _apply(layer, crystal), rtol=0, atol=1e-9)
    total = _layer(Case(reduction="sum"))
    expected = 6 * (_apply(total, crystal) - IDENTITY)
    torch.testing.assert_close(_apply(total, large) - IDENTITY, expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("case", [Case("exp"), Case("exp", "sum", gate=True), Case(gate=True), Case(reduction="sum")])
def test_a_structure_without_edges_keeps_its_cell(case: Case) -> None:
    crystals = zoo("one-atom", "fcc")
    action = _apply(_layer(case), crystals, cutoff(2.8)(crystals))
    assert torch.equal(action[0], IDENTITY)
    assert float(_size(action[1])) > 1e-3
