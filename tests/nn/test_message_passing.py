"""The layers against a literal reading of equations 14, 15 and 19, with the concatenation and one edge at a time."""

from typing import Literal

import pytest
import torch
from support.zoo import ELONGATED, zoo
from torch import Tensor
from torch.nn.functional import silu

from empnn.crystals import CrystalBatch
from empnn.graph import Graph, cutoff, knn
from empnn.nn.message_passing import EdgeLinear, MessagePassing, degree
from empnn.nn.rbf import GaussianBasis
from empnn.testing import assert_equivariant

FEATURES, RADIAL = 6, 5
CRYSTALS = zoo("hcp", "perovskite", "triclinic", "one-atom", "left-handed")
BASIS = GaussianBasis(RADIAL, 6.0, 0.8).double()
Aggregate = Literal["sum", "mean"]


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def _inputs(graph: Graph) -> tuple[Tensor, Tensor]:
    """Random atom features, and the radial basis of the edges."""
    generator = torch.Generator().manual_seed(1)
    atoms = torch.randn(graph.n_atoms, FEATURES, dtype=torch.float64, generator=generator)
    return atoms, BASIS(torch.linalg.vector_norm(graph.vectors, dim=-1))


def _concatenated(layer: EdgeLinear, atoms: Tensor, graph: Graph, radial: Tensor) -> Tensor:
    """W [h_i || h_j || rbf(r)] + b."""
    weight = torch.cat([layer.source.weight, layer.target.weight, layer.radial.weight], dim=1)
    return torch.cat([atoms[graph.source], atoms[graph.target], radial], dim=1) @ weight.T + layer.source.bias


def _gru(cell: torch.nn.GRUCell, message: Tensor, atoms: Tensor) -> Tensor:
    """The gated recurrent unit, written out."""
    r_m, z_m, n_m = (message @ cell.weight_ih.T + cell.bias_ih).chunk(3, dim=1)
    r_h, z_h, n_h = (atoms @ cell.weight_hh.T + cell.bias_hh).chunk(3, dim=1)
    keep = torch.sigmoid(z_m + z_h)
    return (1 - keep) * torch.tanh(n_m + torch.sigmoid(r_m + r_h) * n_h) + keep * atoms


def _split(layer: EdgeLinear, atoms: Tensor, graph: Graph, radial: Tensor) -> Tensor:
    """The same from the parts that the layer keeps apart."""
    of_source, of_target = layer.table(atoms).chunk(2, dim=1)
    return of_source[graph.source] + of_target[graph.target] + radial @ layer.radial.weight.T


def test_the_split_linear_map_is_the_map_of_the_concatenation() -> None:
    graph = knn(8)(CRYSTALS)
    layer = EdgeLinear(FEATURES, RADIAL).double()
    atoms, radial = _inputs(graph)
    torch.testing.assert_close(_split(layer, atoms, graph, radial), _concatenated(layer, atoms, graph, radial))


@pytest.mark.parametrize("aggregate", ["sum", "mean"])
def test_a_layer_is_equations_14_and_15(aggregate: Aggregate) -> None:
    graph = cutoff(3.0)(CRYSTALS)
    assert len(torch.bincount(graph.source).unique()) > 2
    layer = MessagePassing(FEATURES, RADIAL, aggregate).double()
    atoms, radial = _inputs(graph)
    messages = silu(_concatenated(layer.edge, atoms, graph, radial)) @ layer.message.weight.T
    gathered = torch.zeros_like(atoms)
    for i in range(graph.n_atoms):
        own = messages[graph.source == i]
        if len(own):
            gathered[i] = own.sum(0) if aggregate == "sum" else own.mean(0)
    torch.testing.assert_close(layer(atoms, graph, radial), _gru(layer.update, gathered, atoms))


@pytest.mark.parametrize("aggregate", ["sum", "mean"])
def test_an_atom_without_edges_receives_nothing(aggregate: Aggregate) -> None:
    graph = cutoff(2.8)(ELONGATED)
    assert degree(graph).tolist()[2:] == [1, 1, 1]
    assert graph.source.max() < 2
    layer = MessagePassing(FEATURES, RADIAL, aggregate).double()
    atoms, radial = _inputs(graph)
    alone = _gru(layer.update, torch.zeros_like(atoms), atoms)
    torch.testing.assert_close(layer(atoms, graph, radial)[2:], alone[2:])


@pytest.mark.parametrize("aggregate", ["sum", "mean"])
def test_a_layer_is_equivariant(aggregate: Aggregate) -> None:
    layer = MessagePassing(FEATURES, RADIAL, aggregate).double()
    embedding = torch.nn.Embedding(119, FEATURES, dtype=torch.float64)

    def subject(crystals: CrystalBatch) -> dict[str, Tensor]:
        graph = knn(8)(crystals)
        radial = BASIS(torch.linalg.vector_norm(graph.vectors, dim=-1))
        once = layer(embedding(crystals.numbers), graph, radial)
        return {"atoms": layer(once, graph, radial), "edges": _split(layer.edge, once, graph, radial)}

    features = subject(CRYSTALS)["atoms"].detach()
    assert float((features[2] - features[3]).abs().max()) > 0.1
    assert_equivariant(subject, CRYSTALS)
