"""From the configuration to the crystals of a run: what each training step sees, and what validation does."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, fields, replace
from functools import cached_property

import numpy as np

from empnn.corruption.cube import Cube
from empnn.corruption.decorated import Decorated, decorate
from empnn.corruption.general import GeneralStrain
from empnn.corruption.pairs import GivenPairs, joined
from empnn.corruption.source import BeforeAfter, Corruption, Sizes, Source
from empnn.corruption.strain import with_fixed_noise
from empnn.corruption.symmetric import SymmetricStrain
from empnn.data.curation.isostructural import Isostructural, attach, isostructural
from empnn.data.curation.symmetric import SymmetricSet, symmetric_set
from empnn.data.pairs import PairSet
from empnn.data.store import StoredCrystals
from empnn.errors import ConfigError
from empnn.processes import Report
from empnn.training.config_checks import VALIDATED
from empnn.training.options import Config

DEFAULT_DISPLACEMENT = 0.1
"""Deviation in angstrom of the noise on positions that are trained."""
VALIDATION_SEED = 0

Watch = Callable[[str, int], AbstractContextManager[Report]]
"""Told of long work, in words, and of its size; within, what it gives is told how much was done since the last time."""


@contextmanager
def unwatched(what: str, size: int) -> Iterator[Report]:
    """Nobody is told."""
    yield lambda done: None


def is_reconstruction(config: Config) -> bool:
    """Whether cubes in place of cells are all that a network is trained on."""
    mix = config.noise.mix
    return mix.cube > 0 and all(getattr(mix, f.name) == 0 for f in fields(mix) if f.name != "cube")


def trained_kinds(config: Config) -> list[str]:
    """The kinds of corruption of a mixture that can be made of a set apart."""
    return [kind for kind in VALIDATED if getattr(config.noise.mix, kind)]


def validated_kinds(config: Config) -> list[str]:
    """The kinds of corruption that weights are selected by, but for pairs."""
    return config.train.validate_on or trained_kinds(config)


@dataclass(frozen=True)
class Corruptions:
    """The kinds of corruption of a run.

    What is found out about crystals is found for the whole set that they were taken from, and kept: other seeds and
    fractions of the development set need nothing new.

    Attributes:
        config: The configuration of the run.
        crystals: The true crystals to train on.
        pairs: The pairs to train on, if there are any.
        watch: Who is told of long work on crystals.
    """

    config: Config
    crystals: StoredCrystals
    pairs: PairSet | None = None
    watch: Watch = unwatched

    def source(self) -> Source:
        """The crystals of every training step.

        Raises:
            ConfigError: If no kind of corruption has a weight, or one cannot be made of these crystals.
        """
        mix, train = self.config.noise.mix, self.config.train
        kinds: tuple[tuple[Callable[[], Corruption], float], ...] = (
            (self.strain, mix.strain),
            (self.symmetric, mix.symmetric),
            (self.decorated, mix.decorated),
            (self.given, mix.pairs),
            (self.relaxed, mix.relaxed),
            (self.cube, mix.cube),
        )
        made = [(kind(), weight) for kind, weight in kinds if weight > 0]
        if all(weight == 0 for kind, weight in kinds if kind != self.relaxed):
            which = "nothing but relaxed has a weight" if made else "all weights are 0"
            raise ConfigError(f"noise.mix: {which}; give one kind of corruption a weight")
        return Source(len(self.crystals), made, train.batch_size, train.seed)

    def validation(
        self,
        select: StoredCrystals,
        pairs: PairSet | None = None,
        seed: int = VALIDATION_SEED,
        kinds: Sequence[str] | None = None,
    ) -> dict[str, BeforeAfter]:
        """Fixed crystals before and after, of a set and of pairs apart, for each kind of corruption.

        Args:
            select: The set.
            pairs: The pairs.
            seed: Of what is drawn.
            kinds: The kinds; those that are trained on by default.
        """
        settings, kinds = self.config.train, trained_kinds(self.config) if kinds is None else kinds
        everything = np.arange(len(select))
        sets: dict[str, BeforeAfter] = {}
        if "strain" in kinds:
            truth = select.select(everything)
            positions = settings.validate_positions if self.config.model.moves_atoms else 0.0
            sets["strain"] = (with_fixed_noise(truth, settings.validate_sigma, seed, positions), truth)
        if "symmetric" in kinds:
            # The atoms of all, whatever training does: scores of runs are to be comparable.
            noise = self._symmetric(self._exact(select), replace(self._sizes, displaced=1.0))
            sets["symmetric"] = noise(everything, np.random.default_rng(seed))
        if "decorated" in kinds:
            sets["decorated"] = self._decorated(select, seed)
        if "cube" in kinds:
            sets["cube"] = Cube(select)(everything, np.random.default_rng(seed))
        if pairs is not None:
            chosen = np.arange(len(pairs))
            sets["pairs"] = joined(pairs.before.select(chosen), pairs.relaxed.select(chosen))
        return sets

    def strain(self) -> Corruption:
        """Nine independent entries of A, and displaced atoms."""
        noise = self.config.noise
        default = DEFAULT_DISPLACEMENT if self.config.model.moves_atoms else 0.0
        positions = default if noise.positions is None else noise.positions
        return GeneralStrain(self.crystals, noise.sigma, positions, self._sizes)

    def relaxed(self) -> Corruption:
        """Nothing is wrong."""
        return GeneralStrain(self.crystals, 0.0, 0.0, self._sizes)

    def cube(self) -> Corruption:
        """Nothing of the cell is left."""
        settings = self.config.noise.cube
        return Cube(self.crystals, settings.rewritten, settings.matrices)

    def symmetric(self) -> Corruption:
        """What keeps the space group."""
        return self._symmetric(self._exact(self.crystals), self._sizes)

    def decorated(self) -> Corruption:
        """Crystals in the cells and at the places of others.

        Raises:
            ConfigError: If no crystal has an isostructural one of another composition.
        """
        return Decorated(self.crystals, self._partners)

    def given(self) -> Corruption:
        """The user's own pairs.

        Raises:
            ConfigError: If there are none.
        """
        if self.pairs is None:
            raise ConfigError("noise.mix.pairs has a weight, but there are no pairs; give data.pairs")
        return GivenPairs(self.pairs.before, self.pairs.relaxed)

    def _symmetric(self, exact: SymmetricSet, sizes: Sizes) -> SymmetricStrain:
        noise = self.config.noise.symmetric
        return SymmetricStrain(exact, noise.volume, noise.shape, noise.positions, sizes)

    def _exact(self, crystals: StoredCrystals) -> SymmetricSet:
        apart = crystals.arrays is not self.crystals.arrays
        exact = self._symmetric_of(crystals.whole) if apart else self._symmetric_whole
        return exact.subset(crystals.positions)

    @cached_property
    def _symmetric_whole(self) -> SymmetricSet:
        return self._symmetric_of(self.crystals.whole)

    def _symmetric_of(self, crystals: StoredCrystals) -> SymmetricSet:
        with self.watch(f"looking for the symmetry of {len(crystals):,} crystals", len(crystals)) as report:
            return symmetric_set(crystals, report)

    @cached_property
    def _table(self) -> Isostructural:
        """How the whole set lies onto itself."""
        crystals = self.crystals.whole
        with self.watch(f"laying {len(crystals):,} crystals onto each other", 2 * len(crystals)) as report:
            return isostructural(crystals, max(1, self.config.train.workers), report)

    @cached_property
    def _partners(self) -> Isostructural:
        partners = self._table.subset(self.crystals.positions)
        if not partners.partners().any():
            raise ConfigError(
                "noise.mix.decorated has a weight, but no crystal has an isostructural one of another composition; "
                "a set of one element has none: set the weight to 0"
                if self.config.noise.mix.decorated
                else "train.validate_on has decorated, but no crystal has an isostructural one of another composition"
            )
        return partners

    def _decorated(self, select: StoredCrystals, seed: int) -> BeforeAfter:
        """Crystals of a set apart in the cells and at the places of training crystals."""
        if select.arrays is self.crystals.arrays:
            own = self._table.subset(select.positions)
        else:
            with self.watch(f"laying {len(select):,} crystals to select by onto others", 2 * len(select)) as report:
                own = attach(select, self._table, max(1, self.config.train.workers), report)
        uniform = np.random.default_rng(seed).uniform(size=len(select))
        second = self._partners.partner(np.arange(len(select)), uniform, own)
        first = np.flatnonzero(second >= 0)
        return decorate(select.select(first), own, first, self._partners, second[first])

    @property
    def _sizes(self) -> Sizes:
        noise = self.config.noise
        return Sizes(noise.distribution, noise.exponent, noise.displaced)
