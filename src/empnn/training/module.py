"""The Lightning module: one denoising step, and validation on fixed noise."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import lightning
import torch
from torch import Tensor

from empnn.corruption.strain import with_fixed_noise
from empnn.crystals import CrystalBatch
from empnn.losses import LOSSES, ParameterScale, position_mae
from empnn.metrics import DenoisingMetrics, denoising_metrics
from empnn.nn import Network, moves_atoms
from empnn.relax.passes import relax_batch
from empnn.training.checkpoint import RunState
from empnn.training.config import Config, TrainConfig
from empnn.training.steps import DenoisingBatch

VALIDATION_SEED = 0


class Denoising(lightning.LightningModule):
    """Learns the deformation that takes strained crystals back to their relaxed cells."""

    def __init__(self, network: Network, config: Config, scale: ParameterScale, state: RunState) -> None:
        super().__init__()
        self.network = network
        self.config = config
        self.scale = scale
        self.state = state
        self.loss = LOSSES[config.loss.name]
        self.moments: dict[int, dict[str, Tensor]] = {}
        self.gradient_norm = torch.zeros(())
        self._skipped = torch.zeros(())

    def on_fit_start(self) -> None:
        """Move the scale of the loss to where the network is, so that no step has to."""
        self.scale = self.scale.to(self.device)

    def training_step(self, batch: DenoisingBatch, batch_idx: int) -> Tensor:
        """Loss of one batch."""
        before, relaxed = batch.crystals, batch.relaxed
        deformation = self.network(before, batch.graph)
        loss = self.loss(before.cell @ deformation.action.mT, relaxed.cell, self.scale)
        if deformation.displacement is None:
            return loss
        shift = before.frac + before.fractional(deformation.displacement) - relaxed.frac
        residual = (shift.unsqueeze(-2) @ relaxed.cell[relaxed.batch]).squeeze(-2)
        return loss + self.config.loss.positions * position_mae(residual)

    def configure_optimizers(self) -> Any:
        """Adam with a linear rise and a cosine fall of the learning rate; moments restored when resuming."""
        settings = self.config.train
        optimizer = torch.optim.Adam(self.network.parameters(), lr=settings.learning_rate, fused=True)
        if self.moments:
            content = optimizer.state_dict()
            optimizer.load_state_dict({**content, "state": self.moments})
        first = self.state.step
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda done: rate_factor(first + done, settings))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip the norm; a gradient that is not finite is dropped and counted, so that no NaN reaches the weights.

        The fused optimizer does not step if `found_inf` is set; nothing here makes the host wait for a GPU.
        """
        norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.config.train.gradient_clip)
        skipped = (~torch.isfinite(norm)).to(torch.float32)
        optimizer.found_inf = skipped  # type: ignore[attr-defined]
        self.gradient_norm = norm.detach()
        self._skipped = self._skipped.to(skipped.device) + skipped

    def count_skipped(self) -> None:
        """Add the steps that were skipped since the last call to the state of the run."""
        self.state.skipped_steps += int(self._skipped)
        self._skipped = torch.zeros(())


def rate_factor(step: int, settings: TrainConfig) -> float:
    """Learning rate of a step as a fraction of the peak."""
    rise = min(1.0, (step + 1) / settings.warmup_steps) if settings.warmup_steps else 1.0
    if not settings.decay:
        return rise
    return rise * 0.5 * (1 + math.cos(math.pi * min(1.0, step / settings.steps)))


def validate(network: Network, crystals: CrystalBatch, settings: TrainConfig) -> DenoisingMetrics:
    """Metrics of one pass over crystals with fixed noise; the network comes back in training mode.

    Structures whose cell the network makes unusable count as if it had done nothing, once half of them are usable;
    untrained networks with many fields fail for a few.
    """
    moves = moves_atoms(network.config)
    noisy = with_fixed_noise(
        crystals, settings.validate_sigma, VALIDATION_SEED, settings.validate_positions if moves else 0.0
    )
    network.eval()
    relaxed = relax_batch(network, noisy)
    network.train()
    failed = ~torch.isfinite(relaxed.cell).all(-1).all(-1)
    if 2 * int(failed.sum()) < len(crystals):
        relaxed = replace(
            relaxed,
            cell=torch.where(failed[:, None, None], noisy.cell, relaxed.cell),
            frac=torch.where(failed[crystals.batch, None], noisy.frac, relaxed.frac),
        )
    return denoising_metrics(noisy, relaxed, crystals, positions=moves)


def selection_score(metrics: DenoisingMetrics) -> float:
    """What the best checkpoint maximises: the mean of the fractions removed of lengths, angles and positions."""
    parts = [metrics.lengths_removed, metrics.angles_removed]
    if metrics.positions is not None:
        parts.append(metrics.positions.positions_removed)
    return sum(parts) / len(parts)
