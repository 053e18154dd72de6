"""Losses between predicted and relaxed cells (appendix B.2), each invariant under O(3)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from empnn.geometry import lattice_parameters, metric_tensor

LENGTH_FLOOR = 0.1
ANGLE_FLOOR = 2.0

_MIN_EIGENVALUE = 1e-12
_ROUNDED_DISTANCE = 1e-4


@dataclass(frozen=True)
class ParameterScale:
    """Mean and deviation of (a, b, c, alpha, beta, gamma) over a training set, in angstrom and degrees.

    Attributes:
        mean: The mean, angstrom and degrees.
        deviation: The deviation, angstrom and degrees; at least 0.1 and 2: a parameter that does not vary (the angles
            of cubic perovskites) would otherwise make the loss explode.
    """

    mean: Float64[Tensor, "6"]
    deviation: Float64[Tensor, "6"]

    @staticmethod
    def of(cell: Float64[Tensor, "structures 3 3"]) -> "ParameterScale":
        """The scale of a set of relaxed cells."""
        parameters = lattice_parameters(cell)
        floor = torch.tensor([LENGTH_FLOOR] * 3 + [ANGLE_FLOOR] * 3, dtype=parameters.dtype)
        return ParameterScale(parameters.mean(0), torch.maximum(parameters.std(0, correction=0), floor))

    def to(self, device: torch.device | str) -> "ParameterScale":
        """The same scale on another device."""
        return ParameterScale(self.mean.to(device), self.deviation.to(device))

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


def metric_mae(
    predicted: Float[Tensor, "structures 3 3"], relaxed: Float[Tensor, "structures 3 3"], scale: ParameterScale
) -> Float[Tensor, ""]:
    """Mean over structures of the summed absolute errors of the metric tensor, in square angstrom."""
    return (metric_tensor(predicted) - metric_tensor(relaxed)).abs().sum((-2, -1)).mean()


def metric_mse(
    predicted: Float[Tensor, "structures 3 3"], relaxed: Float[Tensor, "structures 3 3"], scale: ParameterScale
) -> Float[Tensor, ""]:
    """Mean over structures of the summed squared errors of the metric tensor, in angstrom^4."""
    return (metric_tensor(predicted) - metric_tensor(relaxed)).square().sum((-2, -1)).mean()


def riemann(
    predicted: Float[Tensor, "structures 3 3"], relaxed: Float[Tensor, "structures 3 3"], scale: ParameterScale
) -> Float[Tensor, ""]:
    """Affine-invariant squared distance of the metric tensors, sum log^2 eig(F(rho)^-1 F(rho')), dimensionless.

    Invariant under O(3) acting on either cell, and under a change of basis of both. With B = rho'rho^-1 the
    eigenvalues are those of B B^T, and their logarithms those of a symmetric matrix, whose squared norm has a gradient
    even where eigenvalues are equal. Eigenvalues below 1e-12 count as that, so a flat cell is far away, not infinitely.
    This is what the paper's Riemann loss stands for; see `trace_as_printed`.
    """
    difference, _ = torch.linalg.solve_ex(relaxed, predicted - relaxed)
    ratio = torch.eye(3, dtype=difference.dtype, device=difference.device) + difference
    return _squared_log_norm(ratio @ ratio.mT).mean()


def trace_as_printed(
    predicted: Float[Tensor, "structures 3 3"], relaxed: Float[Tensor, "structures 3 3"], scale: ParameterScale
) -> Float[Tensor, ""]:
    """The trace of F(rho') F(rho), the Riemann loss as the paper's appendix prints it, in angstrom^4.

    For comparison only: it is not 0 at the target, and smallest for a collapsed cell.
    """
    return (metric_tensor(predicted) * metric_tensor(relaxed)).sum((-2, -1)).mean()


def position_mae(residual: Float[Tensor, "atoms 3"]) -> Float[Tensor, ""]:
    """Mean distance in angstrom of atoms to their true positions, from the Cartesian vectors between them.

    Invariant under O(3). Below 10^-4 angstrom the distance is rounded off, so that its gradient exists at the target.
    """
    return (residual.square().sum(-1) + _ROUNDED_DISTANCE**2).sqrt().mean() - _ROUNDED_DISTANCE


LOSSES: dict[str, Loss] = {
    "param_mae": param_mae,
    "param_mse": param_mse,
    "metric_mae": metric_mae,
    "metric_mse": metric_mse,
    "riemann": riemann,
    "trace_as_printed": trace_as_printed,
}


def _residuals(predicted: Tensor, relaxed: Tensor, scale: ParameterScale) -> Tensor:
    return scale.normalise(lattice_parameters(predicted)) - scale.normalise(lattice_parameters(relaxed))


class _SquaredLogNorm(torch.autograd.Function):
    """The squared Frobenius norm of log M for symmetric positive M, whose gradient is 2 M^-1 log M.

    The gradient of eigenvalues and eigenvectors, of which a derivative through `eigh` is made, does not exist where
    eigenvalues are equal; this one does.
    """

    @staticmethod
    def forward(ctx: Any, matrix: Tensor) -> Tensor:
        values, vectors = torch.linalg.eigh(matrix)
        values = values.clamp_min(_MIN_EIGENVALUE)
        logarithms = values.log()
        ctx.save_for_backward(logarithms / values, vectors)
        squared: Tensor = logarithms.square().sum(-1)
        return squared

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        ratios, vectors = ctx.saved_tensors
        derivative = 2 * vectors @ (ratios.unsqueeze(-1) * vectors.mT)
        gradient: Tensor = gradients[0][:, None, None] * derivative
        return gradient


def _squared_log_norm(matrix: Tensor) -> Tensor:
    result: Tensor = _SquaredLogNorm.apply(matrix)  # type: ignore[no-untyped-call]
    return result
