"""A crystal before and after as a drawing for a page: cells, atoms and bonds, seen from the same side at one scale."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from itertools import product
from typing import Any

import numpy as np
from ase.data import chemical_symbols, covalent_radii
from ase.data.colors import jmol_colors
from scipy.spatial import cKDTree

SIZE = 220
"""Width and height of each of the two drawings, in pixels."""
_MARGIN = 8
_AZIMUTH, _ELEVATION = np.deg2rad(24.0), np.deg2rad(14.0)
_ON_FACE = 0.02
"""Atoms that lie this near to a face of the cell, in fractions of it, are drawn on the opposite one, too."""
_RADIUS = 0.42
"""Of the covalent radius."""
_BOND = 1.15
"""Of the sum of the covalent radii: how far apart bonded atoms are at most."""
_CORNERS = np.array(list(product((0, 1), repeat=3)))
_EDGES = [(i, j) for i in range(8) for j in range(i + 1, 8) if np.abs(_CORNERS[i] - _CORNERS[j]).sum() == 1]


@dataclass(frozen=True)
class _Scene:
    """What is drawn of a crystal, in the frame of the screen: to the right, upwards and towards who looks.

    Attributes:
        corners: Of the cell (8, 3), angstrom from its middle.
        atoms: Places, those on faces repeated (drawn, 3), angstrom from the middle of the cell.
        numbers: Their atomic numbers (drawn,).
    """

    corners: np.ndarray
    atoms: np.ndarray
    numbers: np.ndarray


def drawing(picture: Mapping[str, Any], label: str) -> str:
    """SVG of a crystal before and after, side by side; the cell as given is dashed behind the relaxed one.

    Colours are classes and variables of the page. Rotations of the crystal make no difference.

    Args:
        picture: `cell_before`, `cell_after` (rows are lattice vectors, angstrom), `frac_before` (in [0, 1)),
            `frac_after` and `numbers`.
        label: What it shows, for those who do not see it.
    """
    cells = [np.array(picture[f"cell_{when}"]) for when in ("before", "after")]
    fracs = [np.array(picture[f"frac_{when}"]) for when in ("before", "after")]
    numbers = np.array(picture["numbers"])
    view = _view(cells[0])
    atom, image = _repeats(fracs[0])
    scenes = [
        _Scene((_CORNERS - 0.5) @ cell @ view.T, (frac[atom] + image - 0.5) @ cell @ view.T, numbers[atom])
        for cell, frac in zip(cells, fracs, strict=True)
    ]
    scale = (SIZE / 2 - _MARGIN) / max(_reach(scene) for scene in scenes)
    cell_before, cell_after = (
        _cell(scene.corners, scale, kind) for scene, kind in zip(scenes, ("given", "relaxed"), strict=True)
    )
    left = _layered(cell_before + _contents(scenes[0], scale))
    right = f'<g class="ghost">{_layered(cell_before)}</g>' + _layered(cell_after + _contents(scenes[1], scale))
    panels = "".join(
        f'<g transform="translate({SIZE * (side + 0.5):g} {SIZE / 2:g})">{panel}</g>'
        for side, panel in enumerate((left, right))
    )
    return (
        f'<svg class="crystal" viewBox="0 0 {2 * SIZE} {SIZE}" role="img" aria-label="{escape(label, quote=True)}">'
        f"{panels}</svg>"
    )


def colours(numbers: Sequence[int]) -> dict[str, str]:
    """The colour of each element of a crystal, by symbol."""
    return {chemical_symbols[number]: _colour(number) for number in dict.fromkeys(numbers)}


def _view(cell: np.ndarray) -> np.ndarray:
    """The frame of the screen: c upwards, b to the right and a towards who looks, a little from the side and above."""
    up = cell[2] / np.linalg.norm(cell[2])
    right = cell[1] - (cell[1] @ up) * up
    right /= np.linalg.norm(right)
    towards = np.cross(right, up)
    towards *= np.sign(towards @ cell[0])
    turn, tilt = (np.array([[np.cos(x), -np.sin(x)], [np.sin(x), np.cos(x)]]) for x in (_AZIMUTH, _ELEVATION))
    right, towards = turn @ np.array([right, towards])
    up, towards = tilt @ np.array([up, towards])
    return np.array([right, up, towards])


def _repeats(frac: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which atoms are drawn, those on faces repeatedly, and by how many cells each of them is moved."""
    low, high = frac < _ON_FACE, frac > 1 - _ON_FACE
    drawn, moved = [], []
    for image in product((-1, 0, 1), repeat=3):
        there = np.where(np.array(image) > 0, low, np.where(np.array(image) < 0, high, True)).all(1)
        drawn.append(np.flatnonzero(there))
        moved.append(np.tile(image, (there.sum(), 1)))
    return np.concatenate(drawn), np.concatenate(moved)


def _reach(scene: _Scene) -> float:
    """How far the drawing reaches from its middle, to a side or upwards, angstrom."""
    atoms = np.abs(scene.atoms[:, :2]) + _RADIUS * covalent_radii[scene.numbers][:, None]
    return float(max(np.abs(scene.corners[:, :2]).max(), atoms.max()))


def _cell(corners: np.ndarray, scale: float, kind: str) -> list[tuple[float, str]]:
    """The edges of a cell with their depths."""
    return [(corners[[i, j], 2].mean(), _line(corners[i], corners[j], scale, kind)) for i, j in _EDGES]


def _contents(scene: _Scene, scale: float) -> list[tuple[float, str]]:
    """Atoms, and bonds between those that are drawn, with their depths."""
    radii = covalent_radii[scene.numbers]
    longest = 2 * _BOND * radii.max()
    pairs = cKDTree(scene.atoms).query_pairs(longest, output_type="ndarray")
    apart = np.linalg.norm(scene.atoms[pairs[:, 0]] - scene.atoms[pairs[:, 1]], axis=1)
    bonded = pairs[apart < _BOND * radii[pairs].sum(1)]
    found = [(scene.atoms[[i, j], 2].mean(), _line(scene.atoms[i], scene.atoms[j], scale, "bond")) for i, j in bonded]
    drawn = zip(scale * scene.atoms, scene.numbers.tolist(), scale * _RADIUS * radii, strict=True)
    for (x, y, depth), number, radius in drawn:
        circle = f'<circle cx="{x:.1f}" cy="{-y:.1f}" r="{radius:.1f}" fill="{_colour(number)}"/>'
        found.append((depth / scale, circle))
    return found


def _layered(parts: list[tuple[float, str]]) -> str:
    """The parts of a drawing, the farthest first."""
    return "".join(text for _, text in sorted(parts, key=lambda part: part[0]))


def _line(start: np.ndarray, end: np.ndarray, scale: float, kind: str, width: float = 1.5) -> str:
    (x1, y1), (x2, y2) = scale * start[:2], scale * end[:2]
    ends = f'x1="{x1:.1f}" y1="{-y1:.1f}" x2="{x2:.1f}" y2="{-y2:.1f}"'
    return f'<line class="{kind}" {ends} stroke-width="{width:.2g}"/>'


def _colour(number: int) -> str:
    red, green, blue = np.rint(255 * jmol_colors[min(number, len(jmol_colors) - 1)]).astype(int)
    return f"#{red:02x}{green:02x}{blue:02x}"
