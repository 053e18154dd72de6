"""What relaxing changed of a crystal: its volume, its cell, how far its atoms moved, and its space group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from jaxtyping import Float64

from empnn.geometry import hencky_distance, lattice_parameters, volume

SYMPREC = 0.1
"""Distance in angstrom within which space groups are looked for: answers are not symmetric to more digits than they are
right to. The Materials Project names its space groups at the same."""

GROUPS = ("space_group_before", "space_group_after")
"""What the space groups are called beside the attributes of a `Change`."""

Parameters = tuple[float, ...]
"""(a, b, c) in angstrom and (alpha, beta, gamma) in degrees."""

_PARAMETERS = ("a", "b", "c", "alpha", "beta", "gamma")


@dataclass(frozen=True, kw_only=True)
class Change:
    """What relaxing changed of one crystal.

    Invariant under Euc(3) and S_n; the lattice parameters are those of the basis as given.

    Attributes:
        volume_before: Volume of the cell as given, cubic angstrom.
        volume_after: Volume of the relaxed cell, cubic angstrom.
        volume_change: V / V before - 1, per cent.
        strain: Size of the strain, the Frobenius norm of the Hencky strain log P, dimensionless.
        displacement: How far the atom that moves most moves within the cell, angstrom.
        cell_before: (a, b, c, alpha, beta, gamma) of the cell as given, angstrom and degrees.
        cell_after: Those of the relaxed cell.
    """

    volume_before: float
    volume_after: float
    volume_change: float
    strain: float
    displacement: float
    cell_before: Parameters
    cell_after: Parameters


def changes(
    before: Float64[np.ndarray, "structures 3 3"],
    after: Float64[np.ndarray, "structures 3 3"],
    displacements: Sequence[np.ndarray],
) -> list[Change]:
    """What changed of each of several crystals.

    Args:
        before: Cells as given, none of which is flat.
        after: Relaxed cells.
        displacements: Those of the atoms of each within the cell (atoms, 3), Cartesian, angstrom.
    """
    cells = [torch.from_numpy(np.ascontiguousarray(some)) for some in (before, after)]
    volumes = [volume(some).tolist() for some in cells]
    parameters = [map(tuple, lattice_parameters(some).tolist()) for some in cells]
    strains = hencky_distance(*cells).tolist()
    moved = (float(np.linalg.norm(some, axis=1).max()) for some in displacements)
    return [
        Change(
            volume_before=given,
            volume_after=relaxed,
            volume_change=100 * (relaxed / given - 1),
            strain=strain,
            displacement=displacement,
            cell_before=cell_before,
            cell_after=cell_after,
        )
        for given, relaxed, cell_before, cell_after, strain, displacement in zip(
            *volumes, *parameters, strains, moved, strict=True
        )
    ]


def columns(change: Mapping[str, Any]) -> dict[str, Any]:
    """What changed, by name, as the cells of a table: `cell_before` is `a_before` to `gamma_before`."""
    found: dict[str, Any] = {}
    for name, value in change.items():
        what, _, when = name.partition("_")
        if what == "cell":
            found |= {f"{parameter}_{when}": one for parameter, one in zip(_PARAMETERS, value, strict=True)}
        else:
            found[name] = value
    return found


COLUMNS = tuple(columns({field.name: _PARAMETERS for field in fields(Change)}))
"""The names of these cells."""
