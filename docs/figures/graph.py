"""Draw the graph of a strained two-dimensional lattice: edges of one atom, and one triplet of each kind.

Usage: python docs/figures/graph.py [docs/images/graph.png]
"""

import sys
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure

from empnn.crystals import CrystalBatch
from empnn.graph import Graph, cutoff
from empnn.viz.style import BOND, DARK, GUIDE, INK, LIGHT, MIDDLE, save, styled

EDGE, FIRST, SECOND, CELL = BOND, MIDDLE, DARK, GUIDE
SECOND_LABEL, MINUS_V = "v'", "\N{MINUS SIGN}v"
CELL_VECTORS = np.array([[3.0, 0.3, 0.0], [0.7, 2.8, 0.0], [0.0, 0.0, 50.0]])
FRACTIONAL = np.array([[0.2, 0.2, 0.0], [0.75, 0.6, 0.0]])
SYMBOLS, COLORS = ("Si", "O"), (LIGHT, "#ffffff")


def graph() -> Graph:
    """Edges within a radius in a flat crystal: the third lattice vector is too long to matter."""
    crystals = CrystalBatch(
        cell=torch.from_numpy(CELL_VECTORS)[None],
        frac=torch.from_numpy(FRACTIONAL),
        numbers=torch.tensor([14, 8]),
        batch=torch.zeros(2, dtype=torch.int64),
    )
    return cutoff(3.2)(crystals)


def arrow(axes: Any, start: np.ndarray, vector: np.ndarray, color: str, label: str = "") -> None:
    """An edge vector."""
    line = "--" if label == SECOND_LABEL else "-"
    style = {"arrowstyle": "-|>", "color": color, "lw": 2 if label else 1.1, "linestyle": line}
    style |= {"shrinkA": 7, "shrinkB": 7}
    axes.annotate("", xy=(start + vector)[:2], xytext=start[:2], arrowprops=style, zorder=2 + bool(label))
    if label:
        beside = np.array([-vector[1], vector[0]]) / np.hypot(*vector[:2]) * 0.3
        axes.text(
            *(start + 0.55 * vector)[:2] + beside,
            label,
            color=color,
            fontsize=11,
            weight="bold",
            ha="center",
            va="center",
        )


def lattice(axes: Any, title: str) -> None:
    """Atoms and cells."""
    for i in range(-1, 3):
        for j in range(-1, 3):
            shift = np.array([i, j, 0]) @ CELL_VECTORS
            corners = shift + np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 0, 0]]) @ CELL_VECTORS
            axes.plot(*corners.T[:2], color=CELL, lw=1.6 if i == j == 0 else 0.5, ls="--", zorder=1)
            for frac, color, symbol in zip(FRACTIONAL, COLORS, SYMBOLS, strict=True):
                point = frac @ CELL_VECTORS + shift
                axes.scatter(*point[:2], s=110, color=color, edgecolors=INK, linewidths=0.8, zorder=5)
                axes.text(*point[:2], symbol, ha="center", va="center", fontsize=6.5, zorder=6, clip_on=True)
    axes.set(xlim=(-2.4, 6.4), ylim=(-1.9, 5.2), title=title, aspect="equal")
    axes.set_axis_off()


def main(path: str) -> None:
    """Three panels: edges, `fan`, `chain`."""
    edges = graph()
    vectors = edges.vectors.numpy()
    own = np.flatnonzero(edges.source.numpy() == 0)
    start = FRACTIONAL[0] @ CELL_VECTORS
    with styled():
        figure = Figure(figsize=(8.6, 2.55), layout="constrained")
        panels = figure.subplots(1, 3)
        titles = (
            "edges of one atom (i, j, image)",
            "triplet fan: v and v' from i",
            f"triplet chain: {MINUS_V} and v' from j",
        )
        for axes, title in zip(panels, titles, strict=True):
            lattice(axes, title)
            for edge in own:
                arrow(axes, start, vectors[edge], EDGE)
        bonds = [e for e in own if edges.target[e] == 1]
        first, second = bonds[0], bonds[-1]
        arrow(panels[1], start, vectors[first], FIRST, "v")
        arrow(panels[1], start, vectors[second], SECOND, SECOND_LABEL)
        onward = next(
            e
            for e in np.flatnonzero(edges.source.numpy() == 1)
            if np.abs(vectors[e] + vectors[second]).max() > 0.1 and edges.target[e] == 0
        )
        arrow(panels[2], start + vectors[second], -vectors[second], FIRST, MINUS_V)
        arrow(panels[2], start + vectors[second], vectors[onward], SECOND, SECOND_LABEL)
        save(figure, path)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "docs/images/graph.png")
