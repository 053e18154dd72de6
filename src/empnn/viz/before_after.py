"""One picture of a relaxation: cells before and after over the true one, and the errors of all crystals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.data.colors import jmol_colors
from matplotlib.figure import Figure

BEFORE, AFTER, TRUE = "#c2410c", "#1d4ed8", "#6b7280"

_CORNERS = np.array(list(product((0, 1), repeat=3)))
_EDGES = [(i, j) for i in range(8) for j in range(i + 1, 8) if np.abs(_CORNERS[i] - _CORNERS[j]).sum() == 1]


@dataclass(frozen=True)
class Triple:
    """A crystal in its wrong, its relaxed and its true cell, with the same fractional coordinates.

    Attributes:
        name: Label in the picture.
        before: The crystal as given.
        after: The relaxed crystal.
        true: The known relaxed crystal.
    """

    name: str
    before: Atoms
    after: Atoms
    true: Atoms


def parameter_errors(triple: Triple) -> tuple[np.ndarray, np.ndarray]:
    """Mean absolute errors (lengths in angstrom, angles in degrees), before and after: two arrays of shape (2,)."""
    truth = triple.true.cell.cellpar()
    before, after = (np.abs(a.cell.cellpar() - truth) for a in (triple.before, triple.after))
    return np.array([before[:3].mean(), before[3:].mean()]), np.array([after[:3].mean(), after[3:].mean()])


def picture(triples: Sequence[Triple], path: str | Path, drawn: Sequence[int] = (0,)) -> None:
    """Save a picture: some crystals drawn, and the errors of all before and after.

    Args:
        triples: The crystals.
        path: File to write; its suffix tells the format.
        drawn: Positions of the crystals to draw.
    """
    figure = Figure(figsize=(4.2 + 3.6 * len(drawn), 6.6), layout="constrained")
    grid = figure.add_gridspec(2, len(drawn) + 1, width_ratios=[1.0] * len(drawn) + [1.25])
    for column, position in enumerate(drawn):
        for row, attribute in enumerate(("before", "after")):
            axes: Any = figure.add_subplot(grid[row, column], projection="3d")
            _draw(axes, triples[position], attribute)
    for row, (title, unit) in enumerate((("lengths", "Å"), ("angles", "°"))):
        _bars(figure.add_subplot(grid[row, -1]), triples, row, f"error of {title} ({unit})")
    figure.savefig(path, dpi=150)


def _draw(axes: Any, triple: Triple, attribute: str) -> None:
    atoms: Atoms = getattr(triple, attribute)
    color = BEFORE if attribute == "before" else AFTER
    aligned = _aligned(triple.true, atoms)
    _wireframe(axes, aligned, TRUE, "--")
    _wireframe(axes, np.asarray(atoms.cell.array), color, "-")
    inside = atoms.get_scaled_positions(wrap=True) @ atoms.cell.array
    axes.scatter(*inside.T, s=90, c=jmol_colors[atoms.numbers], edgecolors="black", linewidths=0.6, depthshade=False)
    axes.set_title(f"{triple.name}, {'strained' if attribute == 'before' else 'relaxed'}", color=color, fontsize=10)
    limits = np.array([axes.get_xlim3d(), axes.get_ylim3d(), axes.get_zlim3d()])
    axes.set_box_aspect(np.ptp(limits, axis=1), zoom=1.2)
    axes.set_axis_off()
    axes.view_init(elev=18, azim=-62)


def _aligned(true: Atoms, shown: Atoms) -> np.ndarray:
    """The true cell, turned onto the one shown."""
    left, _, right = np.linalg.svd(true.cell.array.T @ shown.cell.array)
    return np.asarray(true.cell.array @ (left @ right))


def _wireframe(axes: Any, cell: np.ndarray, color: str, style: str) -> None:
    corners = _CORNERS @ cell
    for i, j in _EDGES:
        axes.plot(*corners[[i, j]].T, color=color, linestyle=style, linewidth=1.3)


def _bars(axes: Any, triples: Sequence[Triple], which: int, label: str) -> None:
    errors = np.array([[e[which] for e in parameter_errors(t)] for t in triples])
    rows = np.arange(len(triples))
    axes.barh(rows - 0.2, errors[:, 0], 0.38, color=BEFORE, label="strained")
    axes.barh(rows + 0.2, errors[:, 1], 0.38, color=AFTER, label="relaxed")
    axes.set_yticks(rows, [t.name for t in triples], fontsize=8)
    axes.invert_yaxis()
    axes.set_xlabel(label)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8)
