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

EDGE, FIRST, SECOND, CELL = "#94a3b8", "#c2410c", "#1d4ed8", "#6b7280"
CELL_VECTORS = np.array([[3.0, 0.3, 0.0], [0.7, 2.8, 0.0], [0.0, 0.0, 50.0]])
FRACTIONAL = np.array([[0.2, 0.2, 0.0], [0.75, 0.6, 0.0]])
COLORS = ("#fbbf24", "#34d399")


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
    style = {"arrowstyle": "-|>", "color": color, "lw": 2 if label else 1.2, "shrinkA": 6, "shrinkB": 6}
    axes.annotate("", xy=(start + vector)[:2], xytext=start[:2], arrowprops=style, zorder=2 + bool(label))
    if label:
        beside = np.array([-vector[1], vector[0]]) / np.hypot(*vector[:2]) * 0.3
        axes.text(*(start + 0.55 * vector)[:2] + beside, label, color=color, fontsize=13, ha="center", va="center")


def lattice(axes: Any, title: str) -> None:
    """Atoms and cells."""
    for i in range(-1, 3):
        for j in range(-1, 3):
            shift = np.array([i, j, 0]) @ CELL_VECTORS
            corners = shift + np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 0, 0]]) @ CELL_VECTORS
            axes.plot(*corners.T[:2], color=CELL, lw=1.6 if i == j == 0 else 0.5, ls="--", zorder=1)
            for frac, color in zip(FRACTIONAL, COLORS, strict=True):
                point = frac @ CELL_VECTORS + shift
                axes.scatter(*point[:2], s=130, color=color, edgecolors="black", linewidths=0.7, zorder=5)
    axes.set(xlim=(-2.4, 6.4), ylim=(-1.9, 5.2), title=title, aspect="equal")
    axes.set_axis_off()


def main(path: str) -> None:
    """Three panels: edges, `fan`, `chain`."""
    edges = graph()
    vectors = edges.vectors.numpy()
    own = np.flatnonzero(edges.source.numpy() == 0)
    start = FRACTIONAL[0] @ CELL_VECTORS
    figure = Figure(figsize=(13, 4.2), layout="constrained")
    panels = figure.subplots(1, 3)
    titles = ("edges of one atom (i, j, image)", "triplet `fan`: v and v' from i", "triplet `chain`: -v and v' from j")
    for axes, title in zip(panels, titles, strict=True):
        lattice(axes, title)
        for edge in own:
            arrow(axes, start, vectors[edge], EDGE)
    bonds = [e for e in own if edges.target[e] == 1]
    first, second = bonds[0], bonds[-1]
    arrow(panels[1], start, vectors[first], FIRST, "v")
    arrow(panels[1], start, vectors[second], SECOND, "v'")
    onward = next(
        e
        for e in np.flatnonzero(edges.source.numpy() == 1)
        if np.abs(vectors[e] + vectors[second]).max() > 0.1 and edges.target[e] == 0
    )
    arrow(panels[2], start + vectors[second], -vectors[second], FIRST, "-v")
    arrow(panels[2], start + vectors[second], vectors[onward], SECOND, "v'")
    figure.savefig(path, dpi=130)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "docs/images/graph.png")
