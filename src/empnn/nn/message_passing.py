"""Message passing on atoms: equations 8, 9, 14, 15 and 19 of the paper."""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn.functional import embedding

from empnn.graph import Graph, Triplets
from empnn.nn.kernels.edge_sums import angles_between, sum_left, sum_over_right
from empnn.nn.kernels.gru import gru
from empnn.nn.kernels.linear import linear
from empnn.nn.rbf import GaussianBasis
from empnn.nn.split_linear import EdgeLinear, TripletLinear, cosines_and_sines

Aggregate = Literal["sum", "mean"]

TRIPLET_SUM_START = 1e-2
"""Factor on the first weights of messages of triplets if they are summed: an atom has hundreds of them, and without it
most gates of an untrained network would be wide open or shut."""


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

    @cached_property
    def angles(self) -> Float[Tensor, "triplets 2"]:
        """Cosine and squared sine of the angle of each triplet, if the graph has triplets."""
        triplets = self.graph.triplets
        if triplets is None:
            return self.units.new_zeros(0, 2)
        found = angles_between(self.units, triplets.pairs)
        return torch.cat([-found[:, :1], found[:, 1:]], dim=1) if triplets.flip_first else found


def local_geometry(graph: Graph, vectors: Float[Tensor, "edges 3"], basis: GaussianBasis) -> LocalGeometry:
    """The geometry of a graph with given edge vectors, angstrom."""
    lengths = torch.linalg.vector_norm(vectors, dim=-1)
    units = vectors / lengths.clamp_min(torch.finfo(vectors.dtype).tiny).unsqueeze(-1)
    return LocalGeometry(graph=graph, vectors=vectors, lengths=lengths, units=units, radial=basis(lengths))


class TripletMessages(TripletLinear):
    """Messages of triplets (equation 8b) in the form of equation 21, with a second map W' to features.

    m = W' silu(W [h_i || h_j || h_k || rbf(r) || rbf(r') || cos || sin]). Like that of edges, W' is left to the layer.
    """

    def __init__(self, features: int, radial: int) -> None:
        super().__init__(features, radial)
        self.message = nn.Linear(features, features, bias=False)

    def forward(
        self, atoms: Float[Tensor, "atoms features"], geometry: LocalGeometry, triplets: Triplets
    ) -> Float[Tensor, "atoms features"]:
        """For each atom the sum of silu(W [...]) over the triplets whose first edge starts at it."""
        edges = geometry.graph.pairs
        table, angle = self.table(atoms, geometry.radial, edges), cosines_and_sines(geometry.angles)
        return sum_left(sum_over_right(table, angle, self.angle.weight, triplets.pairs), edges)


class MessagePassing(nn.Module):
    """One layer: m = W' silu(W [h_i || h_j || rbf(r)]) over the edges whose source is i, then a GRU update.

    With `triplets` also the messages of triplets (i, j, k) (equations 8b and 9): the sums over the edges and over the
    triplets of an atom are added, or the two means. W' is applied after the sum over neighbours, with which it
    commutes, and in one product with the input weights of the GRU. Invariant under Euc(3) and SL3(Z), equivariant
    under S_n.
    """

    def __init__(self, features: int, radial: int, aggregate: Aggregate, triplets: bool = False) -> None:
        super().__init__()
        self.aggregate = aggregate
        self.edge = EdgeLinear(features, radial)
        self.message = nn.Linear(features, features, bias=False)
        self.update = nn.GRUCell(features, features)
        self.triplets = TripletMessages(features, radial) if triplets else None
        if self.triplets is not None and aggregate == "sum":
            with torch.no_grad():
                self.triplets.message.weight.mul_(TRIPLET_SUM_START)

    def forward(
        self,
        rows: Float[Tensor, "rows features"],
        geometry: LocalGeometry,
        kind: Int64[Tensor, " atoms"] | None = None,
    ) -> Float[Tensor, "atoms features"]:
        """Updated atom features.

        Args:
            rows: Features of each atom, or of each kind of atom.
            geometry: The graph in the current lattice.
            kind: Where atoms of a kind are alike, the row of each atom. Its linear maps are made once for each kind.
        """
        graph, cell = geometry.graph, self.update
        table, atoms = _of_atoms(self.edge.table(rows), kind), _of_atoms(rows, kind)
        gathered = sum_over_right(table, geometry.radial, self.edge.radial.weight, graph.pairs)
        gathered, weight = self._reduced(gathered, degree(graph)), self.message.weight
        if self.triplets is not None and graph.triplets is not None:
            turned = self.triplets(atoms, geometry, graph.triplets)
            gathered = torch.cat([gathered, self._reduced(turned, triplet_degree(graph, graph.triplets))], dim=1)
            weight = torch.cat([weight, self.triplets.message.weight], dim=1)
        own = _of_atoms(linear(rows, cell.weight_hh, cell.bias_hh), kind)
        return gru(gathered, own, atoms, cell.weight_ih @ weight, cell.bias_ih)

    def _reduced(self, total: Tensor, count: Tensor) -> Tensor:
        """The sum, or the mean from it."""
        return total / count.to(total.dtype).unsqueeze(-1) if self.aggregate == "mean" else total


def degree(graph: Graph) -> Tensor:
    """Number of edges that start at each atom, at least 1; shape (atoms,)."""
    return graph.pairs.left_starts.diff().clamp_min(1)


def triplet_degree(graph: Graph, triplets: Triplets) -> Tensor:
    """Number of triplets whose first edge starts at each atom, at least 1; shape (atoms,)."""
    return triplets.pairs.left_starts[graph.pairs.left_starts].diff().clamp_min(1)


def _of_atoms(rows: Tensor, kind: Tensor | None) -> Tensor:
    """Rows of atoms from those of kinds of atoms."""
    return rows if kind is None else embedding(kind, rows)
