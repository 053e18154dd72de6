"""Shapes that reconstruction starts from beside the cube.

A cube keeps its symmetries where the coordinates have them, too: the primitive cell of rock salt comes out as a cube.
These shapes have fewer of them, or others.
"""

from __future__ import annotations

from functools import cache

import torch
from jaxtyping import Float64
from torch import Tensor

from empnn.geometry import cell_from_parameters, volume
from empnn.symmetry import SIGNED_PERMUTATIONS

_ANGLES = ((60.0, 60.0, 60.0), (109.47122, 109.47122, 109.47122), (90.0, 90.0, 120.0))
"""Those of the primitive cells of fcc, bcc and hexagonal lattices, in degrees."""
_LENGTHS = (1.6, 0.6)
"""Of one axis that is stretched or squeezed, the others being 1."""


@cache
def shapes() -> Float64[Tensor, "shapes 3 3"]:
    """Cells of 1 cubic angstrom: those of fcc, bcc and hexagonal lattices, and cubes with one axis longer or shorter.

    Each is there with its axes exchanged and inverted, so that which is the first axis, and which way it points, makes
    no difference to what is there. All are right-handed, as the cube is.
    """
    parameters = [(1.0, 1.0, 1.0, *angles) for angles in _ANGLES]
    parameters += [(1.0, 1.0, length, 90.0, 90.0, 90.0) for length in _LENGTHS]
    found: dict[tuple[float, ...], Tensor] = {}
    for cell in cell_from_parameters(torch.tensor(parameters, dtype=torch.float64)):
        for axes in torch.from_numpy(SIGNED_PERMUTATIONS).to(cell):
            exchanged = torch.linalg.det(axes) * axes @ cell
            found.setdefault(tuple((exchanged @ exchanged.T).ravel().round(decimals=6).tolist()), exchanged)
    cells = torch.stack(list(found.values()))
    return cells / volume(cells)[:, None, None] ** (1 / 3)
