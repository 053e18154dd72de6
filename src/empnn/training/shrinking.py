"""How much of a trained network's answers to keep: fitted to crystals that its weights have not been fitted to.

Networks are surer of themselves on the crystals they were trained on than on others, and move what should stay.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor

from empnn.corruption.source import BeforeAfter
from empnn.corruption.strain import with_fixed_noise
from empnn.crystals import CrystalBatch, without_mean
from empnn.geometry import hencky_strain, isotropic_and_deviatoric, polar_factor, principal_strains
from empnn.metrics import displacements
from empnn.nn import Network
from empnn.nn.shrinkage import Shrinkage
from empnn.relax.passes import DEFAULT_BATCH_ATOMS, apply_passes, split
from empnn.relax.signals import signals_of, sizes_of
from empnn.training.data import Part
from empnn.training.error_fit import annealed, fit_errors
from empnn.training.sources import Corruptions

IN_PLACE, SCALED, RELAXED = "strain, atoms in place", "scaled", "relaxed"
"""Kinds of input beside those of the run: strained, scaled as a whole, and right already; atoms are in place."""
_WEIGHTS = {"strain": 0.15, IN_PLACE: 0.25, "symmetric": 0.15, SCALED: 0.1, RELAXED: 0.05}
_OF_CANDIDATES = 0.5
"""Weights of kinds of input, and of those that are left: real candidates, or like them."""
_ATOMS_IN_PLACE = 0.1
"""Part of their weight that displacements have where there should be none."""
_SIGMAS, _SCALES = (0.02, 0.05, 0.1, 0.2, 0.3), (0.9, 0.95, 1.05, 1.1)
_DRAWS, _MOST = 8, 2_000
_STRAIN, _DISPLACEMENT = 0.05, 0.08
"""What errors are compared with: strain, and angstrom."""
_STEPS, _BATCH, _RATE, _DECAY = 3_000, 512, 2e-3, 0.1


@dataclass(frozen=True)
class _Rows:
    """Answers and the truth, as far as it takes to tell how far apart they are once the answers are scaled.

    Attributes:
        signals: See `signals_of`. (structures, signals)
        sizes: See `Shrinkage`. (structures, parts)
        squares: Of each part the squares of the truth and of the answer, and their product; displacements as mean
            squares over the atoms. (structures, parts, 3)
        weights: Of each structure, and of its displacements. (structures, 2)
    """

    signals: Float64[Tensor, "structures signals"]
    sizes: Float64[Tensor, "structures parts"]
    squares: Float64[Tensor, "structures parts 3"]
    weights: Float64[Tensor, "structures 2"]


def fit_shrinkage(
    network: Network, corruptions: Corruptions, part: Part, usual: Float[Tensor, "structures features"]
) -> Shrinkage:
    """Fit what says how much of the answers of a network to keep, in one pass. Deterministic.

    Args:
        network: In evaluation mode, on the CPU; it has features.
        corruptions: What is done to crystals.
        part: Crystals and pairs to fit to, which the weights were not fitted to.
        usual: Mean atom features of crystals they were fitted to.
    """
    sets = [_rows(network, *one) for one in _inputs(corruptions, part)]
    every = _Rows(*(torch.cat([getattr(one, field.name) for one in sets]) for field in fields(_Rows)))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        found = Shrinkage(every.signals.shape[1], usual.shape[1], every.sizes.shape[1]).eval()
        found.errors.learn_features(usual)
        errors = _left(every.squares, torch.ones_like(every.sizes))
        found.errors.learn_scale(every.signals, errors)
        fit_errors(found.errors, every.signals, errors)
        found.learn_scale(every.signals, every.sizes)
        _fit(found, every)
    return found


def _inputs(corruptions: Corruptions, part: Part) -> Iterator[tuple[BeforeAfter, float, float]]:
    """Inputs of all kinds, with the weights of each and of its displacements."""
    crystals, pairs = part
    crystals = crystals.subset(evenly(len(crystals), _MOST))
    if pairs is not None:
        pairs = pairs.subset(evenly(len(pairs), _MOST))
    for seed in range(_DRAWS):
        # Of pairs there is nothing to be drawn.
        for kind, pair in corruptions.validation(crystals, None if seed else pairs, seed).items():
            yield pair, _WEIGHTS.get(kind, _OF_CANDIDATES) / (1 if kind == "pairs" else _DRAWS), 1.0
    truth = crystals.select(np.arange(len(crystals)))
    for seed, sigma in enumerate(_SIGMAS):
        yield (with_fixed_noise(truth, sigma, seed), truth), _WEIGHTS[IN_PLACE] / len(_SIGMAS), _ATOMS_IN_PLACE
    for scale in _SCALES:
        yield (truth.with_cell(truth.cell * scale), truth), _WEIGHTS[SCALED] / len(_SCALES), _ATOMS_IN_PLACE
    yield (truth, truth), _WEIGHTS[RELAXED], _ATOMS_IN_PLACE


def evenly(n: int, most: int) -> np.ndarray:
    """At most so many of n positions, evenly."""
    return np.linspace(0, n - 1, min(n, most)).astype(np.int64)


def _rows(network: Network, pair: BeforeAfter, weight: float, of_displacements: float) -> _Rows:
    before, truth = pair
    signals, sizes, strain, shift = _answers(network, before)
    # Cells are rows, `truth = before @ h.T`.
    wanted = hencky_strain(polar_factor(torch.linalg.solve(before.cell, truth.cell).mT))
    squares = []
    for one, other in zip(isotropic_and_deviatoric(strain), isotropic_and_deviatoric(wanted), strict=True):
        squares.append(torch.stack([other * other, one * one, one * other], dim=-1).sum((1, 2)))
    if network.moves_atoms:
        moved = without_mean(truth, (shift.unsqueeze(-2) @ truth.cell[truth.batch]).squeeze(-2))
        away = -displacements(before, truth)
        products = torch.stack([away * away, moved * moved, away * moved], dim=-1).sum(1)
        squares.append(products.new_zeros(len(truth), 3).index_add(0, truth.batch, products) / truth.sizes[:, None])
    weights = torch.tensor([weight, of_displacements], dtype=torch.float64).expand(len(truth), 2)
    weights = weights / weights.new_tensor([len(truth), 1.0])
    found = _Rows(signals, sizes, torch.stack(squares, dim=1), weights)
    usable = torch.isfinite(found.squares).all(-1).all(-1)
    return _Rows(*(getattr(found, field.name)[usable] for field in fields(_Rows)))


def _answers(network: Network, before: CrystalBatch) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Signals, sizes, Hencky strains and shifts of fractional coordinates of one whole pass; NaN if it fails."""
    found: list[tuple[Tensor, ...]] = []
    for index in split(before.sizes.tolist(), DEFAULT_BATCH_ATOMS):
        part = before.select(index)
        moved = apply_passes(network, part, passes=1)
        if moved.first is None:
            raise ValueError("there was no pass")
        failed = moved.stretches[-1].isnan()
        stretch = torch.where(failed, torch.eye(3, dtype=torch.float64), moved.stretches[-1])
        strains, _ = principal_strains(torch.where(failed, stretch, moved.first.action))
        sizes = sizes_of(part, moved.first, strains)
        strain = hencky_strain(stretch).masked_fill(failed, torch.nan)
        found.append((signals_of(part, moved.first), sizes, strain, moved.shift))
    signals, sizes, strain, shifts = (torch.cat(parts) for parts in zip(*found, strict=True))
    return signals, sizes, strain, shifts


def _left(squares: Float64[Tensor, "structures parts 3"], factors: Tensor) -> Float64[Tensor, "structures parts"]:
    """How far the parts of answers, scaled, are from the truth."""
    of_truth, of_answer, product = squares.unbind(-1)
    return (of_truth - 2 * factors * product + factors.square() * of_answer).clamp_min(0).add(1e-10).sqrt()


def _fit(shrinkage: Shrinkage, rows: _Rows) -> None:
    """The strain that is left, and the displacements, each kind of input with its weight."""
    optimizer = torch.optim.AdamW(shrinkage.layers.parameters(), lr=_RATE, weight_decay=_DECAY)
    shrinkage.layers.train()
    for _ in annealed(optimizer, _RATE, _STEPS):
        chosen = torch.multinomial(rows.weights[:, 0], min(_BATCH, len(rows.weights)), replacement=True)
        left = _left(rows.squares[chosen], shrinkage(rows.signals[chosen], rows.sizes[chosen]))
        loss = torch.linalg.vector_norm(left[:, :2], dim=1) / _STRAIN
        if left.shape[1] > 2:
            loss = loss + rows.weights[chosen, 1] * left[:, 2] / _DISPLACEMENT
        optimizer.zero_grad()
        loss.mean().backward()
        optimizer.step()
    shrinkage.eval()
