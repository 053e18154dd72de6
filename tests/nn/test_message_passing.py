"""The layers against a literal reading of equations 8, 9, 14, 15 and 19: concatenations, one by one."""

from dataclasses import replace
from typing import Literal

import pytest
import torch
from support.zoo import ELONGATED, zoo
from torch import Tensor
from torch.nn.functional import silu

from empnn.crystals import CrystalBatch
from empnn.graph import TRIPLETS, Graph, cutoff, knn
from empnn.nn.message_passing import LocalGeometry, MessagePassing, degree, local_geometry, triplet_degree
from empnn.nn.rbf import GaussianBasis
from empnn.nn.split_linear import SINE_FLOOR, EdgeLinear
from empnn.testing import assert_equivariant

FEATURES, RADIAL = 6, 5
CRYSTALS = zoo("hcp", "perovskite", "triclinic", "one-atom", "left-handed")
BASIS = GaussianBasis(RADIAL, 6.0, 0.8).double()
Aggregate = Literal["sum", "mean"]


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def _inputs(graph: Graph) -> tuple[Tensor, LocalGeometry]:
    """Random atom features, and the geometry."""
    generator = torch.Generator().manual_seed(1)
    atoms = torch.randn(graph.n_atoms, FEATURES, dtype=torch.float64, generator=generator)
    return atoms, local_geometry(graph, graph.vectors, BASIS)


def _with_triplets(graph: Graph, kind: str) -> Graph:
    return replace(graph, triplets=TRIPLETS[kind](graph))


def _concatenated(layer: EdgeLinear, atoms: Tensor, geometry: LocalGeometry) -> Tensor:
    """W [h_i || h_j || rbf(r)] + b."""
    graph = geometry.graph
    weight = torch.cat([layer.source.weight, layer.target.weight, layer.radial.weight], dim=1)
    return torch.cat([atoms[graph.source], atoms[graph.target], geometry.radial], dim=1) @ weight.T + layer.source.bias


def _triplet_messages(layer: MessagePassing, atoms: Tensor, geometry: LocalGeometry) -> list[list[Tensor]]:
    """W' silu(W [h_i || h_j || h_k || rbf(r) || rbf(r') || cos || sin] + b) of the triplets of each atom i."""
    graph, part = geometry.graph, layer.triplets
    assert graph.triplets is not None
    assert part is not None
    of_atoms = (part.first.source.weight, part.first.target.weight, part.second.weight)
    of_rest = (part.first.radial.weight, part.second_radial.weight, part.angle.weight)
    weight = torch.cat([*of_atoms, *of_rest], dim=1)
    found: list[list[Tensor]] = [[] for _ in range(graph.n_atoms)]
    for a, b in zip(graph.triplets.first.tolist(), graph.triplets.second.tolist(), strict=True):
        i, j, k = int(graph.source[a]), int(graph.target[a]), int(graph.target[b])
        v, w = (-graph.vectors[a] if graph.triplets.flip_first else graph.vectors[a]), graph.vectors[b]
        cosine = v.dot(w) / v.norm() / w.norm()
        sine = torch.sqrt(1 - cosine.square().clamp_max(1) + SINE_FLOOR**2)
        angle = torch.stack([cosine, sine])
        inputs = torch.cat([atoms[i], atoms[j], atoms[k], geometry.radial[a], geometry.radial[b], angle])
        found[i].append(part.message.weight @ silu(weight @ inputs + part.first.source.bias))
    return found


def _gru(cell: torch.nn.GRUCell, message: Tensor, atoms: Tensor) -> Tensor:
    """The gated recurrent unit, written out."""
    r_m, z_m, n_m = (message @ cell.weight_ih.T + cell.bias_ih).chunk(3, dim=1)
    r_h, z_h, n_h = (atoms @ cell.weight_hh.T + cell.bias_hh).chunk(3, dim=1)
    keep = torch.sigmoid(z_m + z_h)
    return (1 - keep) * torch.tanh(n_m + torch.sigmoid(r_m + r_h) * n_h) + keep * atoms


def _split(layer: EdgeLinear, atoms: Tensor, geometry: LocalGeometry) -> Tensor:
    """The same from the parts that the layer keeps apart."""
    of_source, of_target = layer.table(atoms).chunk(2, dim=1)
    return of_source[geometry.graph.source] + of_target[geometry.graph.target] + geometry.radial @ layer.radial.weight.T


def test_the_split_linear_map_is_the_map_of_the_concatenation() -> None:
    graph = knn(8)(CRYSTALS)
    layer = EdgeLinear(FEATURES, RADIAL).double()
    inputs = _inputs(graph)
    torch.testing.assert_close(_split(layer, *inputs), _concatenated(layer, *inputs))


@pytest.mark.parametrize("aggregate", ["sum", "mean"])
def test_a_layer_is_equations_14_and_15(aggregate: Aggregate) -> None:
    graph = cutoff(3.0)(CRYSTALS)
    assert len(torch.bincount(graph.source).unique()) > 2
    layer = MessagePassing(FEATURES, RADIAL, aggregate).double()
    atoms, geometry = _inputs(graph)
    messages = silu(_concatenated(layer.edge, atoms, geometry)) @ layer.message.weight.T
    gathered = torch.zeros_like(atoms)
    for i in range(graph.n_atoms):
        own = messages[graph.source == i]
        if len(own):
            gathered[i] = own.sum(0) if aggregate == "sum" else own.mean(0)
    torch.testing.assert_close(layer(atoms, geometry), _gru(layer.update, gathered, atoms))


@pytest.mark.parametrize("triplets", TRIPLETS)
@pytest.mark.parametrize("aggregate", ["sum", "mean"])
def test_a_layer_with_triplets_is_equations_8_and_9(aggregate: Aggregate, triplets: str) -> None:
    """Both sums, or both means, go into the update; a triplet belongs to the atom its first edge starts at."""
    graph = _with_triplets(cutoff(2.8)(zoo("hcp", "perovskite", "triclinic", "elongated")), triplets)
    layer = _lively(aggregate)
    atoms, geometry = _inputs(graph)
    of_edges = silu(_concatenated(layer.edge, atoms, geometry)) @ layer.message.weight.T
    of_triplets = _triplet_messages(layer, atoms, geometry)
    assert graph.triplets is not None
    counts = [len(own) for own in of_triplets]
    assert len({*counts}) > 3
    assert triplet_degree(graph, graph.triplets).tolist() == [max(count, 1) for count in counts]
    gathered = torch.zeros_like(atoms)
    for i, turned in enumerate(of_triplets):
        for own in (list(of_edges[graph.source == i]), turned):
            if own:
                gathered[i] += torch.stack(own).sum(0) / (len(own) if aggregate == "mean" else 1)
    found, without = layer(atoms, geometry), layer(atoms, replace(geometry, graph=replace(graph, triplets=None)))
    torch.testing.assert_close(found, _gru(layer.update, gathered, atoms))
    bare = torch.tensor(counts) == 0
    assert bool((bare & torch.isin(torch.arange(graph.n_atoms), graph.source)).any())
    assert torch.equal((found - without).abs().amax(1) < 1e-12, bare)


def _lively(aggregate: Aggregate) -> MessagePassing:
    """A layer with triplets whose messages are of the size of those of edges."""
    layer = MessagePassing(FEATURES, RADIAL, aggregate, triplets=True).double()
    assert layer.triplets is not None
    torch.nn.init.normal_(layer.triplets.message.weight, std=0.3)
    return layer


def test_messages_of_triplets_see_angles_and_those_of_edges_do_not() -> None:
    """Edges keep their lengths and are turned at random, each by itself."""
    graph = _with_triplets(knn(4)(CRYSTALS), "fan")
    turned = torch.linalg.qr(torch.randn(len(graph), 3, 3, dtype=torch.float64)).Q
    vectors = torch.einsum("eij,ej->ei", turned, graph.vectors)
    atoms, before = _inputs(graph)
    after = local_geometry(graph, vectors, BASIS)
    layer, alone = _lively("mean"), MessagePassing(FEATURES, RADIAL, "mean").double()
    torch.testing.assert_close(alone(atoms, after), alone(atoms, before), rtol=0, atol=1e-12)
    changed = (layer(atoms, after) - layer(atoms, before)).detach().abs().amax(1)
    assert float(changed.min()) > 1e-3


def test_sums_over_many_triplets_leave_the_gates_of_an_untrained_layer_half_open() -> None:
    graph = _with_triplets(knn(16)(CRYSTALS), "fan")
    layer, gathered = MessagePassing(128, RADIAL, "sum", triplets=True).double(), []
    assert layer.triplets is not None
    layer.triplets.register_forward_hook(lambda _module, _inputs, output: gathered.append(output))
    atoms = torch.randn(graph.n_atoms, 128, dtype=torch.float64)
    layer(atoms, local_geometry(graph, graph.vectors, BASIS))
    incoming = gathered[0] @ (layer.update.weight_ih @ layer.triplets.message.weight).T
    assert 0.1 < float(incoming.detach().abs().max()) < 3


def test_nothing_as_large_as_triplets_by_features_is_kept() -> None:
    graph = _with_triplets(knn(16)(CRYSTALS), "fan")
    layer, sizes = MessagePassing(32, RADIAL, "mean", triplets=True).double(), []
    atoms = torch.randn(graph.n_atoms, 32, dtype=torch.float64)
    geometry = local_geometry(graph, graph.vectors.clone().requires_grad_(), BASIS)

    def keep(tensor: Tensor) -> Tensor:
        sizes.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        layer(atoms, geometry)
    assert graph.triplets is not None
    assert len(graph.triplets) > 15 * len(graph)
    assert max(sizes) <= max(2 * len(graph.triplets), 64 * len(graph)) < len(graph.triplets) * 32 / 7


@pytest.mark.parametrize("triplets", [False, True])
def test_atoms_of_a_kind_are_what_they_are_one_by_one(triplets: bool) -> None:
    graph = _with_triplets(knn(8)(CRYSTALS), "fan")
    layer = MessagePassing(FEATURES, RADIAL, "sum", triplets).double()
    _, geometry = _inputs(graph)
    kinds = torch.randn(119, FEATURES, dtype=torch.float64).requires_grad_()
    wanted = [kinds, *layer.parameters()]
    alike, apart = layer(kinds, geometry, CRYSTALS.numbers), layer(kinds[CRYSTALS.numbers], geometry)
    torch.testing.assert_close(alike, apart)
    found, expected = (torch.autograd.grad(f.sin().sum(), wanted) for f in (alike, apart))
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("aggregate", ["sum", "mean"])
def test_an_atom_without_edges_receives_nothing(aggregate: Aggregate) -> None:
    graph = cutoff(2.8)(ELONGATED)
    assert degree(graph).tolist()[2:] == [1, 1, 1]
    assert graph.source.max() < 2
    layer = MessagePassing(FEATURES, RADIAL, aggregate).double()
    atoms, geometry = _inputs(graph)
    alone = _gru(layer.update, torch.zeros_like(atoms), atoms)
    torch.testing.assert_close(layer(atoms, geometry)[2:], alone[2:])


@pytest.mark.parametrize("triplets", [None, *TRIPLETS])
@pytest.mark.parametrize("aggregate", ["sum", "mean"])
def test_a_layer_is_equivariant(aggregate: Aggregate, triplets: str | None) -> None:
    layer = MessagePassing(FEATURES, RADIAL, aggregate).double() if triplets is None else _lively(aggregate)
    embedding = torch.nn.Embedding(119, FEATURES, dtype=torch.float64)

    def subject(crystals: CrystalBatch) -> dict[str, Tensor]:
        graph = knn(8)(crystals)
        graph = graph if triplets is None else _with_triplets(graph, triplets)
        geometry = local_geometry(graph, graph.vectors, BASIS)
        once = layer(embedding(crystals.numbers), geometry)
        return {"atoms": layer(once, geometry), "edges": _split(layer.edge, once, geometry)}

    features = subject(CRYSTALS)["atoms"].detach()
    assert float((features[2] - features[3]).abs().max()) > 0.1
    assert_equivariant(subject, CRYSTALS)
