"""Heat maps: how many of something fall into each of the cells of a grid, with a line over them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import fill

import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import FormatStrFormatter, NullFormatter

from empnn.viz.style import GUIDE, INK, SHADES, save, styled

_PANEL = (2.05, 1.95)
_LETTERS_PER_INCH = 14.5


@dataclass(frozen=True)
class HeatMap:
    """One panel.

    Attributes:
        title: Above it.
        x_edges: Borders of the columns (columns + 1,), on a logarithmic axis.
        y_edges: Borders of the rows (rows + 1,), from the bottom.
        counts: (columns, rows).
        line: x and y of the points of a line, (2, points).
    """

    title: str
    x_edges: np.ndarray
    y_edges: np.ndarray
    counts: np.ndarray
    line: np.ndarray


def heat_maps(
    rows: Sequence[tuple[str, Sequence[HeatMap]]],
    axes_labels: tuple[str, Sequence[str]],
    note: str,
    paths: Sequence[str | Path],
) -> None:
    """Save rows of as many panels; shades run from light to dark on a logarithmic scale, empty cells are white.

    Args:
        rows: The name of each row, and its panels.
        axes_labels: Of all x axes, and of the y axis of each column.
        note: What is said below all of them.
        paths: Files to write, the same picture to each; their suffixes tell the formats.
    """
    across = len(axes_labels[1])
    width, height = _PANEL[0] * across + 0.6, _PANEL[1] * len(rows) + 0.9
    most = max(float(panel.counts.max()) for _, panels in rows for panel in panels)
    with styled():
        figure = Figure(figsize=(width, height), layout="constrained")
        grid = figure.subplots(len(rows), across, squeeze=False)
        norm = LogNorm(1, max(2.0, most))
        for line, (name, panels) in zip(grid, rows, strict=True):
            for place, (axes, panel) in enumerate(zip(line, panels, strict=True)):
                counts = np.ma.masked_equal(panel.counts.T, 0)
                mesh = axes.pcolormesh(
                    panel.x_edges, panel.y_edges, counts, cmap=SHADES, norm=norm, rasterized=True, linewidth=0
                )
                axes.axhline(1, color=GUIDE, linewidth=0.8, linestyle="--")
                axes.plot(*panel.line, "-", color="white", linewidth=3)
                axes.plot(*panel.line, "o-", color=INK, linewidth=1.2, markersize=3.5, markeredgecolor="white")
                axes.set(xscale="log", xlim=panel.x_edges[[0, -1]], ylim=panel.y_edges[[0, -1]])
                axes.set_xticks(_ticks(*panel.x_edges[[0, -1]]))
                axes.xaxis.set_major_formatter(FormatStrFormatter("%g"))
                axes.xaxis.set_minor_formatter(NullFormatter())
                axes.set_title(panel.title)
                axes.set_ylabel(f"{name}\n{axes_labels[1][place]}" if place == 0 else axes_labels[1][place])
        figure.colorbar(mesh, ax=grid, label="crystals", shrink=0.5, aspect=30, pad=0.01)
        for axes in grid[-1]:
            axes.set_xlabel(axes_labels[0])
        figure.supxlabel(fill(note, int(_LETTERS_PER_INCH * width)), fontsize=8, x=0.01, ha="left")
        for path in paths:
            save(figure, path)


def _ticks(low: float, high: float) -> list[float]:
    """Round numbers between two, two in each decade."""
    decades = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    return [tick for k in decades for step in (1, 3) if low <= (tick := step * 10.0**k) <= high]
