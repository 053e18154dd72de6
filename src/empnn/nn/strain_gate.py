"""A gate on the strain of a layer: what the shape of a crystal tells about how far it is from equilibrium."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import silu

from empnn.geometry import isotropic_and_deviatoric
from empnn.nn.kernels.linear import Linear

GATE_SIZES = (0.003, 0.01, 0.03, 0.06, 0.1, 0.2)


class StrainGate(nn.Module):
    """Scales the isotropic and the deviatoric part of an exponent by functions of invariants.

    How far a crystal is from equilibrium shows in its shape before it shows in its volume: equal bonds have become
    unequal. The gate reads the size of both parts of the strain found so far, and the mean atom features, and learns
    how much of each to believe. A crystal whose shape is right then keeps its volume. The parts are scaled as a whole,
    so the equivariance of the exponent is kept; supercells give the same.
    """

    sizes: Tensor

    def __init__(self, features: int) -> None:
        super().__init__()
        self.register_buffer("sizes", torch.tensor(GATE_SIZES), persistent=False)
        self.hidden = Linear(features + 2 * len(GATE_SIZES), features)
        self.factors = Linear(features, 2)

    def forward(
        self,
        exponent: Float[Tensor, "structures 3 3"],
        strain: Float[Tensor, "structures 3 3"],
        mean_features: Float[Tensor, "structures features"],
    ) -> Float[Tensor, "structures 3 3"]:
        """The scaled exponent of a layer.

        Args:
            exponent: What the layer's edges ask for.
            strain: Sum of the exponents so far, this one included.
            mean_features: Mean atom features.
        """
        invariants = [self._levels(part) for part in isotropic_and_deviatoric(strain)]
        factors = 2 * torch.sigmoid(self.factors(silu(self.hidden(torch.cat([mean_features, *invariants], dim=-1)))))
        isotropic, deviatoric = isotropic_and_deviatoric(exponent)
        return factors[:, 0, None, None] * isotropic + factors[:, 1, None, None] * deviatoric

    def _levels(self, part: Float[Tensor, "structures 3 3"]) -> Float[Tensor, "structures levels"]:
        """Squared Frobenius norm n^2 as n^2 / (n^2 + s^2) for several sizes s: bounded, smooth at 0."""
        squared = part.square().sum((-2, -1)).unsqueeze(-1)
        return squared / (squared + self.sizes.square())
