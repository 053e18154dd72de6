"""The Lightning module: one training step of a task, and how its gradient is applied."""

from __future__ import annotations

import math
from typing import Any

import lightning
import torch
from torch import Tensor

from empnn.nn import Network
from empnn.training.checkpoint import RunState
from empnn.training.group import ALONE, Group
from empnn.training.options import Config, TrainConfig
from empnn.training.steps import DenoisingBatch
from empnn.training.task import Relaxing


class Denoising(lightning.LightningModule):
    """Learns the deformation that takes corrupted crystals back to the true ones."""

    def __init__(self, network: Network, config: Config, task: Relaxing, state: RunState, group: Group = ALONE) -> None:
        super().__init__()
        self.network = network
        self.config = config
        self.task = task
        self.state = state
        self.group = group
        self.deform = network.__call__
        self.moments: dict[int, dict[str, Tensor]] = {}
        self.gradient_norm = torch.zeros(())
        self._skipped = torch.zeros(())

    def on_fit_start(self) -> None:
        """Move the scale of the loss to where the network is, so that no step has to; join those of all processes."""
        self.task.scale = self.task.scale.to(self.device)
        self.deform = self.group.joined(self.network)

    def training_step(self, batch: DenoisingBatch, batch_idx: int) -> Tensor:
        """Loss of one batch."""
        return self.task.loss(self.deform(batch.crystals, batch.graph), batch)

    def configure_optimizers(self) -> Any:
        """AdamW with a linear rise and a cosine fall of the learning rate; moments restored when resuming."""
        settings = self.config.train
        rate, decay = settings.learning_rate, settings.weight_decay
        optimizer = torch.optim.AdamW(self.network.parameters(), lr=rate, weight_decay=decay, fused=True)
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
