"""A layer on edges and triplets, against a literal reading of equations 10, 16 to 18, 20 and 21."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from support.field_weights import field_weights
from support.zoo import ZOO, supercell, zoo
from torch import Tensor
from torch.nn.functional import silu

from empnn.crystals import CrystalBatch
from empnn.fields import TABLE2
from empnn.graph import TRIPLETS, Graph, cutoff, knn
from empnn.nn.action import SUM_START, ActionSettings, CrystalAction, Reduction
from empnn.nn.message_passing import LocalGeometry, local_geometry
from empnn.nn.rbf import GaussianBasis
from empnn.testing import assert_equivariant

FEATURES, RADIAL, SCALE = 6, 5, 0.02
CRYSTALS = zoo("fcc", "perovskite", "diamond", "triclinic", "one-atom", "left-handed")
BASIS = GaussianBasis(RADIAL, 6.0, 0.8).double()
EMBEDDING = torch.randn(119, FEATURES, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
IDENTITY = torch.eye(3, dtype=torch.float64)
SINE_FLOOR = 1e-4


@dataclass(frozen=True)
class Case:
    """Settings of a layer; `strength` multiplies the initial weights, with which h is nearly I."""

    fields: str = "ketbra-e-tall"
    triplets: str = "fan"
    action: str = "first_order"
    reduction: Reduction = "mean"
    weight_limit: float | None = None
    gate: bool = False
    strength: float = 5.0

    def layer(self) -> CrystalAction:
        torch.manual_seed(0)
        settings = ActionSettings(
            fields=TABLE2[self.fields],
            action=self.action,
            reduction=self.reduction,
            scale=SCALE,
            weight_limit=self.weight_limit,
            gate=self.gate,
        )
        layer = CrystalAction(FEATURES, RADIAL, settings).double().requires_grad_(False)
        for weight in field_weights(layer):
            weight.mul_(self.strength / (SUM_START if self.reduction == "sum" else 1))
        return layer

    def geometry(self, graph: Graph) -> LocalGeometry:
        return local_geometry(replace(graph, triplets=TRIPLETS[self.triplets](graph)), graph.vectors, BASIS)

    def apply(self, crystals: CrystalBatch = CRYSTALS, graph: Graph | None = None) -> tuple[Tensor, Tensor]:
        """h and the exponent."""
        graph = knn(4)(crystals) if graph is None else graph
        none = graph.vectors.new_zeros(len(crystals), 3, 3)
        action = self.layer()(EMBEDDING[crystals.numbers], self.geometry(graph), none)
        return action.lattice, action.strain


def _size(action: Tensor) -> Tensor:
    return torch.linalg.matrix_norm(action - IDENTITY)


def _limited(weights: Tensor, limit: float | None) -> Tensor:
    return weights if limit is None else limit * (2 / (1 + torch.exp(-weights)) - 1)


def _edge_terms(layer: CrystalAction, geometry: LocalGeometry, atoms: Tensor) -> Tensor:
    """W' silu(W [h_i || h_j || rbf(r)]) u u^T of each edge: equations 16 and 20."""
    assert layer.edges is not None
    graph, part = geometry.graph, layer.edges.edge
    inputs = torch.cat([atoms[graph.source], atoms[graph.target], geometry.radial], dim=1)
    matrix = torch.cat([part.source.weight, part.target.weight, part.radial.weight], dim=1)
    weights = silu(inputs @ matrix.T + part.source.bias) @ layer.edges.weight.weight.T
    weights = _limited(weights, layer.settings.weight_limit)
    v = graph.vectors
    return weights[:, 0, None, None] * torch.stack([torch.outer(e, e) / e.dot(e) for e in v])


def _triplet_terms(layer: CrystalAction, geometry: LocalGeometry, atoms: Tensor) -> Tensor:
    """Equations 17 and 21 for each triplet, with every input written one after another, summed over the fields."""
    assert layer.triplets is not None
    assert geometry.graph.triplets is not None
    graph, part = geometry.graph, layer.triplets
    terms = []
    matrix = torch.cat(
        [
            *(part.first.source.weight, part.first.target.weight, part.second.weight),
            *(part.first.radial.weight, part.second_radial.weight, part.angle.weight),
        ],
        dim=1,
    )
    for a, b in zip(geometry.graph.triplets.first.tolist(), geometry.graph.triplets.second.tolist(), strict=True):
        i, j, k = graph.source[a], graph.target[a], graph.target[b]
        chained = geometry.graph.triplets.flip_first
        v, w = (-graph.vectors[a] if chained else graph.vectors[a]), graph.vectors[b]
        u, w = v / v.norm(), w / w.norm()
        cosine, sine = u.dot(w), np.hypot(float(torch.linalg.cross(u, w).norm()), SINE_FLOOR)
        angle = torch.tensor([float(cosine), sine], dtype=torch.float64)
        inputs = torch.cat([atoms[i], atoms[j], atoms[k], geometry.radial[a], geometry.radial[b], angle])
        hidden = silu(matrix @ inputs + part.first.source.bias)
        weights = _limited(part.weight.weight @ hidden, layer.settings.weight_limit)
        fields = [torch.outer(u, u), torch.outer(w, w), torch.outer(u, w), torch.outer(w, u)]
        terms.append(sum(weight * field for weight, field in zip(weights, fields, strict=True)))
    return torch.stack(terms)


@pytest.mark.parametrize("weight_limit", [None, 0.3])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("triplets", TRIPLETS)
def test_a_layer_is_the_equations(triplets: str, reduction: Reduction, weight_limit: float | None) -> None:
    """The mean over edges and the mean over triplets are two means (equations 10a and 10b)."""
    case = Case(triplets=triplets, reduction=reduction, weight_limit=weight_limit)
    crystals = zoo("diamond", "triclinic", "one-atom")
    graph, layer, atoms = knn(3)(crystals), case.layer(), EMBEDDING[crystals.numbers]
    geometry = case.geometry(graph)
    assert geometry.graph.triplets is not None
    edges, legs = (f(layer, geometry, atoms) for f in (_edge_terms, _triplet_terms))
    expected = []
    for index in range(len(crystals)):
        own = edges[graph.batch == index], legs[geometry.graph.triplets.batch == index]
        assert len(own[0]) != len(own[1])
        sums = own[0].sum(0), own[1].sum(0)
        both = sums[0] / len(own[0]) + sums[1] / len(own[1]) if reduction == "mean" else SCALE * (sums[0] + sums[1])
        expected.append(both)
    action, exponent = case.apply(crystals, graph)
    torch.testing.assert_close(exponent, torch.stack(expected))
    torch.testing.assert_close(action, IDENTITY + exponent)
    assert float((exponent - exponent.mT).abs().max()) > 1e-3


def test_triplets_without_edges_and_edges_without_weight() -> None:
    """The edges of a row without edge fields have no weights; triplets do not dilute the edges of one with them."""
    layer = Case("ketbra-t").layer()
    assert layer.edges is None
    assert float(_size(Case("ketbra-t").apply()[0]).min()) > 1e-2
    alone, with_triplets = Case("ketbra-e"), Case("ketbra-e-tall")
    assert alone.layer().triplets is None
    layer = with_triplets.layer()
    assert layer.triplets is not None
    layer.triplets.weight.weight.zero_()
    graph = knn(4)(CRYSTALS)
    none = graph.vectors.new_zeros(len(CRYSTALS), 3, 3)
    edges = layer(EMBEDDING[CRYSTALS.numbers], with_triplets.geometry(graph), none).strain
    torch.testing.assert_close(edges, alone.apply()[1])


@pytest.mark.parametrize("triplets", TRIPLETS)
@pytest.mark.parametrize("fields", [key for key, row in TABLE2.items() if row.triplets and "sym-" not in key])
def test_a_layer_is_equivariant(fields: str, triplets: str) -> None:
    case = Case(fields, triplets, action="exp", gate=fields == "ketbra-e-tsym")
    size = _size(case.apply()[0])
    assert float(size.median()) > 0.02
    assert float(size.max()) < 1.0

    def subject(crystals: CrystalBatch) -> dict[str, Tensor]:
        return dict(zip(("action", "strain"), case.apply(crystals), strict=True))

    assert_equivariant(subject, CRYSTALS, kinds={"strain": "operator"})


@pytest.mark.parametrize("triplets", TRIPLETS)
@pytest.mark.parametrize("name", ["fcc", "perovskite", "triclinic", "one-atom"])
def test_the_mean_does_not_see_the_choice_of_a_supercell_and_the_sum_does(name: str, triplets: str) -> None:
    crystal, large = ZOO[name], supercell(ZOO[name], (2, 1, 3))
    for case in (Case(triplets=triplets), Case("grad-r-e-t-theta", triplets, "exp", gate=True)):
        assert float(_size(case.apply(crystal)[0])) > 0.005
        torch.testing.assert_close(case.apply(large)[0], case.apply(crystal)[0], rtol=0, atol=1e-9)
    total = Case(triplets=triplets, reduction="sum")
    torch.testing.assert_close(total.apply(large)[1], 6 * total.apply(crystal)[1], rtol=0, atol=1e-8)


def test_the_weight_limit_bounds_the_strain_per_field() -> None:
    """Weights at their limit: the traces of u u^T and u' u'^T are 1, that of sym(u u'^T) is the cosine."""
    case = Case("ketbra-e-tsym", weight_limit=0.01)
    layer, graph = case.layer(), knn(4)(CRYSTALS)
    assert layer.edges is not None
    assert layer.triplets is not None
    for weight, part in zip(field_weights(layer), (layer.edges.edge, layer.triplets.first), strict=True):
        weight.fill_(1.0)
        part.source.bias.fill_(1e3)
    geometry = case.geometry(graph)
    assert geometry.graph.triplets is not None
    none = graph.vectors.new_zeros(len(CRYSTALS), 3, 3)
    exponent = layer(EMBEDDING[CRYSTALS.numbers], geometry, none).strain
    cosines = torch.cosine_similarity(*geometry.graph.triplets.vectors(graph.vectors), dim=-1)
    means = torch.stack([cosines[geometry.graph.triplets.batch == index].mean() for index in range(len(CRYSTALS))])
    assert float(means[2]) == pytest.approx(-1 / 3)
    torch.testing.assert_close(exponent.diagonal(dim1=-2, dim2=-1).sum(-1), 0.01 * (3 + means))
    assert float(_size(Case("ketbra-e-tsym", weight_limit=0.01, strength=1e4).apply()[0]).max()) < 0.0401
    assert float(_size(Case("ketbra-e-tsym", strength=1e4).apply()[0]).min()) > 1


def test_first_order_can_turn_a_lattice_inside_out_and_the_exponential_cannot() -> None:
    determinants = {a: torch.linalg.det(Case(action=a, strength=-100.0).apply()[0]) for a in ("first_order", "exp")}
    assert float(determinants["first_order"].min()) < 0
    assert float(determinants["exp"].min()) > 0


GRAPHS: dict[str, Callable[[CrystalBatch], Graph]] = {"nothing": cutoff(0.5), "some": cutoff(2.6)}


@pytest.mark.parametrize("gate", [False, True])
@pytest.mark.parametrize("action", ["exp", "first_order"])
@pytest.mark.parametrize("edges", GRAPHS)
def test_a_structure_without_triplets_keeps_its_cell(edges: str, action: str, gate: bool) -> None:
    graph = GRAPHS[edges](CRYSTALS)
    bare = torch.bincount(graph.batch, minlength=len(CRYSTALS)) == 0
    assert bool(bare.any())
    assert bool(bare.all()) == (edges == "nothing")
    size = _size(Case("ketbra-e-tsym", action=action, gate=gate).apply(CRYSTALS, graph)[0])
    assert torch.equal(size == 0, bare)
