"""Denoising metrics: equations 11 and 12 of the paper, beside the error of doing nothing."""

from dataclasses import dataclass

import torch
from jaxtyping import Float64
from torch import Tensor

from empnn.geometry import lattice_parameters


@dataclass(frozen=True)
class LatticeMetrics:
    """Errors of lattice parameters, averaged over structures and the three lengths or angles.

    Attributes:
        n: Number of structures.
        noise_lengths: Mean absolute error of (a, b, c) before, that is of doing nothing, in angstrom.
        noise_angles: The same of (alpha, beta, gamma), in degrees.
        lengths_mae: Mean absolute error of (a, b, c) after, in angstrom.
        angles_mae: The same of (alpha, beta, gamma), in degrees.
    """

    n: int
    noise_lengths: float
    noise_angles: float
    lengths_mae: float
    angles_mae: float

    @property
    def lengths_improvement(self) -> float:
        """Equation 11, in angstrom: higher is better."""
        return self.noise_lengths - self.lengths_mae

    @property
    def angles_improvement(self) -> float:
        """Equation 12, in degrees: higher is better."""
        return self.noise_angles - self.angles_mae

    @property
    def lengths_removed(self) -> float:
        """Fraction of the length noise that is gone, 1 - after / before; 0 where there was no noise."""
        return 1 - self.lengths_mae / self.noise_lengths if self.noise_lengths > 0 else 0.0

    @property
    def angles_removed(self) -> float:
        """Fraction of the angle noise that is gone, 1 - after / before; 0 where there was no noise."""
        return 1 - self.angles_mae / self.noise_angles if self.noise_angles > 0 else 0.0

    def as_dict(self) -> dict[str, float | int]:
        """All figures under the names of the JSON interface."""
        names = (
            *("n", "noise_lengths", "noise_angles", "lengths_mae", "angles_mae"),
            *("lengths_improvement", "angles_improvement", "lengths_removed", "angles_removed"),
        )
        return {name: getattr(self, name) for name in names}


def lattice_metrics(
    before: Float64[Tensor, "structures 3 3"],
    after: Float64[Tensor, "structures 3 3"],
    reference: Float64[Tensor, "structures 3 3"],
) -> LatticeMetrics:
    """Compare cells before and after relaxation with the reference cells, all given in the same basis.

    Invariant under O(3) acting on any of the cells.

    Raises:
        ValueError: If there is no structure.
    """
    if len(reference) == 0:
        raise ValueError("no structures to compare")
    truth = lattice_parameters(reference)
    errors = torch.stack([(lattice_parameters(c) - truth).abs() for c in (before, after)])
    means = torch.stack([errors[..., :3].mean((1, 2)), errors[..., 3:].mean((1, 2))], dim=-1)
    (noise_lengths, noise_angles), (lengths_mae, angles_mae) = means.tolist()
    return LatticeMetrics(len(reference), noise_lengths, noise_angles, lengths_mae, angles_mae)
