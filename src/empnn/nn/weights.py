"""Invariant weights of vector fields on edges and triplets: equations 16, 17, 20 and 21 of the paper."""

from jaxtyping import Float
from torch import Tensor, nn

from empnn.graph import Graph, Triplets
from empnn.nn.kernels.edge_sums import project
from empnn.nn.split_linear import EdgeLinear, TripletLinear, cosines_and_sines


class EdgeWeights(nn.Module):
    """Weights of the edge fields, w = W' silu(W [h_i || h_j || rbf(r)]) (equations 16 and 20)."""

    def __init__(self, features: int, radial: int, n_weights: int) -> None:
        super().__init__()
        self.edge = EdgeLinear(features, radial)
        self.weight = nn.Linear(features, n_weights, bias=False)

    def forward(self, atoms: Tensor, graph: Graph, radial: Tensor) -> Float[Tensor, "edges weights"]:
        """Invariant weights of each edge."""
        return project(self.edge.table(atoms), radial, self.edge.radial.weight, self.weight.weight, graph.pairs)


class TripletWeights(TripletLinear):
    """Weights of the triplet fields, equations 17 and 21.

    w = W' silu(W [h_i || h_j || h_k || rbf(r) || rbf(r') || cos || sin]).
    """

    def __init__(self, features: int, radial: int, n_weights: int) -> None:
        super().__init__(features, radial)
        self.weight = nn.Linear(features, n_weights, bias=False)

    def forward(
        self, atoms: Tensor, graph: Graph, triplets: Triplets, radial: Tensor, angles: Tensor
    ) -> Float[Tensor, "triplets weights"]:
        """Invariant weights of each triplet; `angles` are its cosine and squared sine."""
        table, angle = self.table(atoms, radial, graph.pairs), cosines_and_sines(angles)
        return project(table, angle, self.angle.weight, self.weight.weight, triplets.pairs)
