"""Radial basis of interatomic distances."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import threshold

NEGLIGIBLE = 1e-30
"""Values below it are 0. They tell nothing, and products with numbers near the smallest float32 that a processor holds
in full (1e-38) take many times as long: of 32 functions of width 0.25 angstrom some are that small for every edge."""
LEAST_EXPONENT = math.log(NEGLIGIBLE) - 1
"""Exponents are not taken below it: subnormal results take long, too."""


class GaussianBasis(nn.Module):
    """Gaussians on a regular grid, exp(-(r - r_k)^2 / (2 width^2)) (appendix B.2).

    Args:
        count: Number of functions.
        stop: Centre of the last one, in angstrom; the first is at 0.
        width: Standard deviation, in angstrom.
    """

    centres: Tensor

    def __init__(self, count: int, stop: float, width: float) -> None:
        super().__init__()
        self.count = count
        self.scale = -0.5 / width**2
        self.register_buffer("centres", torch.linspace(0.0, stop, count), persistent=False)

    def forward(self, distance: Float[Tensor, " edges"]) -> Float[Tensor, "edges radial"]:
        """Basis functions of distances in angstrom."""
        exponents = self.scale * (distance.unsqueeze(-1) - self.centres).square()
        return threshold(torch.exp(exponents.clamp_min(LEAST_EXPONENT)), NEGLIGIBLE, 0.0)
