"""Scoring a relaxer: the denoising benchmark of the paper, or candidates against their relaxed cells.

A relaxer is a model, or an energy oracle that relaxes the cell at fixed fractional coordinates.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from empnn.corruption.strain import with_fixed_noise
from empnn.crystals import CrystalBatch
from empnn.data.sets import load_split, resolve
from empnn.energy.run import Job, Judged, judge_batch
from empnn.errors import ConfigError
from empnn.metrics import DenoisingMetrics, denoising_metrics
from empnn.nn import moves_atoms
from empnn.relax import Relaxer

MAX_SIGMA = 1.0
DEFAULT_POSITIONS = 0.1


@dataclass(frozen=True)
class Evaluation:
    """Errors before (do nothing) and after, with the time it took.

    Attributes:
        metrics: Equations 11 and 12, and what they are made of; of positions too if the model moves atoms.
        sigma: Deviation of the noise, or None if the structures were compared with a reference.
        seed: Seed of the noise, or None.
        positions_sigma: Deviation of the noise on positions in angstrom, or None if there was none.
        seconds: Time to relax all structures, graph included, files excluded.
    """

    metrics: DenoisingMetrics
    sigma: float | None
    seed: int | None
    seconds: float
    positions_sigma: float | None = None

    def as_dict(self) -> dict[str, object]:
        """The JSON interface of `empnn evaluate`."""
        figures = self.metrics.as_dict()
        n = figures.pop("n")
        noise = {} if self.positions_sigma is None else {"positions_sigma": self.positions_sigma}
        seconds = {"seconds": self.seconds, "seconds_per_crystal": self.seconds / self.metrics.n}
        return {"n": n, "sigma": self.sigma, **noise, "seed": self.seed, **figures, **seconds}


@dataclass(frozen=True)
class OracleEvaluation(Evaluation):
    """What an energy oracle removes of a deformation.

    `seconds` is what the relaxations took, whenever they were made, with those that failed.

    Attributes:
        converged: How many relaxations converged.
        failed: How many crystals it could not relax; they count as they were given.
        steps: Mean number of steps of the others.
    """

    converged: int = 0
    failed: int = 0
    steps: float = 0.0

    def as_dict(self) -> dict[str, object]:
        """The JSON interface of `empnn evaluate --relaxer`."""
        names = ("converged", "failed", "steps")
        return {**super().as_dict(), **{name: getattr(self, name) for name in names}}


def denoise(
    relaxer: Relaxer,
    crystals: CrystalBatch,
    sigma: float,
    seed: int = 0,
    passes: int | None = None,
    positions: float | None = None,
) -> Evaluation:
    """Strain every crystal with fixed noise, relax it and compare with where it came from.

    Args:
        relaxer: What relaxes.
        crystals: The true crystals.
        sigma: Deviation of the strain.
        seed: Seed of the noise.
        passes: Applications of the network; the model's own number if None.
        positions: Deviation of the displacements of the atoms in angstrom; if None 0.1 for a model that moves atoms, 0
            for others.

    Raises:
        ConfigError: If sigma is not between 0 and 1, positions not between 0 and 1 or not for this model, or the model
            makes a cell unusable.
    """
    _check_sigma(sigma)
    moves = moves_atoms(relaxer.network.config)
    positions = (DEFAULT_POSITIONS if moves else 0.0) if positions is None else positions
    if not 0 <= positions <= MAX_SIGMA:
        raise ConfigError(f"`positions` {positions:g}: must lie between 0 and {MAX_SIGMA:g}")
    if positions > 0 and not moves:
        raise ConfigError("`positions`: this model moves no atoms; give one trained with positions")
    noisy = with_fixed_noise(crystals, sigma, seed, positions)
    found = _score(relaxer, noisy, crystals, sigma, seed, passes)
    return replace(found, positions_sigma=positions) if moves else found


def compare(relaxer: Relaxer, candidates: CrystalBatch, truth: CrystalBatch, passes: int | None = None) -> Evaluation:
    """Relax candidates and compare with their true cells, given in the same order and basis.

    Raises:
        ConfigError: If the two sets do not correspond, structure by structure.
    """
    _check_pairs(candidates, truth)
    return _score(relaxer, candidates, truth, None, None, passes)


def denoise_by_oracle(
    job: Job, crystals: CrystalBatch, sigma: float, seed: int = 0, on_judged: Callable[[Judged], None] | None = None
) -> OracleEvaluation:
    """The benchmark of `denoise`, with the same noise, relaxed by an energy oracle.

    Raises:
        ConfigError: If sigma is not between 0 and 1, or the oracle is not there or relaxes none.
    """
    _check_sigma(sigma)
    return _score_oracle(job, with_fixed_noise(crystals, sigma, seed), crystals, sigma, seed, on_judged)


def compare_by_oracle(
    job: Job, candidates: CrystalBatch, truth: CrystalBatch, on_judged: Callable[[Judged], None] | None = None
) -> OracleEvaluation:
    """Relax candidates by an energy oracle and compare as `compare` does.

    Raises:
        ConfigError: If the two sets do not correspond, or the oracle is not there or relaxes none.
    """
    _check_pairs(candidates, truth)
    return _score_oracle(job, candidates, truth, None, None, on_judged)


def load_crystals(data: str | Path, split: str) -> CrystalBatch:
    """Crystals of a file, or of a split in a data folder or named set; all must be usable.

    Raises:
        ConfigError: If something is missing or refused.
    """
    loaded = load_split(resolve(data), split)
    if loaded.refused:
        more = f" (and {len(loaded.refused) - 1} more)" if len(loaded.refused) > 1 else ""
        raise ConfigError(f"{loaded.refused[0]}{more}; a benchmark needs all structures")
    return loaded.crystals


def _check_sigma(sigma: float) -> None:
    if not 0 <= sigma <= MAX_SIGMA:
        raise ConfigError(f"`sigma` {sigma:g}: must lie between 0 and {MAX_SIGMA:g}")


def _check_pairs(candidates: CrystalBatch, truth: CrystalBatch) -> None:
    if len(candidates) != len(truth):
        raise ConfigError(f"{len(candidates)} structures, but {len(truth)} references; give one for each, in order")
    same = (candidates.sizes == truth.sizes).all() and torch.equal(candidates.numbers, truth.numbers)
    if not same:
        raise ConfigError("structures and references differ in their atoms; give the same ones, in the same order")


def _score_oracle(
    job: Job,
    before: CrystalBatch,
    truth: CrystalBatch,
    sigma: float | None,
    seed: int | None,
    on_judged: Callable[[Judged], None] | None,
) -> OracleEvaluation:
    judged = judge_batch(before, job, on_judged)
    results = [one.result for one in judged if one.result is not None]
    if not results:
        raise ConfigError(f"{job.choice.name} relaxed none of {len(judged)} structures; there is nothing to be scored")
    after = relaxed_batch(before, judged)
    return OracleEvaluation(
        metrics=denoising_metrics(before, after, truth),
        sigma=sigma,
        seed=seed,
        seconds=float(sum(one.seconds or 0.0 for one in judged)),
        converged=sum(result.converged for result in results),
        failed=len(judged) - len(results),
        steps=float(np.mean([result.steps for result in results])),
    )


def relaxed_batch(before: CrystalBatch, judged: list[Judged]) -> CrystalBatch:
    """The crystals in the cells an oracle relaxed them to; those it could not relax are as they were."""
    cells = [
        cell if one.result is None else np.array(one.result.cell)
        for cell, one in zip(before.cell.numpy(), judged, strict=True)
    ]
    return before.with_cell(torch.from_numpy(np.array(cells).reshape(-1, 3, 3)))


def _score(
    relaxer: Relaxer,
    before: CrystalBatch,
    truth: CrystalBatch,
    sigma: float | None,
    seed: int | None,
    passes: int | None,
) -> Evaluation:
    started = time.perf_counter()
    after = relaxer.relax_batch(before, passes)
    seconds = time.perf_counter() - started
    failed = int((~torch.isfinite(after.cell)).any(-1).any(-1).sum())
    if failed:
        raise ConfigError(f"the model turned {failed} of {len(after)} cells into unusable ones; it cannot be scored")
    metrics = denoising_metrics(before, after, truth, positions=moves_atoms(relaxer.network.config))
    return Evaluation(metrics, sigma, seed, seconds)
