"""Fitting what predicts errors to errors."""

import math
from collections.abc import Iterator

import torch
from jaxtyping import Float64
from torch import Tensor

from empnn.nn.error_head import ErrorHead

COVERAGE = 0.9
"""Share of the errors that bounds are to hold for."""
SMALLEST = 1e-4
"""Errors below this are rounding."""
_STEPS, _BATCH, _RATE, _DECAY = 1_000, 256, 2e-3, 0.1
_MOST_LOSS = 50.0


def fit_errors(
    head: ErrorHead, signals: Float64[Tensor, "structures signals"], errors: Float64[Tensor, "structures errors"]
) -> None:
    """Expected errors by the likelihood of exponential distributions, bounds by the pinball loss of logarithms."""
    optimizer = torch.optim.AdamW(head.parameters(), lr=_RATE, weight_decay=_DECAY)
    errors = errors.clamp_min(SMALLEST)
    head.train()
    for _ in annealed(optimizer, _RATE, _STEPS):
        chosen = torch.randint(len(signals), (min(_BATCH, len(signals)),))
        expected, below = head(signals[chosen])
        likelihood = (expected + errors[chosen] * torch.exp(-expected)).clamp_max(_MOST_LOSS).mean()
        off = errors[chosen].log() - below
        loss = likelihood + 2 * torch.maximum(COVERAGE * off, (COVERAGE - 1) * off).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    head.eval()


def annealed(optimizer: torch.optim.Optimizer, rate: float, steps: int) -> Iterator[int]:
    """So many steps, while the learning rate falls to 0 along half a cosine."""
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = rate * 0.5 * (1 + math.cos(math.pi * step / steps))
        yield step
