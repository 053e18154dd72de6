"""States of a crystal side by side, from one side at one scale: cells, atoms with their symbols, bonds, a legend."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from textwrap import fill
from typing import Any

import numpy as np
from ase.data import chemical_symbols
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Circle

from empnn.viz.scene import EDGES, Scene, colour, scenes
from empnn.viz.style import ANGSTROM, BOND, DARK, GUIDE, INK, MIDDLE, Shown, ink_on, styled

_SMALLEST = 4.3
"""Radius in points of the smallest atoms where there are several elements: their symbols can still be read."""
_PIECE = 4.0
"""Length in points of the dashes of a line, and of the pieces of one without, about."""
_WIDTH, _TITLE, _LINE, _LETTERS = 2.5, 0.3, 0.15, 15
"""Of `alone`: inches of a drawing, of the title, of a line of the note, and letters in an inch of it."""


@dataclass(frozen=True)
class Pen:
    """How the lines of a cell look.

    Attributes:
        colour: Their colour.
        width: In points.
        dashed: Whether they have gaps.
    """

    colour: str
    width: float = 1.2
    dashed: bool = False


TRUE, WRONG, RELAXED = Pen(GUIDE, dashed=True), Pen(MIDDLE), Pen(DARK)
"""Cells as they should be, as they were given, and as they were found."""
_GHOST, _BOND = Pen(GUIDE, 0.7, dashed=True), Pen(BOND, 1.6)


@dataclass(frozen=True)
class State:
    """A crystal in one of its states.

    Attributes:
        said: Words below it.
        pen: How its cell is drawn.
        cell: Rows are lattice vectors (3, 3), angstrom, turned so that states can be compared.
        frac: Fractional coordinates (atoms, 3), those of the first state in [0, 1).
    """

    said: str
    pen: Pen
    cell: np.ndarray
    frac: np.ndarray


def alone(states: Sequence[State], numbers: np.ndarray, title: str, note: str) -> Figure:
    """A figure of one crystal, for itself; see `draw`.

    Args:
        states: What is drawn, from the left.
        numbers: Atomic numbers (atoms,).
        title: Line above it.
        note: What is said below it.
    """
    width = _WIDTH * len(states)
    lines = [fill(line, int(_LETTERS * width)) for line in note.splitlines()]
    foot = 0.25 + _LINE * (1 + sum(line.count("\n") + 1 for line in lines))
    height = _TITLE + _WIDTH + foot
    with styled():
        figure = Shown(figsize=(width, height))
        axes = figure.add_axes((0.0, foot / height, 1.0, _WIDTH / height))
        draw(axes, states, numbers, title, _WIDTH)
        figure.text(0.08 / width, 0.08 / height, "\n".join(lines), color=INK, va="bottom", linespacing=1.3)
    return figure


def draw(axes: Any, states: Sequence[State], numbers: np.ndarray, title: str, size: float) -> None:
    """Draw the states of a crystal beside each other, the cell of the first one dashed behind the others.

    Readable in grayscale: states are told apart by place and by lines, elements by their symbols.

    Args:
        axes: Where to draw, `size` inches high and as many times as wide as there are states.
        states: What is drawn, from the left.
        numbers: Atomic numbers (atoms,).
        title: Line above it.
        size: Inches.
    """
    seen = scenes([state.cell for state in states], [state.frac for state in states], numbers)
    reach = 1.03 * max(scene.reach for scene in seen)
    edge = len(states) * reach
    axes.set(xlim=(-edge, edge), ylim=(-reach, reach))
    axes.set_axis_off()
    points = 72 * size / (2 * reach)
    for place, (scene, state) in enumerate(zip(seen, states, strict=True)):
        middle = (2 * place + 1) * reach - edge
        if place:
            _cell(axes, _shifted(seen[0], middle, -4 * reach), points, _GHOST)
        shown = _shifted(scene, middle)
        _cell(axes, shown, points, state.pen)
        _contents(axes, shown, points)
        below = {"xytext": (0, -1), "textcoords": "offset points", "ha": "center", "va": "top"}
        axes.annotate(state.said, (middle, -reach), **below)
    axes.annotate(title, (-edge, reach), (6, 3), textcoords="offset points", weight="bold", va="bottom")
    _legend(axes, numbers)
    _scale(axes, reach, edge)


def _shifted(scene: Scene, right: float, towards: float = 0.0) -> Scene:
    shift = np.array([right, 0.0, towards])
    return Scene(scene.corners + shift, scene.atoms + shift, scene.numbers)


def _cell(axes: Any, scene: Scene, points: float, pen: Pen) -> None:
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


def _line(axes: Any, ends: np.ndarray, points: float, sunk: float, pen: Pen) -> None:
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


def _scale(axes: Any, reach: float, edge: float) -> None:
    """A bar of a round length, below at the left."""
    length = max((round_one for round_one in (1, 2, 5, 10, 20) if round_one < 0.4 * reach), default=1)
    x, y = 0.05 * reach - edge, -1.09 * reach
    bar = Line2D([x, x + length], [y, y], color=INK, linewidth=1.5, solid_capstyle="butt", clip_on=False)
    axes.add_line(bar)
    axes.text(x + length + 0.05 * reach, y, f"{length} {ANGSTROM}", va="center")
