"""Losses between predicted and relaxed cells (appendix B.2), each invariant under O(3)."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from empnn.geometry import lattice_parameters

LENGTH_FLOOR = 0.1
ANGLE_FLOOR = 2.0


@dataclass(frozen=True)
class ParameterScale:
    """Mean and deviation of (a, b, c, alpha, beta, gamma) over a training set, in angstrom and degrees.

    Attributes:
        mean: Shape (6,).
        deviation: Shape (6,), at least 0.1 angstrom for lengths and 2 degrees for angles: a parameter that does
            not vary (the angles of cubic perovskites) would otherwise make the loss explode.
    """

    mean: Float64[Tensor, "6"]
    deviation: Float64[Tensor, "6"]

    @staticmethod
    def of(cell: Float64[Tensor, "structures 3 3"]) -> "ParameterScale":
        """The scale of a set of relaxed cells."""
        parameters = lattice_parameters(cell)
        floor = torch.tensor([LENGTH_FLOOR] * 3 + [ANGLE_FLOOR] * 3, dtype=parameters.dtype)
        return ParameterScale(parameters.mean(0), torch.maximum(parameters.std(0, correction=0), floor))

    def normalise(self, parameters: Float[Tensor, "structures 6"]) -> Float[Tensor, "structures 6"]:
        """(p - mean) / deviation."""
        mean, deviation = (t.to(parameters) for t in (self.mean, self.deviation))
        return (parameters - mean) / deviation


Loss = Callable[[Tensor, Tensor, ParameterScale], Tensor]


def param_mae(
    predicted: Float[Tensor, "structures 3 3"], relaxed: Float[Tensor, "structures 3 3"], scale: ParameterScale
) -> Float[Tensor, ""]:
    """Mean over structures of the summed absolute errors of the six normalised lattice parameters."""
    return _residuals(predicted, relaxed, scale).abs().sum(-1).mean()


def param_mse(
    predicted: Float[Tensor, "structures 3 3"], relaxed: Float[Tensor, "structures 3 3"], scale: ParameterScale
) -> Float[Tensor, ""]:
    """Mean over structures of the summed squared errors of the six normalised lattice parameters."""
    return _residuals(predicted, relaxed, scale).square().sum(-1).mean()


LOSSES: dict[str, Loss] = {"param_mae": param_mae, "param_mse": param_mse}


def _residuals(predicted: Tensor, relaxed: Tensor, scale: ParameterScale) -> Tensor:
    return scale.normalise(lattice_parameters(predicted)) - scale.normalise(lattice_parameters(relaxed))
