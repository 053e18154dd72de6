"""The linear maps of concatenations in equations 19 and 21, split into parts that are never concatenated."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from empnn.graph import Pairs
from empnn.nn.kernels.edge_sums import sum_of_sides
from empnn.nn.kernels.linear import joined_linear

SINE_FLOOR = 1e-4
"""The sine is sqrt(sin^2 + floor^2), whose gradient is finite for collinear legs."""


class EdgeLinear(nn.Module):
    """The linear map W [h_i || h_j || rbf(r)] of equations 19 and 20."""

    def __init__(self, features: int, radial: int) -> None:
        super().__init__()
        self.source = nn.Linear(features, features)
        self.target = nn.Linear(features, features, bias=False)
        self.radial = nn.Linear(radial, features, bias=False)

    def table(self, atoms: Float[Tensor, "atoms features"]) -> Float[Tensor, "atoms two_features"]:
        """The parts of h_i and of h_j, side by side."""
        return joined_linear(atoms, (self.source, self.target))


class TripletLinear(nn.Module):
    """The linear map W [h_i || h_j || h_k || rbf(r) || rbf(r') || cos || sin] of equation 21.

    All but the angle is projected on edges: h_i, h_j and r on the first, h_k and r' on the second.
    """

    def __init__(self, features: int, radial: int) -> None:
        super().__init__()
        self.first = EdgeLinear(features, radial)
        self.second = nn.Linear(features, features, bias=False)
        self.second_radial = nn.Linear(radial, features, bias=False)
        self.angle = nn.Linear(2, features, bias=False)

    def table(
        self, atoms: Float[Tensor, "atoms features"], radial: Float[Tensor, "edges radial"], pairs: Pairs
    ) -> Float[Tensor, "edges two_features"]:
        """What each edge adds as the first one and as the second one of a triplet, side by side; `pairs` are edges."""
        rows = joined_linear(atoms, (self.first.source, self.first.target, self.second))
        source, target, second = rows.chunk(3, dim=1)
        table = torch.cat([source, torch.zeros_like(source), target, second], dim=1)
        of_radial = torch.cat([self.first.radial.weight, self.second_radial.weight])
        return sum_of_sides(table, radial, of_radial, pairs)


def cosines_and_sines(angles: Float[Tensor, "triplets 2"]) -> Float[Tensor, "triplets 2"]:
    """The angle of equation 21: cos and sin, from the cosine and the squared sine of each triplet."""
    cosine, squared = angles.unbind(1)
    return torch.stack([cosine, (squared + SINE_FLOOR**2).sqrt()], dim=1)
