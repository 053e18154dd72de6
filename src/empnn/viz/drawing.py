"""A crystal before and after as a drawing for a page: cells, atoms and bonds, seen from the same side at one scale."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

import numpy as np

from empnn.viz.scene import EDGES, Scene, colour, scenes

SIZE = 220
"""Width and height of each of the two drawings, in pixels."""
_MARGIN = 8


def drawing(picture: Mapping[str, Any], label: str) -> str:
    """SVG of a crystal before and after, side by side; the cell as given is dashed behind the relaxed one.

    Colours are classes and variables of the page. Rotations of the crystal make no difference.

    Args:
        picture: `cell_before`, `cell_after` (rows are lattice vectors, angstrom), `frac_before` (in [0, 1)),
            `frac_after` and `numbers`.
        label: What it shows, for those who do not see it.
    """
    cells, fracs = ([np.array(picture[f"{what}_{when}"]) for when in ("before", "after")] for what in ("cell", "frac"))
    states = scenes(cells, fracs, np.array(picture["numbers"]))
    scale = (SIZE / 2 - _MARGIN) / max(state.reach for state in states)
    cell_before, cell_after = (
        _cell(state.corners, scale, kind) for state, kind in zip(states, ("given", "relaxed"), strict=True)
    )
    left = _layered(cell_before + _contents(states[0], scale))
    right = f'<g class="ghost">{_layered(cell_before)}</g>' + _layered(cell_after + _contents(states[1], scale))
    panels = "".join(
        f'<g transform="translate({SIZE * (side + 0.5):g} {SIZE / 2:g})">{panel}</g>'
        for side, panel in enumerate((left, right))
    )
    return (
        f'<svg class="crystal" viewBox="0 0 {2 * SIZE} {SIZE}" role="img" aria-label="{escape(label, quote=True)}">'
        f"{panels}</svg>"
    )


def _cell(corners: np.ndarray, scale: float, kind: str) -> list[tuple[float, str]]:
    """The edges of a cell with their depths."""
    return [(corners[[i, j], 2].mean(), _line(corners[i], corners[j], scale, kind)) for i, j in EDGES]


def _contents(scene: Scene, scale: float) -> list[tuple[float, str]]:
    """Atoms, and bonds between those that are drawn, with their depths."""
    places = scene.atoms
    found = [(places[[i, j], 2].mean(), _line(places[i], places[j], scale, "bond")) for i, j in scene.bonds()]
    drawn = zip(scale * places, scene.numbers.tolist(), scale * scene.radii, strict=True)
    for (x, y, depth), number, radius in drawn:
        circle = f'<circle cx="{x:.1f}" cy="{-y:.1f}" r="{radius:.1f}" fill="{colour(number)}"/>'
        found.append((depth / scale, circle))
    return found


def _layered(parts: list[tuple[float, str]]) -> str:
    """The parts of a drawing, the farthest first."""
    return "".join(text for _, text in sorted(parts, key=lambda part: part[0]))


def _line(start: np.ndarray, end: np.ndarray, scale: float, kind: str, width: float = 1.5) -> str:
    (x1, y1), (x2, y2) = scale * start[:2], scale * end[:2]
    ends = f'x1="{x1:.1f}" y1="{-y1:.1f}" x2="{x2:.1f}" y2="{-y2:.1f}"'
    return f'<line class="{kind}" {ends} stroke-width="{width:.2g}"/>'
