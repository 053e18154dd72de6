"""Dot plots: two values for each of several rows, in panels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure

from empnn.viz.style import BOND, DARK, GUIDE, INK, save, styled


@dataclass(frozen=True)
class Panel:
    """One panel.

    Attributes:
        title: Above it.
        label: Of its axis, with the unit.
        rows: Names of the rows, from the top.
        ours: A value for each, or None.
        paper: The paper's, or None.
    """

    title: str
    label: str
    rows: Sequence[str]
    ours: Sequence[float | None]
    paper: Sequence[float | None]


def dots(panels: Sequence[Panel], title: str, path: str | Path) -> None:
    """Save panels side by side, two rows of them at most: filled marks are ours, open ones the paper's.

    Readable without colours: a line joins both marks of a row.
    """
    titles = list(dict.fromkeys(panel.title for panel in panels))
    lines = max(1, -(-len(panels) // max(1, len(titles))))
    height = 1.1 + lines * (0.9 + 0.24 * max((len(panel.rows) for panel in panels), default=1))
    with styled():
        figure = Figure(figsize=(3.2 * max(1, len(titles)) + 1.6, height), layout="constrained")
        grid = figure.subplots(lines, max(1, len(titles)), squeeze=False, sharey="row")
        for axes, panel in zip(grid.flat, panels, strict=False):
            for place, (ours, paper) in enumerate(zip(panel.ours, panel.paper, strict=True)):
                if ours is not None and paper is not None:
                    axes.plot([ours, paper], [place, place], "-", color=BOND, linewidth=1, zorder=1)
                if paper is not None:
                    axes.plot(paper, place, "o", color=INK, fillstyle="none", zorder=2, label="paper")
                if ours is not None:
                    axes.plot(ours, place, "s", color=DARK, zorder=3, label="ours")
            axes.axvline(0, color=GUIDE, linewidth=0.6, zorder=0)
            axes.set(title=panel.title, xlabel=panel.label)
            axes.set_yticks(range(len(panel.rows)), panel.rows)
            axes.set_ylim(len(panel.rows) - 0.5, -0.5)
        marks = {
            label: mark for axes in grid.flat for mark, label in zip(*axes.get_legend_handles_labels(), strict=True)
        }
        if marks:
            figure.legend(list(marks.values()), list(marks), loc="outside upper right", ncols=2)
        figure.suptitle(title, x=0.01, ha="left")
        save(figure, path)
