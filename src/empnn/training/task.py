"""What is learned: the deformation of corrupted crystals. Its loss, and the score that the best weights have."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from empnn.checks.refusals import is_collapsed
from empnn.corruption.source import BeforeAfter
from empnn.crystals import CrystalBatch
from empnn.errors import ConfigError
from empnn.losses import LOSSES, ParameterScale, position_mae
from empnn.metrics import DenoisingMetrics, RelaxationMetrics, denoising_metrics, relaxation_metrics
from empnn.nn import Deformation, Network
from empnn.relax.passes import relax_batch
from empnn.training.options import Config
from empnn.training.steps import DenoisingBatch

Removed = dict[str, dict[str, float]]
"""By kind of corruption, and by part of the error (`cell`, `atoms` ...): the fraction that is gone."""


class DivergedError(ConfigError):
    """Training that made most crystals unusable: what is wrong are its settings, not its data."""


@dataclass(frozen=True)
class Outcome:
    """What a validation found.

    Attributes:
        removed: The fraction of each part of the error that is gone, 0 for doing nothing; under the kind of corruption,
            or the empty word if that is strain alone.
        figures: For logs and cards.
    """

    removed: Removed
    figures: dict[str, float]

    @property
    def score(self) -> float:
        """What the best weights have most of: the mean of all that is removed."""
        parts = [part for kind in self.removed.values() for part in kind.values()]
        return sum(parts) / len(parts)

    @property
    def worse(self) -> list[str]:
        """The parts that doing nothing leaves smaller, in words."""
        named = {kind: [name for name, part in parts.items() if part < 0] for kind, parts in self.removed.items()}
        return [f"{name} ({kind})" if kind else name for kind, names in named.items() for name in names]


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
        """Loss of one batch; of a part of a step, such that the mean over the parts is the loss of the step."""
        before, relaxed = batch.crystals, batch.relaxed
        loss = self._of_cells(before.cell @ deformation.action.mT, relaxed.cell, self.scale)
        earlier = deformation.steps[:-1]
        if self.config.layers and len(earlier):
            n = len(earlier)
            cells = (before.cell @ earlier.mT).flatten(0, 1)
            target = relaxed.cell.expand(n, *relaxed.cell.shape).flatten(0, 1)
            loss = loss + self.config.layers * self._of_cells(cells, target, self.scale)
        loss = batch.structures_weight * loss
        if deformation.displacement is None:
            return loss
        shift = before.frac + before.fractional(deformation.displacement) - relaxed.frac
        residual = (shift.unsqueeze(-2) @ relaxed.cell[relaxed.batch]).squeeze(-2)
        return loss + batch.atoms_weight * self.config.positions * position_mae(residual)

    def validate(self, network: Network) -> Outcome:
        """One pass over the validation crystals; the network comes back in training mode.

        Structures whose cell the network makes unusable count as if it had done nothing, once half of them are usable;
        untrained networks with many fields fail for a few.

        Raises:
            DivergedError: If more of them are unusable.
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
    usable = ~is_collapsed(before.cell, before.sizes)
    if 2 * int((relaxed.failed & usable).sum()) >= len(before):
        raise DivergedError("training diverged; lower train.learning_rate and start again")
    return relaxed.crystals


def _of_denoising(metrics: DenoisingMetrics) -> Outcome:
    """The fractions removed of lengths, angles and positions."""
    parts = {"lengths": metrics.lengths_removed, "angles": metrics.angles_removed}
    if metrics.positions is not None:
        parts["atoms"] = metrics.positions.positions_removed
    return Outcome({"": parts}, {name: float(value) for name, value in metrics.as_dict().items()})


def _of_kinds(metrics: dict[str, RelaxationMetrics], moves: bool) -> Outcome:
    """Of each kind of corruption the fractions removed of the mean strain and of the mean displacement."""
    names = {"cell": "strain_mean", "atoms": "positions_mean"} if moves else {"cell": "strain_mean"}
    figures: dict[str, float] = {}
    for kind, found in metrics.items():
        figures |= {f"{kind}_{name}": value for name, value in found.after.items()}
        figures |= {f"{kind}_{name}_before": value for name, value in found.before.items()}
    removed = {kind: {part: 1 - found.left(name) for part, name in names.items()} for kind, found in metrics.items()}
    return Outcome(removed, figures)
