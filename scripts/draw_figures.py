"""Draw the figures of the pages on the method: the actions that commute (Figure 2) and the architecture (Figure 3).

What is drawn is computed: crystals are acted on by `empnn.symmetry`, sizes are those of `ModelConfig`.
Usage: python scripts/draw_figures.py [docs/images]
"""

import sys
from itertools import pairwise, product
from pathlib import Path
from textwrap import fill
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, Polygon

from empnn.crystals import CrystalBatch, from_arrays
from empnn.nn.empnn import ModelConfig
from empnn.symmetry import change_basis, rotate, translate
from empnn.viz.style import ANGSTROM, DARK, GUIDE, INK, LIGHT, MIDDLE, save, styled

FLAT = from_arrays(
    cell=np.array([[3.2, 0.3, 0.0], [0.9, 2.7, 0.0], [0.0, 0.0, 50.0]]),
    frac=np.array([[0.2, 0.25, 0.0], [0.7, 0.6, 0.0]]),
    numbers=np.array([14, 8]),
)
"""A flat crystal: the third lattice vector is left out of the picture."""
TURN, MOVE = 35.0, (0.5, 0.7)
BASIS = ((1, -1), (0, 1))
WINDOW = (-4.4, 5.6)
"""Of both axes, angstrom."""
LEARNED, COMPUTED = "#dbe7f5", "white"
BOX_HEIGHT = 0.62
OF_EDGE = r"W\,[h_i \,\|\, h_j \,\|\, \mathrm{rbf}(r)]"
LEFT_OUT = (
    "Shaded: with learned weights. Features, messages and weights do not change under rotations, translations and "
    "changes of basis; vector fields, S and H turn with the crystal. Not shown: sums in place of means, fields and "
    "messages of triplets, atoms that move, first-order actions."
)


def rotation() -> np.ndarray:
    """The rotation of the plane."""
    cos, sin = np.cos(np.deg2rad(TURN)), np.sin(np.deg2rad(TURN))
    return np.array([[cos, -sin], [sin, cos]])


def isometry(crystal: CrystalBatch) -> CrystalBatch:
    """An element of Euc(2): a rotation, then a translation."""
    turn = torch.eye(3, dtype=torch.float64)
    turn[:2, :2] = torch.from_numpy(rotation())
    return translate(rotate(crystal, turn[None]), torch.tensor([[*MOVE, 0.0]], dtype=torch.float64))


def other_basis(crystal: CrystalBatch) -> CrystalBatch:
    """An element of SL2(Z)."""
    (a, b), (c, d) = BASIS
    return change_basis(crystal, torch.tensor([[[a, b, 0], [c, d, 0], [0, 0, 1]]]))


def cloud(crystal: CrystalBatch, atom: int) -> np.ndarray:
    """Places of an atom and its images in the plane."""
    cell, frac = crystal.cell[0].numpy(), crystal.frac[atom].numpy()
    shifts = np.array([(i, j, 0) for i, j in product(range(-8, 9), repeat=2)])
    return np.asarray(((frac + shifts) @ cell)[:, :2])


def nearest(points: np.ndarray, place: np.ndarray) -> np.ndarray:
    """The point that is nearest to a place."""
    return np.asarray(points[np.linalg.norm(points - place, axis=1).argmin()])


def within(points: np.ndarray) -> bool:
    """Whether any part of what points span may be seen."""
    low, high = WINDOW
    return bool((points.max(0) > low).all() and (points.min(0) < high).all())


def actions(path: Path) -> None:
    """Figure 2: both ways round end at the same crystal, and all four have the same distances."""
    below, right = isometry(FLAT), other_basis(FLAT)
    both, also = isometry(right), other_basis(below)
    if not (torch.allclose(both.cell, also.cell) and torch.allclose(both.frac, also.frac)):
        raise SystemExit("the actions do not commute: look at empnn.symmetry before drawing this")
    here = (FLAT.frac[0].numpy() @ FLAT.cell[0].numpy())[:2]
    there = rotation() @ here + MOVE
    shown = {
        (0, 0): ("a crystal", FLAT, here),
        (0, 1): ("in another basis: the same points", right, here),
        (1, 0): ("rotated and moved", below, there),
        (1, 1): ("both, in either order", both, there),
    }
    with styled():
        figure = Figure(figsize=(8.2, 8.3))
        for (row, column), (title, crystal, place) in shown.items():
            axes = figure.add_axes((0.02 + 0.56 * column, 0.565 - 0.53 * row, 0.40, 0.40))
            axes.set_title(title, fontsize=10, weight="bold", loc="left")
            panel(axes, crystal, place)
        between = figure.add_axes((0, 0, 1, 1), frame_on=False, xticks=[], yticks=[])
        look: dict[str, Any] = {"arrowstyle": "-|>", "lw": 1.8, "color": INK, "mutation_scale": 16}
        for y in (0.765, 0.235):
            between.annotate("", (0.575, y), (0.425, y), arrowprops=look)
            between.text(0.5, y + 0.012, f"$SL_2(\\mathbb{{Z}})$\n$g$ = {BASIS}", ha="center", va="bottom", fontsize=9)
        for x in (0.22, 0.78):
            between.annotate("", (x, 0.462), (x, 0.535), arrowprops=look)
            told = f"Euc(2): rotate by {TURN:g}°,\nmove by {MOVE} {ANGSTROM}"
            between.text(x + 0.015, 0.498, told, va="center", fontsize=9)
        save(figure, path)


def panel(axes: Any, crystal: CrystalBatch, place: np.ndarray) -> None:
    """One crystal: tiles, the cell with its vectors, the point cloud, and the shortest distance from a place on."""
    vectors = crystal.cell[0].numpy()[:2, :2]
    for i, j in product(range(-8, 9), repeat=2):
        corners = (np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) + np.array([i, j])) @ vectors
        if within(corners):
            own = (i, j) == (0, 0)
            axes.add_patch(Polygon(corners, fill=own, facecolor="#e5e7eb", edgecolor="#b6bcc6", linewidth=0.6))
    clouds = [cloud(crystal, atom) for atom in (0, 1)]
    for points, (marker, shade) in zip(clouds, (("o", DARK), ("s", LIGHT)), strict=True):
        seen = np.array([point for point in points if within(point[None])])
        axes.plot(*seen.T, marker, color=shade, markeredgecolor="black", markersize=6.5, zorder=4)
    first = nearest(clouds[0], place)
    second = nearest(clouds[1], first)
    axes.plot(*np.transpose([first, second]), color=MIDDLE, linewidth=3, zorder=3)
    for name, vector in zip("ab", vectors, strict=True):
        look = {"arrowstyle": "-|>", "lw": 1.8, "color": INK, "shrinkA": 0, "shrinkB": 0}
        axes.annotate("", vector, (0, 0), arrowprops=look, zorder=5)
        x, y = vector + 0.38 * vector / np.linalg.norm(vector)
        axes.text(x, y, name, fontsize=11, style="italic", weight="bold", ha="center", va="center", zorder=6)
    axes.set(xlim=WINDOW, ylim=WINDOW, aspect="equal", xticks=[], yticks=[])
    circle, square = (", ".join(f"{value:.2f}" for value in frac[:2]) for frac in crystal.frac.tolist())
    told = f"circle ({circle}), square ({square}), distance {np.linalg.norm(second - first):.3f} {ANGSTROM}"
    axes.set_xlabel(told, fontsize=8)


def box(axes: Any, place: tuple[float, float], text: str, learned: bool = False, width: float = 3.5) -> None:
    """A step: shaded and with a thick edge if it has weights that are learned."""
    x, y = place
    axes.add_patch(
        FancyBboxPatch(
            (x - width / 2, y - BOX_HEIGHT / 2),
            width,
            BOX_HEIGHT,
            boxstyle="round,pad=0,rounding_size=0.12",
            facecolor=LEARNED if learned else COMPUTED,
            edgecolor=DARK if learned else GUIDE,
            linewidth=1.8 if learned else 0.9,
        )
    )
    axes.text(x, y, text, ha="center", va="center", fontsize=8.2, linespacing=1.25)


def arrow(axes: Any, *places: tuple[float, float]) -> None:
    """From one step to the next, by way of corners."""
    axes.plot(*np.transpose(places), color=INK, linewidth=1.1, solid_capstyle="butt")
    look = {"arrowstyle": "-|>", "lw": 1.1, "color": INK, "shrinkA": 0, "shrinkB": 0}
    axes.annotate("", places[-1], places[-2], arrowprops=look)


def column(axes: Any, x: float, title: str, steps: list[tuple[str, bool]]) -> list[float]:
    """Steps one below the other; their heights."""
    axes.text(x - 1.75, 0.75, title, fontsize=10, weight="bold", ha="left")
    heights = [-0.98 * k for k in range(len(steps))]
    for y, (text, learned) in zip(heights, steps, strict=True):
        box(axes, (x, y), text, learned)
    for upper, lower in pairwise(heights):
        arrow(axes, (x, upper - BOX_HEIGHT / 2), (x, lower + BOX_HEIGHT / 2))
    return heights


def architecture(path: Path) -> None:
    """Figure 3: the model, a layer that passes messages, and one that deforms."""
    config = ModelConfig()
    with styled():
        figure = Figure(figsize=(10.4, 6.1))
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set(xlim=(-1.95, 12.05), ylim=(-6.4, 1.15))
        axes.set_axis_off()
        column(
            axes,
            0.0,
            "(a) the model",
            [
                ("crystal: cell, fractional coordinates,\natomic numbers Z", False),
                (f"graph, built once: {config.graph.k} nearest neighbours,\nshells never split; edge vectors v", False),
                (f"embedding of Z: {config.features} features $h_i$ per atom", True),
                (f"{config.message_layers} layers that pass messages (b)", True),
                (f"{config.action_layers} layers that deform (c)", True),
                (
                    f"$H = H_{config.action_layers} \\cdots H_2 H_1$, without its rotation:\n$P = (H^T H)^{{1/2}}$",
                    False,
                ),
                ("relaxed crystal: cell @ P,\nthe same fractional coordinates", False),
            ],
        )
        message = column(
            axes,
            4.8,
            "(b) passing messages",
            [
                (f"r = |v|, {config.radial.count} Gaussians of r;\n$h_i$, $h_j$ of both ends of an edge", False),
                (f"${OF_EDGE}$, SiLU", True),
                (f"{config.aggregate} over the edges that start at i", False),
                ("$W'$: messages $m_i$", True),
                ("GRU: $h_i \\leftarrow \\mathrm{GRU}(m_i, h_i)$", True),
            ],
        )
        deform = column(
            axes,
            9.6,
            "(c) deforming",
            [
                ("messages are passed (b)", True),
                (f"weight of each edge\n$w = W'\\,\\mathrm{{SiLU}}({OF_EDGE})$", True),
                ("vector fields: $w\\,\\lambda$, by default $\\lambda = u u^T$\nwith $u = v / r$", False),
                (f"{config.reduction} over the edges of a structure: S", False),
                ("gate: scales isotropic and deviatoric S\nby the strain so far (not in the paper)", True),
                (f"norm limited to {config.exponent_limit:g}, $H_l = \\exp(S)$", False),
                ("$v \\leftarrow H_l\\,v$: lengths and directions anew", False),
            ],
        )
        notes(axes, message, deform)
        save(figure, path)


def notes(axes: Any, message: list[float], deform: list[float]) -> None:
    """What goes on from layer to layer, and what the picture leaves out."""
    edge = 9.6 + 1.75
    arrow(axes, (edge, deform[-1]), (edge + 0.3, deform[-1]), (edge + 0.3, deform[0]), (edge, deform[0]))
    axes.text(edge + 0.37, (deform[0] + deform[-1]) / 2, "next layer", rotation=90, va="center", ha="left")
    axes.text(4.8 - 1.75, message[-1] - 0.6, fill(LEFT_OUT, 52), va="top", linespacing=1.45)


def main(folder: Path) -> None:
    """Draw both."""
    actions(folder / "actions.svg")
    architecture(folder / "architecture.svg")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "docs/images"))
