"""What is learned: the deformation of corrupted crystals. Its loss, and the score that the best weights have."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from empnn.corruption.source import BeforeAfter
from empnn.crystals import CrystalBatch
from empnn.errors import ConfigError
from empnn.losses import LOSSES, ParameterScale, position_mae
from empnn.metrics import DenoisingMetrics, RelaxationMetrics, denoising_metrics, relaxation_metrics
from empnn.nn import Deformation, Network
from empnn.relax.passes import relax_batch
from empnn.training.config import Config
from empnn.training.steps import DenoisingBatch


@dataclass(frozen=True)
class Outcome:
    """What a validation found.

    Attributes:
        score: What the best weights have most of.
        figures: For logs and cards.
        words: For the user, on one line.
    """

    score: float
    figures: dict[str, float]
    words: str


class Relaxing:
    """The task of every run: cells, and positions if they move, back to those of the true crystals.

    Args:
        config: The configuration of the run.
        scale: Scale of the lattice parameters of the training crystals.
        sets: Crystals before and after to validate on, by kind of corruption.
    """

    def __init__(self, config: Config, scale: ParameterScale, sets: dict[str, BeforeAfter]) -> None:
        self.config = config.loss
        self.scale = scale
        self.sets = sets
        self._of_cells = LOSSES[config.loss.name]

    def loss(self, deformation: Deformation, batch: DenoisingBatch) -> Tensor:
        """Loss of one batch."""
        before, relaxed = batch.crystals, batch.relaxed
        loss = self._of_cells(before.cell @ deformation.action.mT, relaxed.cell, self.scale)
        earlier = deformation.steps[:-1]
        if self.config.layers and len(earlier):
            n = len(earlier)
            cells = (before.cell @ earlier.mT).flatten(0, 1)
            target = relaxed.cell.expand(n, *relaxed.cell.shape).flatten(0, 1)
            loss = loss + self.config.layers * self._of_cells(cells, target, self.scale)
        if deformation.displacement is None:
            return loss
        shift = before.frac + before.fractional(deformation.displacement) - relaxed.frac
        residual = (shift.unsqueeze(-2) @ relaxed.cell[relaxed.batch]).squeeze(-2)
        return loss + self.config.positions * position_mae(residual)

    def validate(self, network: Network) -> Outcome:
        """One pass over the validation crystals; the network comes back in training mode.

        Structures whose cell the network makes unusable count as if it had done nothing, once half of them are usable;
        untrained networks with many fields fail for a few.

        Raises:
            ConfigError: If more of them are unusable.
        """
        network.eval()
        answers = {kind: _relaxed(network, before) for kind, (before, _) in self.sets.items()}
        network.train()
        if list(self.sets) == ["strain"]:
            before, truth = self.sets["strain"]
            return _of_denoising(denoising_metrics(before, answers["strain"], truth, positions=network.moves_atoms))
        found = {kind: relaxation_metrics(before, answers[kind], truth) for kind, (before, truth) in self.sets.items()}
        return _of_kinds(found, network.moves_atoms)


def _relaxed(network: Network, before: CrystalBatch) -> CrystalBatch:
    relaxed = relax_batch(network, before)
    if 2 * int(relaxed.failed.sum()) >= len(before):
        raise ConfigError("training diverged; lower train.learning_rate and start again")
    return relaxed.crystals


def _of_denoising(metrics: DenoisingMetrics) -> Outcome:
    """The mean of the fractions removed of lengths, angles and positions."""
    parts = [metrics.lengths_removed, metrics.angles_removed]
    words = f"improvement {metrics.lengths_improvement:.3f} A {metrics.angles_improvement:.2f} deg"
    if metrics.positions is not None:
        parts.append(metrics.positions.positions_removed)
        words += f" {metrics.positions.noise_positions - metrics.positions.positions_mae:.3f} A"
    removed = " / ".join(f"{part:.3f}" for part in parts)
    figures = {name: float(value) for name, value in metrics.as_dict().items()}
    return Outcome(sum(parts) / len(parts), figures, f"{words}  removed {removed}")


def _of_kinds(metrics: dict[str, RelaxationMetrics], moves: bool) -> Outcome:
    """1 minus the mean, over kinds of corruption, of the strain left over doing nothing and of displacements alike."""
    names = ("strain_mean", "positions_mean") if moves else ("strain_mean",)
    figures: dict[str, float] = {}
    words, left = [], []
    for kind, found in metrics.items():
        parts = [found.left(name) for name in names]
        left += parts
        words.append(f"{kind} {' / '.join(f'{part:.3f}' for part in parts)}")
        figures |= {f"{kind}_{name}": value for name, value in found.after.items()}
        figures |= {f"{kind}_{name}_before": value for name, value in found.before.items()}
    return Outcome(1 - sum(left) / len(left), figures, f"left of {', '.join(words)}")
