"""Scoring a model: the denoising benchmark of the paper, or candidates against their relaxed cells."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from empnn.crystals import CrystalBatch
from empnn.data.sets import load_split, resolve
from empnn.errors import ConfigError
from empnn.metrics import DenoisingMetrics, denoising_metrics
from empnn.nn import moves_atoms
from empnn.noise import with_fixed_noise
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
        return {"n": n, "sigma": self.sigma, **noise, "seed": self.seed, **figures, "seconds": self.seconds}


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
    if not 0 <= sigma <= MAX_SIGMA:
        raise ConfigError(f"--noise {sigma:g}: must lie between 0 and {MAX_SIGMA:g}")
    moves = moves_atoms(relaxer.network.config)
    positions = (DEFAULT_POSITIONS if moves else 0.0) if positions is None else positions
    if not 0 <= positions <= MAX_SIGMA:
        raise ConfigError(f"--noise-positions {positions:g}: must lie between 0 and {MAX_SIGMA:g}")
    if positions > 0 and not moves:
        raise ConfigError("--noise-positions: this model moves no atoms; give one trained with positions")
    noisy = with_fixed_noise(crystals, sigma, seed, positions)
    found = _score(relaxer, noisy, crystals, sigma, seed, passes)
    return replace(found, positions_sigma=positions) if moves else found


def compare(relaxer: Relaxer, candidates: CrystalBatch, truth: CrystalBatch, passes: int | None = None) -> Evaluation:
    """Relax candidates and compare with their true cells, given in the same order and basis.

    Raises:
        ConfigError: If the two sets do not correspond, structure by structure.
    """
    if len(candidates) != len(truth):
        raise ConfigError(f"{len(candidates)} structures, but {len(truth)} references; give one for each, in order")
    same = (candidates.sizes == truth.sizes).all() and torch.equal(candidates.numbers, truth.numbers)
    if not same:
        raise ConfigError("structures and references differ in their atoms; give the same ones, in the same order")
    return _score(relaxer, candidates, truth, None, None, passes)


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
