"""A head that predicts how far the answers of a network are from the truth, from what the network made of crystals."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from empnn.nn.empnn import Deformation

ERRORS = ("length", "volume", "position")
"""What is predicted, in this order: angstrom, per cent, angstrom."""
HIDDEN = 32
_ROUNDING = 1e-3
"""Added to sizes before their logarithm: strains and angstrom below this are as good as none."""
_FAR = 5.0
"""Deviations of a signal from its mean that count: nothing is extrapolated beyond."""
_RIDGE = 1e-3
"""Part of the mean variance that is added to every variance, so that features that never vary do no harm."""


def signals(
    deformation: Deformation, moved: Float[Tensor, " structures"], equal: Float[Tensor, " structures"] | None
) -> Float[Tensor, "structures signals"]:
    """What tells how hard crystals are: logarithms of what the layers did, and of all of it; then the mean features.

    Of each layer and of all, the change of volume and the size of the change of shape. Invariant under Euc(3), SL3(Z)
    and S_n, and with mean reductions under the choice of a supercell.

    Args:
        deformation: What the first pass found; it has features.
        moved: Mean displacement of the atoms, angstrom.
        equal: Share of equal edges, which tells symmetric crystals from others; None leaves it out.
    """
    if deformation.features is None:
        raise ValueError("a deformation without features tells nothing of errors")
    identity = torch.eye(3, dtype=deformation.steps.dtype, device=deformation.steps.device)
    first = identity.expand(1, *deformation.steps.shape[1:])
    changes = torch.cat([torch.cat([first, deformation.steps]).diff(dim=0), deformation.action[None] - identity])
    changes = (changes + changes.mT) / 2
    volumes = changes.diagonal(dim1=-2, dim2=-1).sum(-1)
    shapes = torch.linalg.matrix_norm(changes - volumes[..., None, None] / 3 * identity)
    sizes = torch.cat([volumes.abs(), shapes, moved[None].to(volumes.dtype)]).T
    shares = [] if equal is None else [equal[:, None]]
    return torch.cat([(sizes + _ROUNDING).log(), *shares, deformation.features.to(sizes.dtype)], dim=1)


class ErrorHead(nn.Module):
    """Expected errors, and the bounds below which errors lie in 90 % of the cases, from `signals`.

    One more signal is how far the mean features are from those of the training crystals (the logarithm of the
    Mahalanobis distance). In float64: what it predicts does not depend on how crystals are batched.

    Attributes:
        margins: Added to the logarithms of the bounds, from crystals of their own, for those without symmetry and those
            with; NaN before, and then there are no bounds.
    """

    centre: Tensor
    precision: Tensor
    mean: Tensor
    deviation: Tensor
    level: Tensor
    margins: Tensor

    def __init__(self, n_signals: int, n_features: int, n_errors: int) -> None:
        super().__init__()
        self.n_errors = n_errors
        self.layers = nn.Sequential(
            nn.Dropout(0.2),
            nn.Linear(n_signals + 1, HIDDEN),
            nn.SiLU(),
            nn.Dropout(0.3),
            nn.Linear(HIDDEN, HIDDEN),
            nn.SiLU(),
            nn.Dropout(0.3),
            nn.Linear(HIDDEN, 2 * n_errors),
        )
        self.register_buffer("centre", torch.zeros(n_features))
        self.register_buffer("precision", torch.eye(n_features))
        self.register_buffer("mean", torch.zeros(n_signals + 1))
        self.register_buffer("deviation", torch.ones(n_signals + 1))
        self.register_buffer("level", torch.zeros(2 * n_errors))
        self.register_buffer("margins", torch.full((2, n_errors), torch.nan))
        self.to(torch.float64)

    @classmethod
    def of(cls, state: Mapping[str, Tensor]) -> ErrorHead:
        """The head with these weights and buffers.

        Raises:
            KeyError, RuntimeError: If they are none.
        """
        head = cls(len(state["mean"]) - 1, len(state["centre"]), state["margins"].shape[1])
        head.load_state_dict(state)
        return head.eval()

    def learn_features(self, features: Float[Tensor, "structures features"]) -> None:
        """Take the mean and the spread of the mean features of training crystals."""
        features = features.to(self.centre.dtype)
        spread = torch.cov(features.T)
        ridge = _RIDGE * spread.diagonal().mean().clamp_min(torch.finfo(spread.dtype).tiny)
        self.centre.copy_(features.mean(0))
        self.precision.copy_(torch.linalg.inv(spread + ridge * torch.eye(len(spread), dtype=spread.dtype)))

    def learn_scale(
        self, found: Float[Tensor, "structures signals"], errors: Float[Tensor, "structures errors"]
    ) -> None:
        """Take the scale of signals, and that of errors to begin with."""
        rows = self._with_distance(found)
        self.mean.copy_(rows.mean(0))
        self.deviation.copy_(rows.std(0).clamp_min(1e-6))
        self.level.copy_(torch.cat([errors.mean(0).log(), errors.quantile(0.9, dim=0).log()]))

    def forward(
        self, found: Float[Tensor, "structures signals"]
    ) -> tuple[Float[Tensor, "structures errors"], Float[Tensor, "structures errors"]]:
        """Logarithms of the expected errors, and of what 90 % of them lie below, before margins."""
        rows = (self._with_distance(found) - self.mean) / self.deviation
        expected, below = (self.layers(rows.clamp(-_FAR, _FAR)) + self.level).split(self.n_errors, dim=1)
        return expected, below

    def predict(
        self, found: Float[Tensor, "structures signals"]
    ) -> tuple[Float[Tensor, "structures errors"], Float[Tensor, "structures errors"]]:
        """Expected errors and 90 % bounds; these are NaN without calibration."""
        expected, below = self(found)
        return expected.exp(), (below + self.margins[self.symmetric(found).to(torch.int64)]).exp()

    def symmetric(self, found: Float[Tensor, "structures signals"]) -> Bool[Tensor, " structures"]:
        """Whether crystals have symmetry, be it an inversion: most of their edges are equal to others."""
        return found[:, -len(self.centre) - 1] > 0.5

    def _with_distance(self, found: Tensor) -> Tensor:
        found = found.to(self.centre.dtype)
        off = found[:, -len(self.centre) :] - self.centre
        squared = ((off @ self.precision) * off).sum(1, keepdim=True).clamp_min(0)
        return torch.cat([squared.sqrt().add(_ROUNDING).log(), found], dim=1)
