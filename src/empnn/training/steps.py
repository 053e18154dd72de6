"""Training batches as a pure function of the seed and the step, which is what makes a run resumable."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace

import torch
from torch.utils.data import Dataset

from empnn.corruption.source import BeforeAfter
from empnn.crystals import CrystalBatch
from empnn.graph import Graph, GraphRule


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
    """The batch of every step: what the source gives, with its graph.

    Args:
        source: Crystals before and after, for each step.
        rule: Neighbour rule of the graphs.
    """

    def __init__(self, source: Callable[[int], BeforeAfter], rule: GraphRule) -> None:
        self.source = source
        self.rule = rule

    def __getitem__(self, step: int) -> DenoisingBatch:
        before, after = self.source(step)
        return DenoisingBatch(crystals=before, graph=self.rule(before), relaxed=after)
