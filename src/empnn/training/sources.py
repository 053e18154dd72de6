"""From the configuration to the crystals of a run: what each training step sees, and what validation does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from empnn.corruption.general import GeneralStrain
from empnn.corruption.pairs import GivenPairs
from empnn.corruption.source import BeforeAfter, Corruption, Sizes, Source
from empnn.corruption.symmetric import SymmetricStrain
from empnn.crystals import CrystalBatch, Crystals
from empnn.data.curation.symmetric import symmetric_set
from empnn.errors import ConfigError
from empnn.nn import moves_atoms
from empnn.noise import with_fixed_noise
from empnn.training.config import Config

DEFAULT_DISPLACEMENT = 0.1
"""Deviation in angstrom of the noise on positions that are trained."""
VALIDATION_SEED = 0

Pairs = tuple[Crystals, Crystals]
Progress = Callable[[int], None]


@dataclass(frozen=True)
class Corruptions:
    """The kinds of corruption of a run.

    Attributes:
        config: The configuration of the run.
        crystals: The true crystals.
        pairs: The pairs of `data.pairs`, if there are any.
        on_progress: Called with the number of crystals that have been looked at since the last call.
    """

    config: Config
    crystals: Crystals
    pairs: Pairs | None = None
    on_progress: Progress = lambda done: None

    def source(self) -> Source:
        """The crystals of every training step.

        Raises:
            ConfigError: If no kind of corruption has a weight, or one cannot be made of these crystals.
        """
        mix, train = self.config.noise.mix, self.config.train
        kinds = (
            (self.strain, mix.strain),
            (self.symmetric, mix.symmetric),
            (self.decorated, mix.decorated),
            (self.given_pairs, mix.pairs),
        )
        made = [(kind(), weight) for kind, weight in kinds if weight > 0]
        if not made:
            raise ConfigError("noise.mix: all weights are 0; give one kind of corruption a weight")
        return Source(len(self.crystals), made, train.batch_size, train.seed)

    def strain(self) -> Corruption:
        """Nine independent entries of A, and displaced atoms."""
        noise = self.config.noise
        moves = moves_atoms(self.config.model)
        positions = (DEFAULT_DISPLACEMENT if moves else 0.0) if noise.positions is None else noise.positions
        return GeneralStrain(self.crystals, noise.sigma, positions, self._sizes)

    def symmetric(self) -> Corruption:
        """What keeps the space group."""
        noise = self.config.noise.symmetric
        exact = symmetric_set(self.crystals, self.on_progress)
        return SymmetricStrain(exact, noise.volume, noise.shape, noise.positions, self._sizes)

    def decorated(self) -> Corruption:
        """Crystals in the cells and at the places of others."""
        raise NotImplementedError

    def given_pairs(self) -> Corruption:
        """The user's own pairs."""
        if self.pairs is None:
            raise ConfigError("noise.mix.pairs has a weight, but there are no pairs; give data.pairs")
        return GivenPairs(*self.pairs)

    @property
    def _sizes(self) -> Sizes:
        return Sizes(self.config.noise.distribution, self.config.noise.exponent)


def validation_sets(corruptions: Corruptions, select: CrystalBatch) -> dict[str, BeforeAfter]:
    """Fixed crystals before and after, for each kind of corruption of a run."""
    settings, mix = corruptions.config.train, corruptions.config.noise.mix
    moves = moves_atoms(corruptions.config.model)
    positions = settings.validate_positions if moves else 0.0
    sets = {}
    if mix.strain:
        sets["strain"] = (with_fixed_noise(select, settings.validate_sigma, VALIDATION_SEED, positions), select)
    everything = np.arange(len(select))
    if mix.symmetric:
        own = Corruptions(corruptions.config, select)
        sets["symmetric"] = own.symmetric()(everything, np.random.default_rng(VALIDATION_SEED))
    return sets
