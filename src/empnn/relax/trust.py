"""How far to trust an answer: the errors to expect, and the bounds they keep to in 90 % of the cases (section 12)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass

import torch
from jaxtyping import Float64
from torch import Tensor

from empnn.crystals import MAX_NUMBER, CrystalBatch
from empnn.graph import Graph
from empnn.nn import Deformation
from empnn.nn.error_head import ErrorHead, signals
from empnn.relax.passes import Passes

_EQUAL = 1e-2
"""Difference in length, angstrom, of edges that are equal."""


@dataclass(frozen=True, kw_only=True)
class PredictedErrors:
    """What an answer may be off by; None for what stays as it was given, or what the model cannot tell.

    `_90` are bounds: errors lie below in 90 % of the cases, for inputs of the kinds that the card of the model names.

    Attributes:
        length: Mean error of a, b and c, angstrom.
        length_90: Its bound.
        volume: Error of the volume, |V / V_true - 1|, per cent.
        volume_90: Its bound.
        position: Mean distance of the atoms to their places, their common translation taken off, angstrom.
        position_90: Its bound.
    """

    length: float | None = None
    length_90: float | None = None
    volume: float | None = None
    volume_90: float | None = None
    position: float | None = None
    position_90: float | None = None

    def as_dict(self) -> dict[str, float]:
        """Those that there are, by name."""
        return {name: value for name, value in asdict(self).items() if value is not None}


def signals_of(crystals: CrystalBatch, moved: Passes) -> Float64[Tensor, "structures signals"]:
    """What tells of the errors of the answers to crystals; of failures, what their neighbours in a batch do not see."""
    if moved.first is None or moved.graph is None:
        raise ValueError("there was no pass")
    return signals(moved.first, _mean_displacement(crystals, moved.first), _equal_edges(crystals, moved.graph))


def predicted_errors(head: ErrorHead, crystals: CrystalBatch, moved: Passes) -> Iterator[PredictedErrors]:
    """The errors to expect of the answers to crystals, in order.

    Equivariance: invariant under Euc(3), SL3(Z) and S_n.
    """
    with torch.inference_mode():
        expected, bounds = head.predict(signals_of(crystals, moved))
    held_cells = crystals.fixed_cell
    held_atoms = _all_fixed(crystals)
    for index, (means, ends) in enumerate(zip(expected.tolist(), bounds.tolist(), strict=True)):
        found: dict[str, float] = {}
        for name, mean, end in zip(("length", "volume", "position"), means, ends, strict=False):
            held = held_atoms[index] if name == "position" else held_cells is not None and bool(held_cells[index])
            if held or not math.isfinite(mean):
                continue
            found[name] = mean
            if math.isfinite(end):
                found[f"{name}_90"] = max(end, mean)
        yield PredictedErrors(**found)


def _mean_displacement(crystals: CrystalBatch, found: Deformation) -> Float64[Tensor, " structures"]:
    """How far the atoms move on average, angstrom."""
    total = torch.zeros(len(crystals), dtype=torch.float64)
    if found.displacement is None:
        return total
    total.index_add_(0, crystals.batch, torch.linalg.vector_norm(found.displacement, dim=-1))
    return total / crystals.sizes


def _equal_edges(crystals: CrystalBatch, graph: Graph) -> Float64[Tensor, " structures"]:
    """Share of the edges as long as another one from the same atom to the same species.

    Nearly all in crystals of high symmetry, nearly none in those without. Invariant under the choice of a supercell.
    """
    kinds = (MAX_NUMBER + 1) * graph.source + crystals.numbers[graph.target]
    lengths = torch.linalg.vector_norm(graph.vectors, dim=1)
    order = torch.argsort(lengths + kinds * (1 + lengths.max())) if len(lengths) else kinds
    equal = (kinds[order].diff() == 0) & (lengths[order].diff() < _EQUAL)
    nothing = equal.new_zeros(1)
    either = torch.cat([nothing, equal]) | torch.cat([equal, nothing])
    count = torch.bincount(graph.batch[order], weights=either.to(torch.float64), minlength=len(crystals))
    return count / torch.bincount(graph.batch, minlength=len(crystals)).clamp_min(1)


def _all_fixed(crystals: CrystalBatch) -> list[bool]:
    """Whether all fractional coordinates of each structure stay."""
    if crystals.fixed_frac is None:
        return [False] * len(crystals)
    free = (~crystals.fixed_frac).any(-1).to(torch.int64)
    counts = torch.zeros(len(crystals), dtype=torch.int64).index_add(0, crystals.batch, free)
    return [count == 0 for count in counts.tolist()]
