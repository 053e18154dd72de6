"""Crystals in rows: each original, deformed and relaxed side by side, from one side at one scale."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from textwrap import fill
from typing import Any

import numpy as np
from ase.data import chemical_symbols
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Circle

from empnn.viz.scene import EDGES, Scene, colour, scenes
from empnn.viz.style import ANGSTROM, DARK, GUIDE, INK, MIDDLE, ink_on, save, styled

_UNIT = 1.72
"""Width and height of one drawing, inches."""
_HEAD, _FOOT, _TITLE = 0.5, 0.75, 0.42
"""Inches above the rows, below them, and of the lines above and below the drawings of a row."""
_SMALLEST = 4.3
"""Radius in points of the smallest atoms where there are several elements: their symbols can still be read."""
_PIECE = 4.0
"""Length in points of the dashes of a line, and of the pieces of one without, about."""
_LETTERS = 16
"""In an inch of the note, about."""


@dataclass(frozen=True)
class _Pen:
    """How a line looks.

    Attributes:
        colour: Its colour.
        width: In points.
        dashed: Whether it has gaps.
    """

    colour: str
    width: float = 1.2
    dashed: bool = False


_STATES = {"original": _Pen(GUIDE, dashed=True), "deformed": _Pen(MIDDLE), "relaxed": _Pen(DARK)}
_GHOST, _BOND = _Pen(GUIDE, 0.7, dashed=True), _Pen("#9ca3af", 1.6)


@dataclass(frozen=True)
class CrystalRow:
    """A crystal in three cells, with the same fractional coordinates.

    Attributes:
        title: Line above it.
        cells: The original, the deformed and the relaxed one (3, 3, 3), rows are lattice vectors, angstrom, turned so
            that they can be compared.
        frac: Fractional coordinates in [0, 1) (atoms, 3).
        numbers: Atomic numbers (atoms,).
        said: A word below each of the three.
    """

    title: str
    cells: np.ndarray
    frac: np.ndarray
    numbers: np.ndarray
    said: Sequence[str]


def crystal_rows(columns: Sequence[tuple[str, Sequence[CrystalRow]]], note: str, paths: Sequence[str | Path]) -> None:
    """Save a picture: columns of rows of three drawings, the original cell dashed behind the other two.

    Readable in grayscale: states are told apart by place and by lines, elements by their symbols.

    Args:
        columns: The title of each, and its rows.
        note: What is said below all of them.
        paths: Files to write, the same picture to each; their suffixes tell the formats.
    """
    lines = max([1, *(len(rows) for _, rows in columns)])
    width, height = 3 * _UNIT * len(columns), _HEAD + lines * (_UNIT + _TITLE) + _FOOT
    with styled():
        figure = Figure(figsize=(width, height))
        for column, (title, rows) in enumerate(columns):
            left = column * 3 * _UNIT
            figure.text((left + 0.08) / width, 1 - 0.28 / height, title, fontsize=11, weight="bold", ha="left")
            if not rows:
                figure.text((left + 0.08) / width, 1 - (_HEAD + 0.2) / height, "none", color=GUIDE)
            for place, row in enumerate(rows):
                bottom = height - _HEAD - (place + 1) * (_UNIT + _TITLE) + _TITLE / 2
                box = (left / width, bottom / height, 3 * _UNIT / width, _UNIT / height)
                _draw(figure.add_axes(box), row)
        words = fill(note, int(_LETTERS * width))
        figure.text(0.08 / width, 0.08 / height, words, color=INK, va="bottom", linespacing=1.3)
        for path in paths:
            save(figure, path)


def _draw(axes: Any, row: CrystalRow) -> None:
    states = scenes(list(row.cells), [row.frac] * 3, row.numbers)
    reach = 1.03 * max(state.reach for state in states)
    axes.set(xlim=(-3 * reach, 3 * reach), ylim=(-reach, reach))
    axes.set_axis_off()
    points = 72 * _UNIT / (2 * reach)
    for place, (state, (word, pen), said) in enumerate(zip(states, _STATES.items(), row.said, strict=True)):
        middle = (2 * place - 2) * reach
        if place:
            _cell(axes, _shifted(states[0], middle, -4 * reach), points, _GHOST)
        shown = _shifted(state, middle)
        _cell(axes, shown, points, pen)
        _contents(axes, shown, points)
        below = {"xytext": (0, -1), "textcoords": "offset points", "ha": "center", "va": "top"}
        axes.annotate(f"{word}{said}", (middle, -reach), **below)
    axes.annotate(row.title, (-3 * reach, reach), (6, 3), textcoords="offset points", weight="bold", va="bottom")
    _legend(axes, row.numbers)
    _scale(axes, reach)


def _shifted(scene: Scene, right: float, towards: float = 0.0) -> Scene:
    shift = np.array([right, 0.0, towards])
    return Scene(scene.corners + shift, scene.atoms + shift, scene.numbers)


def _cell(axes: Any, scene: Scene, points: float, pen: _Pen) -> None:
    for i, j in EDGES:
        _line(axes, scene.corners[[i, j]], points, scene.radii.max(), pen)


def _contents(axes: Any, scene: Scene, points: float) -> None:
    """Atoms with their symbols if there is more than one element, and bonds; the nearest on top."""
    for i, j in scene.bonds():
        _line(axes, scene.atoms[[i, j]], points, scene.radii.max(), _BOND)
    several = len(set(scene.numbers.tolist())) > 1
    radii = np.maximum(scene.radii, _SMALLEST / points) if several else scene.radii
    for (x, y, depth), number, radius in zip(scene.atoms, scene.numbers.tolist(), radii, strict=True):
        shade = colour(number)
        axes.add_patch(Circle((x, y), radius, facecolor=shade, edgecolor="black", linewidth=0.6, zorder=depth))
        if several:
            size = min(7.0, 1.05 * radius * points)
            look = {"color": ink_on(shade), "fontsize": size, "ha": "center", "va": "center_baseline"}
            axes.text(x, y, chemical_symbols[number], zorder=depth + 1e-3, **look)


def _line(axes: Any, ends: np.ndarray, points: float, sunk: float, pen: _Pen) -> None:
    """A line in pieces, each as deep as its middle less `sunk`: atoms hide what is within or behind them."""
    long = points * float(np.linalg.norm(ends[1, :2] - ends[0, :2]))
    borders = np.linspace(ends[0], ends[1], 2 * int(np.ceil(long / (2 * _PIECE))) + 2)
    look: dict[str, Any] = {"color": pen.colour, "linewidth": pen.width}
    look["solid_capstyle"] = "butt" if pen.dashed else "round"
    for start, end in list(pairwise(borders))[:: 2 if pen.dashed else 1]:
        x, y, depth = np.transpose([start, end])
        axes.add_line(Line2D(x, y, zorder=depth.mean() - sunk, **look))


def _legend(axes: Any, numbers: np.ndarray) -> None:
    marks = [
        Line2D([], [], marker="o", linestyle="", markersize=7, color=colour(number), markeredgecolor="black")
        for number in dict.fromkeys(numbers.tolist())
    ]
    names = [chemical_symbols[number] for number in dict.fromkeys(numbers.tolist())]
    axes.legend(
        marks,
        names,
        loc="lower right",
        bbox_to_anchor=(1.0, 0.98),
        ncols=len(names),
        handletextpad=0.0,
        columnspacing=0.5,
        borderaxespad=0.0,
    )


def _scale(axes: Any, reach: float) -> None:
    """A bar of a round length, below at the left."""
    length = max((round_one for round_one in (1, 2, 5, 10, 20) if round_one < 0.4 * reach), default=1)
    x, y = -2.95 * reach, -1.09 * reach
    bar = Line2D([x, x + length], [y, y], color=INK, linewidth=1.5, solid_capstyle="butt", clip_on=False)
    axes.add_line(bar)
    axes.text(x + length + 0.05 * reach, y, f"{length} {ANGSTROM}", va="center")
