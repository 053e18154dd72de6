"""Crystals in rows: each original, deformed and relaxed side by side, from one side at one scale."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import fill
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from empnn.viz.states import RELAXED, TRUE, WRONG, State, draw
from empnn.viz.style import GUIDE, INK, save, styled

_UNIT = 1.72
"""Width and height of one drawing, inches."""
_HEAD, _FOOT, _TITLE = 0.5, 0.75, 0.42
"""Inches above the rows, below them, and of the lines above and below the drawings of a row."""
_LETTERS = 16
"""In an inch of the note, about."""


_STATES = {"original": TRUE, "deformed": WRONG, "relaxed": RELAXED}


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
    states = [
        State(f"{word}{said}", pen, cell, row.frac)
        for (word, pen), said, cell in zip(_STATES.items(), row.said, row.cells, strict=True)
    ]
    draw(axes, states, row.numbers, row.title, _UNIT)
