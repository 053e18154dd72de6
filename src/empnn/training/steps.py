"""Training batches as a pure function of the seed and the step, which is what makes a run resumable."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from torch.utils.data import Dataset

from empnn.corruption.strain import strain_cells
from empnn.crystals import CrystalBatch, Crystals, without_mean
from empnn.graph import Graph, GraphRule
from empnn.training.config import NoiseConfig

_ORDER, _NOISE = 1, 2


@dataclass(frozen=True, kw_only=True)
class DenoisingBatch:
    """Noisy crystals, their graph and the crystals they should relax to.

    Attributes:
        crystals: The noisy crystals.
        graph: Their neighbour graph.
        relaxed: The true crystals in the same basis. Their fractional coordinates are not wrapped: each atom is next to
            where it is in `crystals`.
    """

    crystals: CrystalBatch
    graph: Graph
    relaxed: CrystalBatch

    def to(self, device: torch.device | str, non_blocking: bool = False) -> DenoisingBatch:
        """The same batch on another device."""
        moved = {f.name: getattr(self, f.name).to(device, non_blocking=non_blocking) for f in fields(self)}
        return replace(self, **moved)


class DenoisingSteps(Dataset[DenoisingBatch]):
    """The batch of every step: crystals in a new random order each epoch, with new noise each time.

    Args:
        crystals: The true crystals.
        rule: Neighbour rule of the graphs.
        noise: Size and distribution of the noise.
        batch_size: Crystals per step.
        seed: Seed of everything random.
    """

    def __init__(self, crystals: Crystals, rule: GraphRule, noise: NoiseConfig, batch_size: int, seed: int) -> None:
        self.crystals = crystals
        self.rule = rule
        self.noise = noise
        self.batch_size = batch_size
        self.seed = seed
        self._epoch: tuple[int, np.ndarray] | None = None

    def __getitem__(self, step: int) -> DenoisingBatch:
        positions = np.arange(step * self.batch_size, (step + 1) * self.batch_size)
        epochs, within = np.divmod(positions, len(self.crystals))
        chosen = [int(self._order(int(e))[w]) for e, w in zip(epochs, within, strict=True)]
        relaxed = self.crystals.select(chosen)
        generator = np.random.default_rng([self.seed, _NOISE, step])
        strain = self._sizes(generator, len(relaxed), self.noise.sigma) * generator.normal(size=(len(relaxed), 3, 3))
        crystals = relaxed.with_cell(strain_cells(relaxed.cell, torch.from_numpy(strain)))
        if self.noise.positions:
            size = self._sizes(generator, len(relaxed), self.noise.positions)[relaxed.batch.numpy(), 0]
            moved = without_mean(relaxed, torch.from_numpy(size * generator.normal(size=(relaxed.n_atoms, 3))))
            shift = relaxed.fractional(moved)
            crystals = crystals.shifted(shift)
            relaxed = replace(relaxed, frac=crystals.frac - shift)
        return DenoisingBatch(crystals=crystals, graph=self.rule(crystals), relaxed=relaxed)

    def _order(self, epoch: int) -> np.ndarray:
        if self._epoch is None or self._epoch[0] != epoch:
            order = np.random.default_rng([self.seed, _ORDER, epoch]).permutation(len(self.crystals))
            self._epoch = (epoch, order)
        return self._epoch[1]

    def _sizes(self, generator: np.random.Generator, n: int, largest: float) -> np.ndarray:
        """Deviation of the noise of each structure, (n, 1, 1)."""
        if self.noise.distribution == "fixed":
            return np.full((n, 1, 1), largest)
        drawn: np.ndarray = largest * generator.uniform(size=(n, 1, 1)) ** self.noise.exponent
        return drawn
