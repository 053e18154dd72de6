"""How far to trust an answer: the errors to expect, and the bounds they keep to in 90 % of the cases (section 12)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass

import torch

from empnn.crystals import CrystalBatch
from empnn.nn.error_head import ErrorHead
from empnn.relax.passes import Passes


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


def predicted_errors(head: ErrorHead, crystals: CrystalBatch, moved: Passes) -> Iterator[PredictedErrors]:
    """The errors to expect of the answers to crystals, in order.

    Equivariance: invariant under Euc(3), SL3(Z) and S_n.
    """
    with torch.inference_mode():
        expected, bounds = head.predict(moved.signals(crystals))
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


def _all_fixed(crystals: CrystalBatch) -> list[bool]:
    """Whether all fractional coordinates of each structure stay."""
    if crystals.fixed_frac is None:
        return [False] * len(crystals)
    return [count == 0 for count in crystals.counted((~crystals.fixed_frac).any(-1)).tolist()]
