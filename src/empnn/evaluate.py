"""Scoring a relaxer: the denoising benchmark of the paper, or candidates against their relaxed cells.

A relaxer is a network with its card, or an energy oracle: whatever is a `BatchRelaxer`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from empnn.bulk.shards import ALL, Share
from empnn.corruption.strain import with_fixed_noise
from empnn.crystals import POSITIONS, CrystalBatch
from empnn.data.sets import load_split, resolve
from empnn.errors import ConfigError
from empnn.metrics import DenoisingMetrics, PositionMetrics, denoising_metrics, pooled
from empnn.relaxers import BatchRelaxer

MAX_SIGMA = 1.0
DEFAULT_POSITIONS = 0.1


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Errors before (do nothing) and after, with the time it took.

    Attributes:
        metrics: Equations 11 and 12, and what they are made of; of positions too if the relaxer moves atoms.
        sigma: Deviation of the noise, or None if the structures were compared with a reference.
        seed: Seed of the noise, or None.
        positions_sigma: Deviation of the noise on positions in angstrom, or None if there was none.
        fix: What was kept: `cell`, `positions` or None.
        seconds: Time to relax all structures, graph included, files excluded; of oracles whenever that was done.
        sets: The same metrics of the crystals of each set, where they come from several.
        report: Further figures of the relaxer; of oracles how many relaxations `converged`, how many `failed` and count
            as they were given, and the mean number of `steps` of the others.
    """

    metrics: DenoisingMetrics
    seconds: float
    sigma: float | None = None
    seed: int | None = None
    positions_sigma: float | None = None
    fix: str | None = None
    sets: Mapping[str, DenoisingMetrics] = field(default_factory=dict)
    report: Mapping[str, int | float] = field(default_factory=dict)

    def as_dict(self) -> dict[str, object]:
        """The JSON interface of `empnn evaluate`."""
        figures = self.metrics.as_dict()
        n = figures.pop("n")
        told = {"positions_sigma": self.positions_sigma, "fix": self.fix}
        noise = {name: value for name, value in told.items() if value is not None}
        seconds = {"seconds": self.seconds, "seconds_per_crystal": self.seconds / self.metrics.n}
        sets = {"sets": {name: metrics.as_dict() for name, metrics in self.sets.items()}} if self.sets else {}
        return {"n": n, "sigma": self.sigma, **noise, "seed": self.seed, **figures, **seconds, **self.report, **sets}


def as_json(evaluation: Evaluation) -> dict[str, Any]:
    """All there is of an evaluation, for `from_json` to read."""
    return asdict(evaluation)


def from_json(content: Mapping[str, Any]) -> Evaluation:
    """What `as_json` was made of."""
    sets = {name: _metrics(figures) for name, figures in content["sets"].items()}
    return Evaluation(**{**content, "metrics": _metrics(content["metrics"]), "sets": sets})


def _metrics(figures: Mapping[str, Any]) -> DenoisingMetrics:
    positions = figures["positions"]
    return DenoisingMetrics(**{**figures, "positions": None if positions is None else PositionMetrics(**positions)})


def merged(parts: Sequence[Evaluation]) -> Evaluation:
    """The evaluation of all crystals from those of all shares of them, in order; equal to rounding.

    Raises:
        ConfigError: If none could be relaxed.
    """
    report: dict[str, int | float] = {}
    if parts[0].report:
        counts = {name: sum(part.report[name] for part in parts) for name in ("converged", "failed")}
        relaxed = [part.metrics.n - part.report["failed"] for part in parts]
        if not sum(relaxed):
            raise ConfigError(f"this relaxer relaxed none of {counts['failed']} structures; it cannot be scored")
        steps = sum(n * part.report["steps"] for n, part in zip(relaxed, parts, strict=True)) / sum(relaxed)
        report = {**counts, "steps": steps}
    names = dict.fromkeys(name for part in parts for name in part.sets)
    return replace(
        parts[0],
        metrics=pooled([part.metrics for part in parts]),
        seconds=sum(part.seconds for part in parts),
        sets={name: pooled([part.sets[name] for part in parts if name in part.sets]) for name in names},
        report=report,
    )


def denoise(
    relaxer: BatchRelaxer,
    crystals: CrystalBatch,
    sigma: float,
    seed: int = 0,
    positions: float | None = None,
    fix: str | None = None,
    origins: Sequence[str] = (),
    share: Share = ALL,
) -> Evaluation:
    """Strain every crystal with fixed noise, relax it and compare with where it came from.

    Args:
        relaxer: What relaxes.
        crystals: The true crystals.
        sigma: Deviation of the strain.
        seed: Seed of the noise.
        positions: Deviation of the displacements of the atoms in angstrom; if None 0.1 for a relaxer that moves atoms,
            0 for others and where they are to stay.
        fix: What is to stay: the `cell`, or the `positions`.
        origins: The set that each crystal comes from, if they are to be scored by set, too.
        share: Which of them are scored, each with the noise that it has among all.

    Raises:
        ConfigError: If sigma is not between 0 and 1, positions not between 0 and 1 or not for this relaxer, `fix` is
            nothing that it can keep, or the relaxer cannot be scored.
    """
    moves = relaxer.moves_atoms
    positions = (DEFAULT_POSITIONS if moves and fix != POSITIONS else 0.0) if positions is None else positions
    for name, value in (("`sigma`", sigma), ("`positions`", positions)):
        if not 0 <= value <= MAX_SIGMA:
            raise ConfigError(f"{name} {value:g}: must lie between 0 and {MAX_SIGMA:g}")
    if positions > 0 and not moves:
        raise ConfigError("`positions`: this model moves no atoms; give one trained with positions")
    noisy = with_fixed_noise(crystals, sigma, seed, positions)
    found = _score(relaxer, noisy, crystals, fix, origins, share)
    return replace(found, sigma=sigma, seed=seed, positions_sigma=positions if moves else None)


def compare(
    relaxer: BatchRelaxer,
    candidates: CrystalBatch,
    truth: CrystalBatch,
    fix: str | None = None,
    share: Share = ALL,
) -> Evaluation:
    """Relax candidates, or a share of them, and compare with their true cells, given in the same order and basis.

    Raises:
        ConfigError: If the two sets do not correspond, structure by structure, `fix` (the `cell` or the `positions`)
            is nothing that the relaxer can keep, or it cannot be scored.
    """
    if len(candidates) != len(truth):
        raise ConfigError(f"{len(candidates)} structures, but {len(truth)} references; give one for each, in order")
    same = (candidates.sizes == truth.sizes).all() and torch.equal(candidates.numbers, truth.numbers)
    if not same:
        raise ConfigError("structures and references differ in their atoms; give the same ones, in the same order")
    return _score(relaxer, candidates, truth, fix, share=share)


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
    relaxer: BatchRelaxer,
    before: CrystalBatch,
    truth: CrystalBatch,
    fix: str | None,
    origins: Sequence[str] = (),
    share: Share = ALL,
) -> Evaluation:
    chosen = range(share.number, len(truth), share.of)
    if not chosen:
        raise ConfigError(
            f"`shard` {share.number}/{share.of}: there are only {len(truth)} structures; take fewer shards"
        )
    if share != ALL:
        before, truth, origins = before.select(chosen), truth.select(chosen), origins[share.number :: share.of]
    relaxed = relaxer.relax_batch(before.fixing(fix))
    n, failed = len(before), int(relaxed.failed.sum())
    if (failed == n and share == ALL) or (failed and "failed" not in relaxed.report):
        some = f"only {n - failed}" if failed < n else "none"
        raise ConfigError(f"this relaxer relaxed {some} of {n} structures; it cannot be scored")
    compared = (before, relaxed.crystals, truth)
    metrics = partial(denoising_metrics, positions=relaxer.moves_atoms)
    sets = {name: [i for i, own in enumerate(origins) if own == name] for name in dict.fromkeys(origins)}
    return Evaluation(
        metrics=metrics(*compared),
        sets={name: metrics(*(crystals.select(chosen) for crystals in compared)) for name, chosen in sets.items()},
        seconds=relaxed.seconds,
        fix=fix,
        report=relaxed.report,
    )
