"""Atoms that move within the cell: equation 2 from the weights of edges and triplets."""

from dataclasses import replace

import pytest
import torch
from support.field_weights import field_weights
from support.zoo import ZOO, supercell, zoo
from torch import Tensor

from empnn.crystals import CrystalBatch
from empnn.errors import ConfigError
from empnn.graph import Graph
from empnn.nn import EMPNN, GraphConfig, ModelConfig, RadialConfig, build
from empnn.nn.action import DISPLACEMENT_LIMIT, SUM_START, LayerAction
from empnn.nn.message_passing import LocalGeometry
from empnn.testing import assert_equivariant

CRYSTALS = zoo("hcp", "perovskite", "triclinic", "one-atom", "left-handed")
BOTH = ["cell", "positions"]
SMALL = ModelConfig(
    features=12,
    message_layers=1,
    action_layers=3,
    deform=BOTH,
    graph=GraphConfig(k=8),
    radial=RadialConfig(count=8, stop=6.0, width=0.8),
)
CONFIGS = {
    "edges": SMALL,
    "triplets": replace(SMALL, fields="grad-r-t"),
    "edges and triplets": replace(SMALL, fields="ketbra-e-tall"),
    "chain": replace(SMALL, fields="ketbra-e-t", graph=GraphConfig(k=8, triplets="chain")),
    "sum, first order": replace(SMALL, reduction="sum", action="first_order", action_scale=0.05),
    "weight limit": replace(SMALL, weight_limit=0.5),
    "messages of triplets": replace(SMALL, message_triplets=True),
}


def lively(config: ModelConfig, scale: float = 5.0) -> EMPNN:
    """A network in float64 that moves atoms by some tenths of an angstrom."""
    torch.manual_seed(1)
    model = EMPNN(config).double().requires_grad_(False)
    for weight in field_weights(model):
        weight.mul_(scale / (SUM_START if config.reduction == "sum" else 1))
    return model


@pytest.mark.parametrize("name", CONFIGS)
def test_displacements_are_equivariant(name: str) -> None:
    model = lively(CONFIGS[name])
    assert float(model(CRYSTALS).displacement.norm(dim=1).max()) > 0.03
    assert_equivariant(model, CRYSTALS, tolerance=1e-9)
    assert_equivariant(model.float(), CRYSTALS, tolerance=2e-4)


@pytest.mark.parametrize("name", ["edges", "edges and triplets", "chain"])
def test_a_layer_sums_weight_times_direction_over_the_neighbours(name: str) -> None:
    model = lively(CONFIGS[name])
    layer = model.layers[0].action
    graph = model.rule(CRYSTALS)
    geometry, atoms = local_geometry(model, graph)
    action = layer(atoms, geometry, graph.vectors.new_zeros(len(CRYSTALS), 3, 3))
    direction = graph.vectors / graph.vectors.norm(dim=1, keepdim=True)
    push = torch.zeros(CRYSTALS.n_atoms, 3, dtype=torch.float64)
    weights = layer.edges(atoms, graph, geometry.radial)[:, -1]
    for atom in range(CRYSTALS.n_atoms):
        own = torch.nonzero(graph.source == atom).flatten().tolist()
        push[atom] += sum(weights[e] * direction[e] for e in own) / len(own)
    triplets = graph.triplets
    if triplets is not None:
        pairs = layer.triplets(atoms, graph, triplets, geometry.radial, geometry.angles)[:, -2:]
        away = -1.0 if triplets.flip_first else 1.0
        centre = graph.target[triplets.first] if triplets.flip_first else graph.source[triplets.first]
        for atom in range(CRYSTALS.n_atoms):
            own = torch.nonzero(centre == atom).flatten().tolist()
            legs = [away * direction[triplets.first], direction[triplets.second]]
            push[atom] += sum(pairs[t, 0] * legs[0][t] + pairs[t, 1] * legs[1][t] for t in own) / len(own)
    size = push.norm(dim=1, keepdim=True)
    limited = push * DISPLACEMENT_LIMIT * torch.tanh(size / DISPLACEMENT_LIMIT) / size.clamp_min(1e-300)
    for index in range(len(CRYSTALS)):
        own = CRYSTALS.batch == index
        expected = limited[own] - limited[own].mean(0)
        torch.testing.assert_close(action.displacement[own], expected, rtol=0, atol=1e-12)


def test_later_layers_see_the_displaced_atoms_and_the_total_is_where_they_end() -> None:
    model = lively(SMALL)
    seen: list[tuple[LocalGeometry, LayerAction]] = []
    for layer in model.layers:
        layer.action.register_forward_hook(lambda _, inputs, output: seen.append((inputs[1], output)))
    result = model(CRYSTALS)
    crystals = CRYSTALS
    for geometry, action in seen:
        expected = edge_vectors(crystals, geometry.graph)
        torch.testing.assert_close(geometry.vectors, expected, rtol=0, atol=1e-10)
        shift = crystals.fractional(action.displacement)
        crystals = replace(crystals, frac=crystals.frac + shift, cell=crystals.cell @ action.lattice.mT)
    torch.testing.assert_close(CRYSTALS.cell @ result.action.mT, crystals.cell)
    whole = CRYSTALS.fractional(result.displacement)
    torch.testing.assert_close(CRYSTALS.frac + whole, crystals.frac, rtol=0, atol=1e-12)
    assert float(result.displacement.norm(dim=1).max()) > 0.05


@pytest.mark.parametrize("name", ["edges", "edges and triplets"])
def test_the_mean_does_not_see_the_choice_of_a_supercell(name: str) -> None:
    model = lively(CONFIGS[name])
    for crystal in ("hcp", "triclinic"):
        large = supercell(ZOO[crystal], (2, 1, 2))
        small, repeated = model(ZOO[crystal]).displacement, model(large).displacement
        torch.testing.assert_close(repeated, images_of(small, len(repeated)), rtol=0, atol=1e-9)


def test_atoms_at_centres_of_inversion_stay() -> None:
    moved = lively(SMALL)(zoo("fcc", "rocksalt", "perovskite", "one-atom")).displacement
    assert float(moved.abs().max()) < 1e-12


def test_the_mean_of_a_structure_stays() -> None:
    model = lively(SMALL)
    moved = CRYSTALS.fractional(model(CRYSTALS).displacement)
    mean = torch.zeros(len(CRYSTALS), 3, dtype=torch.float64).index_add(0, CRYSTALS.batch, moved)
    assert float(mean.abs().max()) < 1e-12


def test_gradients_reach_every_weight() -> None:
    model = lively(CONFIGS["edges and triplets"]).requires_grad_(True)
    result = model(CRYSTALS)
    target = torch.randn(result.displacement.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    (result.displacement - target).square().sum().backward()
    for name, parameter in model.named_parameters():
        assert bool(torch.isfinite(parameter.grad).all()), name
        if "gate" not in name:
            assert float(parameter.grad.abs().max()) > 0, name


def test_atoms_stay_by_default() -> None:
    torch.manual_seed(0)
    assert EMPNN(replace(SMALL, deform=["cell"]))(CRYSTALS).displacement is None


@pytest.mark.parametrize("deform", [[], ["positions"], ["cell", "atoms"], ["cell", "cell"]])
def test_what_cannot_be_deformed_is_refused(deform: list[str]) -> None:
    with pytest.raises(ConfigError, match=r"must be \[cell\] or \[cell, positions\]"):
        build(replace(SMALL, deform=deform))


def test_the_feed_forward_baseline_moves_no_atoms() -> None:
    with pytest.raises(ConfigError, match="predicts cells only"):
        build(replace(SMALL, name="ff"))


def local_geometry(model: EMPNN, graph: Graph) -> tuple[LocalGeometry, Tensor]:
    geometry = model.encoder.geometry(graph, graph.vectors)
    return geometry, model.encoder(CRYSTALS.numbers, geometry)


def edge_vectors(crystals: CrystalBatch, graph: Graph) -> Tensor:
    apart = crystals.frac[graph.target] - crystals.frac[graph.source] + graph.image
    return torch.einsum("ei,eij->ej", apart, crystals.cell[graph.batch])


def images_of(small: Tensor, n: int) -> Tensor:
    return small.repeat(n // len(small), 1)
