"""Message passing on atoms: equations 14, 15 and 19 of the paper."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import linear

from empnn.graph import Graph
from empnn.nn.kernels.edge_sums import sum_over_right
from empnn.nn.rbf import GaussianBasis

Aggregate = Literal["sum", "mean"]


@dataclass(frozen=True, kw_only=True)
class LocalGeometry:
    """What a layer sees of the crystals: the graph of the pass, and its geometry in the current lattice.

    Attributes:
        graph: Neighbour graph, built once per pass.
        vectors: Edge vectors v in the current lattice, angstrom. Per edge.
        lengths: Their lengths r, angstrom. Per edge.
        units: Their directions u = v / r. Per edge.
        radial: Radial basis of the lengths. Per edge.
    """

    graph: Graph
    vectors: Float[Tensor, "edges 3"]
    lengths: Float[Tensor, " edges"]
    units: Float[Tensor, "edges 3"]
    radial: Float[Tensor, "edges radial"]


def local_geometry(graph: Graph, vectors: Float[Tensor, "edges 3"], basis: GaussianBasis) -> LocalGeometry:
    """The geometry of a graph with given edge vectors, angstrom."""
    lengths = torch.linalg.vector_norm(vectors, dim=-1)
    units = vectors / lengths.clamp_min(torch.finfo(vectors.dtype).tiny).unsqueeze(-1)
    return LocalGeometry(graph=graph, vectors=vectors, lengths=lengths, units=units, radial=basis(lengths))


class EdgeLinear(nn.Module):
    """The linear map W [h_i || h_j || rbf(r)] of equations 19 and 20, split into three that are never concatenated."""

    def __init__(self, features: int, radial: int) -> None:
        super().__init__()
        self.source = nn.Linear(features, features)
        self.target = nn.Linear(features, features, bias=False)
        self.radial = nn.Linear(radial, features, bias=False)

    def table(self, atoms: Float[Tensor, "atoms features"]) -> Float[Tensor, "atoms two_features"]:
        """The parts of h_i and of h_j, side by side."""
        return joined_linear(atoms, (self.source, self.target))


class MessagePassing(nn.Module):
    """One layer: m = W' silu(W [h_i || h_j || rbf(r)]) over the edges whose source is i, then a GRU update.

    W' is applied after the sum over neighbours, with which it commutes, and in one product with the input weights of
    the GRU. Invariant under Euc(3) and SL3(Z), equivariant under S_n.
    """

    def __init__(self, features: int, radial: int, aggregate: Aggregate) -> None:
        super().__init__()
        self.aggregate = aggregate
        self.edge = EdgeLinear(features, radial)
        self.message = nn.Linear(features, features, bias=False)
        self.update = nn.GRUCell(features, features)

    def forward(
        self, atoms: Float[Tensor, "atoms features"], graph: Graph, radial: Float[Tensor, "edges radial"]
    ) -> Float[Tensor, "atoms features"]:
        """Updated atom features.

        Args:
            atoms: Atom features.
            graph: The graph.
            radial: Radial basis of the lengths.
        """
        cell = self.update
        gathered = sum_over_right(self.edge.table(atoms), radial, self.edge.radial.weight, graph.pairs)
        if self.aggregate == "mean":
            gathered = gathered / degree(graph).to(gathered.dtype).unsqueeze(-1)
        incoming = cell.weight_ih @ self.message.weight
        return torch.gru_cell(gathered, atoms, incoming, cell.weight_hh, cell.bias_ih, cell.bias_hh)


def joined_linear(rows: Float[Tensor, "rows n"], maps: Sequence[nn.Linear]) -> Float[Tensor, "rows m"]:
    """Several linear maps of the same rows in one product, their results side by side; some may have no bias."""
    weights: list[Tensor] = [m.weight for m in maps]
    biases: list[Tensor] = [m.weight.new_zeros(m.out_features) if m.bias is None else m.bias for m in maps]
    return linear(rows, torch.cat(weights), torch.cat(biases))


def degree(graph: Graph) -> Tensor:
    """Number of edges that start at each atom, at least 1; shape (atoms,)."""
    return graph.pairs.left_starts.diff().clamp_min(1)
