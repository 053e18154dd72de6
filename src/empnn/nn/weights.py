"""Invariant weights of vector fields on edges and triplets: equations 16, 17, 20 and 21 of the paper."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from empnn.graph import Graph, Triplets
from empnn.nn.kernels.edge_sums import angles_between, project, sum_of_sides
from empnn.nn.message_passing import EdgeLinear, joined_linear

SINE_FLOOR = 1e-4
"""The sine is sqrt(sin^2 + floor^2), whose gradient is finite for collinear legs."""


class EdgeWeights(nn.Module):
    """Weights of the edge fields, w = W' silu(W [h_i || h_j || rbf(r)]) (equations 16 and 20)."""

    def __init__(self, features: int, radial: int, n_weights: int) -> None:
        super().__init__()
        self.edge = EdgeLinear(features, radial)
        self.weight = nn.Linear(features, n_weights, bias=False)

    def forward(self, atoms: Tensor, graph: Graph, radial: Tensor) -> Float[Tensor, "edges weights"]:
        """Invariant weights of each edge."""
        return project(self.edge.table(atoms), radial, self.edge.radial.weight, self.weight.weight, graph.pairs)


class TripletWeights(nn.Module):
    """Weights of the triplet fields, equations 17 and 21.

    w = W' silu(W [h_i || h_j || h_k || rbf(r) || rbf(r') || cos || sin]), without building the concatenation: all but
    the angle is projected on edges, h_i, h_j and r on the first and h_k and r' on the second.
    """

    def __init__(self, features: int, radial: int, n_weights: int) -> None:
        super().__init__()
        self.first = EdgeLinear(features, radial)
        self.second = nn.Linear(features, features, bias=False)
        self.second_radial = nn.Linear(radial, features, bias=False)
        self.angle = nn.Linear(2, features, bias=False)
        self.weight = nn.Linear(features, n_weights, bias=False)

    def forward(
        self, atoms: Tensor, graph: Graph, triplets: Triplets, radial: Tensor, angles: Tensor
    ) -> Float[Tensor, "triplets weights"]:
        """Invariant weights of each triplet; `angles` are its cosine and squared sine."""
        rows = joined_linear(atoms, (self.first.source, self.first.target, self.second))
        source, target, second = rows.chunk(3, dim=1)
        table = torch.cat([source, torch.zeros_like(source), target, second], dim=1)
        of_radial = torch.cat([self.first.radial.weight, self.second_radial.weight])
        edges = sum_of_sides(table, radial, of_radial, graph.pairs)
        cosine, squared = angles.unbind(1)
        angle = torch.stack([cosine, (squared + SINE_FLOOR**2).sqrt()], dim=1)
        return project(edges, angle, self.angle.weight, self.weight.weight, triplets.pairs)


def cosines_and_squared_sines(units: Float[Tensor, "edges 3"], triplets: Triplets) -> Float[Tensor, "triplets 2"]:
    """Cosine and squared sine of the angle of each triplet, from the directions of the edges. Invariant under O(3)."""
    found = angles_between(units, triplets.pairs)
    return torch.cat([-found[:, :1], found[:, 1:]], dim=1) if triplets.flip_first else found
