"""What Figures 4 and 5 are drawn of: crystals of a set deformed by fixed noise and relaxed by its packaged network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from empnn import models
from empnn.corruption.strain import with_fixed_noise
from empnn.crystals import CrystalBatch
from empnn.data.sets import locate
from empnn.errors import ConfigError
from empnn.evaluate import load_crystals
from empnn.geometry import hencky_distance, lattice_parameters, volume
from empnn.relax.relaxer import load

SIGMA, SEED = 0.3, 0
LIMIT = 2000
"""Crystals of each set at most: the first ones of the split."""
FEWEST = 10
STATES = ("original", "deformed", "relaxed")


@dataclass(frozen=True, kw_only=True)
class Denoised:
    """Crystals of one set in three states.

    Attributes:
        data: Name of the set.
        model: Name of the packaged network.
        weights: Digest of its weights.
        original: The crystals of the set.
        deformed: In cells strained by fixed noise.
        relaxed: What the network makes of these.
        failed: How many it could not relax, which stay as they were deformed.
    """

    data: str
    model: str
    weights: str
    original: CrystalBatch
    deformed: CrystalBatch
    relaxed: CrystalBatch
    failed: int

    def __len__(self) -> int:
        return len(self.original)

    def states(self) -> dict[str, CrystalBatch]:
        """The crystals by the name of their state."""
        return dict(zip(STATES, (self.original, self.deformed, self.relaxed), strict=True))

    def noise(self) -> np.ndarray:
        """d(deformed, original), the Hencky distance, of each crystal."""
        return _distance(self.deformed, self.original)

    def ratio(self) -> np.ndarray:
        """d(relaxed, original) / d(deformed, original) of each crystal: 0 is perfect, 1 no better than before."""
        return np.asarray(_distance(self.relaxed, self.original) / self.noise())

    def errors(self) -> dict[str, dict[str, np.ndarray]]:
        """Mean absolute errors of `lengths` (angstrom) and `angles` (degrees) of each crystal, `before` and `after`."""
        truth = lattice_parameters(self.original.cell)
        errors = {
            when: (lattice_parameters(state.cell) - truth).abs().numpy()
            for when, state in (("before", self.deformed), ("after", self.relaxed))
        }
        parts = {"lengths": slice(0, 3), "angles": slice(3, 6)}
        return {name: {when: error[:, part].mean(1) for when, error in errors.items()} for name, part in parts.items()}

    def ratio_of_errors(self) -> dict[str, np.ndarray]:
        """The errors after over those before."""
        return {name: both["after"] / both["before"] for name, both in self.errors().items()}

    def density(self) -> dict[str, np.ndarray]:
        """Atoms per cubic angstrom of each crystal, by state."""
        return {name: (state.sizes / volume(state.cell)).numpy() for name, state in self.states().items()}

    def about(self) -> dict[str, Any]:
        """What it is, for a result file."""
        return {"model": self.model, "weights": self.weights, "n": len(self), "failed": self.failed}


def denoise_set(data: str, split: str, say: Callable[[str], None], limit: int = LIMIT) -> Denoised:
    """Deform the first crystals of a split and relax them.

    Raises:
        ConfigError: If there is no such set or no network for it, or fewer than `FEWEST` crystals.
    """
    model = models.name_of(data)
    crystals = load_crystals(locate(None, data), split)
    crystals = crystals.select(np.arange(min(limit, len(crystals))))
    if len(crystals) < FEWEST:
        raise ConfigError(f"{data}, {split}: {len(crystals)} crystals; a figure needs {FEWEST} of each set at least")
    say(f"{model} relaxes {len(crystals):,} crystals of {data}")
    relaxer = load(model)
    deformed = with_fixed_noise(crystals, SIGMA, SEED)
    relaxed = relaxer.relax_batch(deformed, passes=1)
    return Denoised(
        data=data,
        model=model,
        weights=relaxer.digest(),
        original=crystals,
        deformed=deformed,
        relaxed=relaxed.crystals,
        failed=int(relaxed.failed.sum()),
    )


def _distance(first: CrystalBatch, second: CrystalBatch) -> np.ndarray:
    return np.asarray(hencky_distance(first.cell, second.cell).numpy())
