"""Training batches as a pure function of the seed and the step, which is what makes a run resumable."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor
from torch.utils.data import Dataset

from empnn.crystals import CrystalBatch
from empnn.graph import Graph, GraphRule
from empnn.noise import strain_cells
from empnn.training.config import NoiseConfig

_ORDER, _NOISE = 1, 2


@dataclass(frozen=True, kw_only=True)
class DenoisingBatch:
    """Strained crystals, their graph and the cells they should relax to.

    Attributes:
        crystals: The strained crystals.
        graph: Their neighbour graph.
        relaxed: True cells in the same basis, angstrom. Per structure.
    """

    crystals: CrystalBatch
    graph: Graph
    relaxed: Float64[Tensor, "structures 3 3"]

    def to(self, device: torch.device | str, non_blocking: bool = False) -> DenoisingBatch:
        """The same batch on another device."""
        moved = {f.name: getattr(self, f.name).to(device, non_blocking=non_blocking) for f in fields(self)}
        return replace(self, **moved)


class DenoisingSteps(Dataset[DenoisingBatch]):
    """The batch of every step: crystals in a new random order each epoch, strained anew each time."""

    def __init__(self, crystals: CrystalBatch, rule: GraphRule, noise: NoiseConfig, batch_size: int, seed: int) -> None:
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
        strained = strain_cells(relaxed.cell, self._strain(step, len(relaxed)))
        crystals = relaxed.with_cell(strained)
        return DenoisingBatch(crystals=crystals, graph=self.rule(crystals), relaxed=relaxed.cell)

    def _order(self, epoch: int) -> np.ndarray:
        if self._epoch is None or self._epoch[0] != epoch:
            order = np.random.default_rng([self.seed, _ORDER, epoch]).permutation(len(self.crystals))
            self._epoch = (epoch, order)
        return self._epoch[1]

    def _strain(self, step: int, n: int) -> Float64[Tensor, "structures 3 3"]:
        generator = np.random.default_rng([self.seed, _NOISE, step])
        sigma = np.full((n, 1, 1), self.noise.sigma)
        if self.noise.distribution == "uniform":
            sigma *= generator.uniform(size=sigma.shape) ** self.noise.exponent
        return torch.from_numpy(generator.normal(size=(n, 3, 3)) * sigma)
