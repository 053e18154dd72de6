"""How much of an answer to keep: what lies below the error that is to be expected of it is mostly error."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor, nn

from empnn.nn.error_head import HIDDEN, ErrorHead

_FIRST_SCALES = (0.005, 0.005, 0.01)
"""Sizes of which half is kept, to begin with: strain, strain, angstrom."""
_ROUNDING = 1e-3
"""Added to sizes: strains and angstrom below this are as good as none."""
_FAR = 5.0
"""Deviations from the mean that count: nothing is extrapolated beyond."""


class Shrinkage(nn.Module):
    """Factors between 0 and 1 for the parts of an answer: change of volume, change of shape, displacements.

    Of a part of size s it keeps s^2 / (s^2 + k^2), as a Wiener filter does: large parts whole, small ones hardly. The
    scale k of each part is learned, on crystals that the weights of the network were not fitted to, from the sizes of
    all parts and the errors that are to be expected of them. Factors are invariant under Euc(3), SL3(Z) and S_n, so
    that the exact equivariance of the answer is kept; an answer of nothing stays one. In float64.
    """

    mean: Tensor
    deviation: Tensor
    level: Tensor

    def __init__(self, n_signals: int, n_features: int, n_parts: int) -> None:
        super().__init__()
        self.errors = ErrorHead(n_signals, n_features, n_parts)
        self.layers = nn.Sequential(
            nn.Dropout(0.05),
            nn.Linear(2 * n_parts, HIDDEN),
            nn.SiLU(),
            nn.Dropout(0.1),
            nn.Linear(HIDDEN, HIDDEN),
            nn.SiLU(),
            nn.Dropout(0.1),
            nn.Linear(HIDDEN, n_parts),
        )
        self.register_buffer("mean", torch.zeros(2 * n_parts))
        self.register_buffer("deviation", torch.ones(2 * n_parts))
        self.register_buffer("level", torch.tensor(_FIRST_SCALES[:n_parts]).log())
        self.to(torch.float64)

    @classmethod
    def of(cls, state: Mapping[str, Tensor]) -> Shrinkage:
        """The one with these weights and buffers.

        Raises:
            KeyError, RuntimeError: If they are none.
        """
        n_features = len(state["errors.centre"])
        made = cls(len(state["errors.mean"]) - 1, n_features, len(state["mean"]) // 2)
        made.load_state_dict(state)
        return made.eval()

    def learn_scale(self, found: Float[Tensor, "structures signals"], sizes: Float[Tensor, "structures parts"]) -> None:
        """Take the scale of what it reads; the errors have been learned before."""
        rows = self._rows(found, sizes)
        self.mean.copy_(rows.mean(0))
        self.deviation.copy_(rows.std(0).clamp_min(1e-6))

    def forward(
        self, found: Float[Tensor, "structures signals"], sizes: Float[Tensor, "structures parts"]
    ) -> Float[Tensor, "structures parts"]:
        """The factors.

        Args:
            found: See `signals`, without the share of equal edges: all that it reads is continuous.
            sizes: Frobenius norms of both parts of the strain, and the mean displacement in angstrom.
        """
        rows = (self._rows(found, sizes) - self.mean) / self.deviation
        scales = self.layers(rows.clamp(-_FAR, _FAR)) + self.level
        factors: Tensor = torch.sigmoid(2 * ((sizes + _ROUNDING).log() - scales))
        return factors

    def _rows(self, found: Tensor, sizes: Tensor) -> Tensor:
        with torch.no_grad():
            expected, _ = self.errors(found)
        return torch.cat([expected, (sizes + _ROUNDING).log()], dim=1)
