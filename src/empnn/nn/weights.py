"""Invariant weights of vector fields on edges and triplets: equations 16, 17, 20 and 21 of the paper."""

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import silu

from empnn.geometry import cosine_and_sine
from empnn.graph import Graph, Triplets
from empnn.nn.message_passing import EdgeLinear


class EdgeWeights(nn.Module):
    """Weights of the edge fields, w = W' silu(W [h_i || h_j || rbf(r)]) (equations 16 and 20)."""

    def __init__(self, features: int, radial: int, n_weights: int) -> None:
        super().__init__()
        self.edge = EdgeLinear(features, radial)
        self.weight = nn.Linear(features, n_weights, bias=False)

    def forward(self, atoms: Tensor, graph: Graph, radial: Tensor) -> Float[Tensor, "edges weights"]:
        """Invariant weights of each edge."""
        weights: Tensor = self.weight(silu(self.edge(atoms, graph, radial)))
        return weights


class TripletWeights(nn.Module):
    """Weights of the triplet fields, equations 17 and 21.

    w = W' silu(W [h_i || h_j || h_k || rbf(r) || rbf(r') || cos || sin]), without building the concatenation: all but
    the angle is projected on edges and gathered.
    """

    def __init__(self, features: int, radial: int, n_weights: int) -> None:
        super().__init__()
        self.first = EdgeLinear(features, radial)
        self.second = nn.Linear(features, features, bias=False)
        self.second_radial = nn.Linear(radial, features, bias=False)
        self.angle = nn.Linear(2, features, bias=False)
        self.weight = nn.Linear(features, n_weights, bias=False)

    def forward(
        self, atoms: Tensor, graph: Graph, triplets: Triplets, radial: Tensor, vectors: Tensor
    ) -> Float[Tensor, "triplets weights"]:
        """Invariant weights of each triplet; `vectors` are those of the edges, in angstrom."""
        first = self.first(atoms, graph, radial)
        second = self.second(atoms).index_select(0, graph.target).addmm_(radial, self.second_radial.weight.mT)
        hidden: Tensor = self.angle(cosine_and_sine(*triplets.vectors(vectors)))
        hidden = hidden + first.index_select(0, triplets.first) + second.index_select(0, triplets.second)
        weights: Tensor = self.weight(silu(hidden))
        return weights
