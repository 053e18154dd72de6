"""From kinds of corruption to the crystals of a training step, a pure function of the seed and the step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from empnn.crystals import CrystalBatch

BeforeAfter = tuple[CrystalBatch, CrystalBatch]
"""Corrupted crystals, and the true ones: the same atoms, order and basis. The true fractional coordinates are not
wrapped: each atom is next to where it is before, and the mean displacement is zero."""

_ORDER, _NOISE = 1, 2


@runtime_checkable
class Corruption(Protocol):
    """One kind of what is wrong with crystals."""

    def __call__(self, chosen: np.ndarray, generator: np.random.Generator) -> BeforeAfter:
        """As many crystals as are chosen, before and after.

        A kind that cannot corrupt every crystal draws its own with the generator instead of the chosen ones.
        """
        ...


@dataclass(frozen=True)
class Sizes:
    """How the size of the noise is drawn for each structure.

    Attributes:
        distribution: `fixed`, or `uniform`: the largest size times u**exponent with u uniform in [0, 1].
        exponent: Above 1 it favours small sizes.
        displaced: Share of the structures whose atoms are displaced at all.
    """

    distribution: str = "uniform"
    exponent: float = 2.0
    displaced: float = 1.0

    def __call__(self, generator: np.random.Generator, n: int, largest: float) -> np.ndarray:
        """A size for each of n structures, (n,)."""
        if self.distribution == "fixed":
            return np.full(n, largest)
        drawn: np.ndarray = largest * generator.uniform(size=n) ** self.exponent
        return drawn

    def of_displacements(self, generator: np.random.Generator, n: int, largest: float) -> np.ndarray:
        """The same of displacements, 0 where atoms are to stay."""
        sizes = self(generator, n, largest)
        return sizes if self.displaced == 1 else sizes * (generator.uniform(size=n) < self.displaced)


class Source:
    """The crystals of every step: a new random order each epoch, and for each crystal a kind of corruption.

    Args:
        n: Number of crystals to choose from.
        corruptions: Kinds of corruption with their weights.
        batch_size: Crystals per step.
        seed: Seed of everything random.
    """

    def __init__(self, n: int, corruptions: Sequence[tuple[Corruption, float]], batch_size: int, seed: int) -> None:
        self.n = n
        self.kinds, weights = zip(*corruptions, strict=True)
        self.shares = np.array(weights) / sum(weights)
        self.batch_size = batch_size
        self.seed = seed
        self._epoch: tuple[int, np.ndarray] | None = None

    def __call__(self, step: int) -> BeforeAfter:
        """Crystals before and after, the kinds one after the other."""
        chosen = self._chosen(step)
        generator = np.random.default_rng([self.seed, _NOISE, step])
        if len(self.kinds) == 1:
            found: BeforeAfter = self.kinds[0](chosen, generator)
            return found
        kind = generator.choice(len(self.kinds), size=len(chosen), p=self.shares)
        parts = [draw(chosen[kind == k], generator) for k, draw in enumerate(self.kinds) if (kind == k).any()]
        before, after = zip(*parts, strict=True)
        return CrystalBatch.cat(before), CrystalBatch.cat(after)

    def _chosen(self, step: int) -> np.ndarray:
        positions = np.arange(step * self.batch_size, (step + 1) * self.batch_size)
        epochs, within = np.divmod(positions, self.n)
        return np.array([self._order(int(e))[w] for e, w in zip(epochs, within, strict=True)], dtype=np.int64)

    def _order(self, epoch: int) -> np.ndarray:
        if self._epoch is None or self._epoch[0] != epoch:
            order = np.random.default_rng([self.seed, _ORDER, epoch]).permutation(self.n)
            self._epoch = (epoch, order)
        return self._epoch[1]
