"""Training batches as a pure function of the seed and the step, which is what makes a run resumable."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

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
        structures_weight: What a mean over the structures counts by where the step has several such batches: how many
            there are, relative to the mean of these batches.
        atoms_weight: The same of a mean over the atoms.
    """

    crystals: CrystalBatch
    graph: Graph
    relaxed: CrystalBatch
    structures_weight: float = 1.0
    atoms_weight: float = 1.0

    def to(self, device: torch.device | str, non_blocking: bool = False) -> DenoisingBatch:
        """The same batch on another device."""
        moved: dict[str, Any] = {
            name: getattr(self, name).to(device, non_blocking=non_blocking) for name in ("crystals", "graph", "relaxed")
        }
        return replace(self, **moved)


class DenoisingSteps(Dataset[DenoisingBatch]):
    """The batch of every step, or a part of it: what the source gives, with its graph.

    Args:
        source: Crystals before and after, for each step.
        rule: Neighbour rule of the graphs.
        part: Which part of the batch it is.
        parts: How many there are; each has crystals of all sizes, so that they are about the same work.
    """

    def __init__(self, source: Callable[[int], BeforeAfter], rule: GraphRule, part: int = 0, parts: int = 1) -> None:
        self.source = source
        self.rule = rule
        self.part = part
        self.parts = parts

    def __getitem__(self, step: int) -> DenoisingBatch:
        before, after = self.source(step)
        if self.parts == 1:
            return DenoisingBatch(crystals=before, graph=self.rule(before), relaxed=after)
        chosen = torch.argsort(before.sizes, stable=True)[self.part :: self.parts]
        part = before.select(chosen)
        return DenoisingBatch(
            crystals=part,
            graph=self.rule(part),
            relaxed=after.select(chosen),
            structures_weight=len(part) * self.parts / len(before),
            atoms_weight=part.n_atoms * self.parts / before.n_atoms,
        )
