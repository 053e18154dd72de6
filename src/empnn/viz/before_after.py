"""One picture of many relaxations: some crystals true, strained and relaxed, and the errors of all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from matplotlib.figure import Figure

from empnn.viz.states import RELAXED, TRUE, WRONG, State, draw
from empnn.viz.style import ANGSTROM, formula, save, styled

_UNIT, _TITLE = 1.5, 0.42
"""Width and height of one drawing, and height of the lines above and below it, inches."""
_BARS, _NAMES = 4.1, 1.15
"""Width of the bars with the names of the crystals, and of the names, inches."""


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
    """Save a picture: some crystals in their true, wrong and relaxed cells, and the errors of all before and after.

    Args:
        triples: The crystals.
        path: File to write; its suffix tells the format.
        drawn: Positions of the crystals to draw.
    """
    lines = len(drawn)
    width, height = 3 * _UNIT + _BARS, lines * (_UNIT + _TITLE) + 0.1
    with styled():
        figure = Figure(figsize=(width, height))
        for row, position in enumerate(drawn):
            bottom = height - (row + 1) * (_UNIT + _TITLE) + _TITLE / 2 - 0.05
            box = (0.0, bottom / height, 3 * _UNIT / width, _UNIT / height)
            _draw(figure.add_axes(box), triples[position])
        panels = figure.subplots(1, 2, sharey=True)
        left, names = 3 * _UNIT / width, _NAMES / width
        figure.subplots_adjust(left + names, 0.5 / height, 1 - 0.1 / width, 1 - 0.35 / height, wspace=0.12)
        for which, (axes, label) in enumerate(zip(panels, (f"lengths ({ANGSTROM})", "angles (°)"), strict=True)):
            _bars(axes, triples, which, f"error of {label}")
        bars, words = panels[0].get_legend_handles_labels()
        figure.legend(bars, words, loc="upper right", ncols=2, bbox_to_anchor=(1, 1))
        save(figure, path)


def _draw(axes: Any, triple: Triple) -> None:
    true = triple.true.cell.array
    frac = triple.true.get_scaled_positions(wrap=True)
    shown = (("true", TRUE, triple.true), ("strained", WRONG, triple.before), ("relaxed", RELAXED, triple.after))
    states = [State(word, pen, _turned(atoms.cell.array, true), frac) for word, pen, atoms in shown]
    draw(axes, states, triple.true.numbers, formula(triple.name), _UNIT)


def _turned(cell: np.ndarray, onto: np.ndarray) -> np.ndarray:
    """A cell, turned onto another one."""
    left, _, right = np.linalg.svd(cell.T @ onto)
    return np.asarray(cell @ (left @ right))


def _bars(axes: Any, triples: Sequence[Triple], which: int, label: str) -> None:
    errors = np.array([[e[which] for e in parameter_errors(t)] for t in triples])
    rows = np.arange(len(triples))
    axes.barh(rows - 0.2, errors[:, 0], 0.38, color=WRONG.colour, label="strained")
    axes.barh(rows + 0.2, errors[:, 1], 0.38, color=RELAXED.colour, label="relaxed")
    axes.set_yticks(rows, [formula(t.name) for t in triples])
    axes.set_ylim(len(triples) - 0.4, -0.6)
    axes.set_xlabel(label)
    axes.spines[["top", "right"]].set_visible(False)
