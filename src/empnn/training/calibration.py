"""How much of a trained network's answers to keep, and what predicts their errors: fitted to crystals held out.

Others calibrate the bounds of predicted errors. Both parts hold compositions that the weights have not been fitted to.
Bounds are conformal: a margin is added to the logarithms of predicted bounds, such that they hold for 90 % of the
crystals that calibrate.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from empnn.corruption.source import BeforeAfter
from empnn.crystals import CrystalBatch
from empnn.geometry import lattice_parameters, volume
from empnn.metrics import mean_displacements
from empnn.nn import Network
from empnn.nn.error_head import ERRORS, ErrorHead
from empnn.nn.shrinkage import Shrinkage
from empnn.relax.passes import DEFAULT_BATCH_ATOMS, apply_passes, made_of, split
from empnn.training.data import LEAST_CALIBRATION, Part
from empnn.training.error_fit import COVERAGE, SMALLEST, fit_errors
from empnn.training.shrinking import RELAXED, evenly, fit_shrinkage
from empnn.training.sources import Corruptions

LEAST_FIT = 50
"""Crystals below which no errors are predicted."""
_DRAWS = 3
_FEATURES_OF = 8_000
"""Training crystals that tell how features are spread."""


@dataclass(frozen=True)
class Calibration:
    """What predicts errors, and for what it does.

    Attributes:
        head: Predicts them.
        shrinkage: Says how much of the answers to keep; None for all.
        kinds: The kinds of input that it was fitted to, and its bounds were calibrated by.
        fitted_to: Number of crystals that it was fitted to.
        calibrated_by: Number of crystals that its bounds were calibrated by; 0 if there are no bounds.
        coverage: Share of the errors of the crystals that calibrated which the bounds hold for, by kind and error.
        mean_errors: Of the same crystals the mean errors of whole answers, and of what is kept of them; empty if all
            is kept.
    """

    head: ErrorHead
    shrinkage: Shrinkage | None
    kinds: tuple[str, ...]
    fitted_to: int
    calibrated_by: int
    coverage: dict[str, dict[str, float]]
    mean_errors: dict[str, dict[str, list[float]]] = field(default_factory=dict)

    def as_dict(self) -> dict[str, object]:
        """What the card of the model says."""
        return {
            "holds_for": list(self.kinds),
            "fitted_to": self.fitted_to,
            "calibrated_by": self.calibrated_by,
            "coverage": self.coverage,
            **({"mean_errors_whole_and_kept": self.mean_errors} if self.mean_errors else {}),
        }


def calibrate(network: Network, corruptions: Corruptions, fit: Part, apart: Part | None) -> Calibration | None:
    """Fit what predicts the errors of the answers of a network; None where there are too few crystals, or no features.

    Before that, what says how much of its answers to keep, if it was trained to leave relaxed crystals alone. The mean
    errors of both are compared on the crystals apart. Deterministic. Without crystals apart there are no bounds.

    Args:
        network: In evaluation mode, on the CPU.
        corruptions: What is done to crystals; those it was trained on tell which features are usual.
        fit: Crystals and pairs to fit to, which the weights were not fitted to.
        apart: Others, to calibrate by.
    """
    if max(len(part) for part in fit if part is not None) < LEAST_FIT:
        return None
    usual = corruptions.crystals.select(evenly(len(corruptions.crystals), _FEATURES_OF))
    pairs = corruptions.pairs
    elements = {*corruptions.crystals.elements, *([] if pairs is None else pairs.before.elements)}
    whole = Answering(network, elements, None)
    found, _ = signals_and_answers(whole, usual)
    if found is None:
        return None
    features = found[:, -network.config.features :]
    leaves_alone = corruptions.config.noise.mix.relaxed > 0
    shrinkage = fit_shrinkage(network, corruptions, fit, features) if leaves_alone else None
    kept = whole._replace(shrinkage=shrinkage)
    rows = _rows(kept, corruptions, fit)
    learned, errors = (torch.cat([pair[side] for pair in rows.values()]) for side in (0, 1))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        head = ErrorHead(learned.shape[1], features.shape[1], errors.shape[1])
        head.learn_features(features)
        head.learn_scale(learned, errors)
        fit_errors(head, learned, errors)
    kinds = tuple(rows)
    if apart is None:
        return Calibration(head, shrinkage, kinds, len(fit[0]), 0, {})
    left = _rows(kept, corruptions, apart)
    _set_margins(head, left)
    means = {} if shrinkage is None else _compared(_rows(whole, corruptions, apart), left)
    return Calibration(head, shrinkage, kinds, len(fit[0]), len(apart[0]), coverage(head, left), means)


def _compared(
    whole: Mapping[str, tuple[Tensor, Tensor]], kept: Mapping[str, tuple[Tensor, Tensor]]
) -> dict[str, dict[str, list[float]]]:
    """Mean errors of both, by kind of input and error."""
    means = {kind: (whole[kind][1].mean(0), kept[kind][1].mean(0)) for kind in kept}
    return {
        kind: {
            name: [round(float(one), 4), round(float(other), 4)]
            for name, one, other in zip(ERRORS, *both, strict=False)
        }
        for kind, both in means.items()
    }


def coverage(head: ErrorHead, rows: Mapping[str, tuple[Tensor, Tensor]]) -> dict[str, dict[str, float]]:
    """Share of errors that lie below their bounds, by kind of input and error."""
    found: dict[str, dict[str, float]] = {}
    with torch.inference_mode():
        for kind, (signals, errors) in rows.items():
            _, bounds = head.predict(signals)
            held = (errors <= bounds).to(torch.float64).mean(0)
            found[kind] = {name: round(float(share), 3) for name, share in zip(ERRORS, held, strict=False)}
    return found


def answer_errors(after: CrystalBatch, truth: CrystalBatch, positions: bool) -> Tensor:
    """Errors of answers in the order of `ERRORS`, (structures, 2 or 3): angstrom, per cent, angstrom."""
    lengths = (lattice_parameters(after.cell) - lattice_parameters(truth.cell))[:, :3].abs().mean(1)
    volumes = 100 * (volume(after.cell) / volume(truth.cell) - 1).abs()
    moved = [mean_displacements(after, truth)] if positions else []
    return torch.stack([lengths, volumes, *moved], dim=1)


class Answering(NamedTuple):
    """How crystals are answered: a network, the elements it was trained on, and what says how much is kept."""

    network: Network
    elements: set[int]
    shrinkage: Shrinkage | None


def _rows(how: Answering, corruptions: Corruptions, part: Part) -> dict[str, tuple[Tensor, Tensor]]:
    """Signals and true errors of several draws of each kind of input, and of crystals that need nothing."""
    crystals, pairs = part
    draws = [corruptions.validation(crystals, pairs, seed) for seed in range(_DRAWS)]
    truth = crystals.select(np.arange(len(crystals)))
    sets: dict[str, list[BeforeAfter]] = {kind: [draw[kind] for draw in draws] for kind in draws[0]}
    sets[RELAXED] = [(truth, truth)]
    return {kind: _of_kind(how, some) for kind, some in sets.items()}


def _of_kind(how: Answering, some: list[BeforeAfter]) -> tuple[Tensor, Tensor]:
    rows = []
    for before, truth in some:
        signals, after = signals_and_answers(how, before)
        if signals is not None:
            usable = torch.isfinite(after.cell).all(-1).all(-1).nonzero().squeeze(-1)
            errors = answer_errors(after.select(usable), truth.select(usable), how.network.moves_atoms)
            rows.append((signals[usable], errors))
    return torch.cat([signals for signals, _ in rows]), torch.cat([errors for _, errors in rows])


def signals_and_answers(how: Answering, before: CrystalBatch) -> tuple[Tensor | None, CrystalBatch]:
    """What tells of errors in the first pass, None if nothing does; and the answers, NaN where the network fails."""
    signals, answers = [], []
    for index in split(before.sizes.tolist(), DEFAULT_BATCH_ATOMS):
        part = before.select(index)
        moved = apply_passes(how.network, part, 1, how.shrinkage, made_of(part, how.elements))
        if moved.first is not None and moved.first.features is not None:
            signals.append(moved.signals(part))
        answers.append(moved.relaxed(part))
    return (torch.cat(signals) if signals else None), CrystalBatch.cat(answers)


def _set_margins(head: ErrorHead, rows: Mapping[str, tuple[Tensor, Tensor]]) -> None:
    """Margins such that bounds hold for `COVERAGE` of the errors, of crystals with and without symmetry.

    Where there are too few of one of both, they have the margins of all.
    """
    signals, errors = (torch.cat([pair[side] for pair in rows.values()]) for side in (0, 1))
    with torch.inference_mode():
        off = errors.clamp_min(SMALLEST).log() - head(signals)[1]
    symmetric = head.symmetric(signals)
    for group in (False, True):
        chosen = symmetric == group
        part = off[chosen] if int(chosen.sum()) >= LEAST_CALIBRATION else off
        level = min(1.0, COVERAGE * (1 + 1 / len(part)))
        head.margins[int(group)] = part.quantile(level, dim=0, interpolation="higher")
