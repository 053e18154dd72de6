"""Reliability diagrams: what errors were predicted, and what they were."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from empnn.viz.style import ANGSTROM, DARK, GUIDE, LIGHT, MARKERS, MIDDLE, save, styled

PANELS = {"volume": "volume (%)", "length": f"lengths ({ANGSTROM})", "position": f"positions ({ANGSTROM})"}
_COLOURS = (DARK, MIDDLE, LIGHT)
_BINS = 8
_FLOOR = 1e-3
"""Errors below this are shown as this: atoms that symmetry holds in place have none."""

Points = Mapping[str, Sequence[float]]
"""`predicted` and `true` errors, means of each bin; `bound`, and `true_90`, below which lie 90 % of the true errors."""


def binned(predicted: np.ndarray, bounds: np.ndarray, true: np.ndarray) -> dict[str, list[float]]:
    """Bins of as many crystals each, by predicted error and by bound; see `Points`.

    Args:
        predicted: Expected errors (crystals,).
        bounds: Bounds of them (crystals,).
        true: True errors (crystals,).
    """
    predicted, bounds, true = (np.maximum(some, _FLOOR) for some in (predicted, bounds, true))
    by_error, by_bound = (np.array_split(np.argsort(some), _BINS) for some in (predicted, bounds))
    points = {
        "predicted": [predicted[part].mean() for part in by_error],
        "true": [true[part].mean() for part in by_error],
        "bound": [bounds[part].mean() for part in by_bound],
        "true_90": [np.quantile(true[part], 0.9) for part in by_bound],
    }
    return {name: [float(f"{value:.4g}") for value in values] for name, values in points.items()}


def reliability(found: Mapping[str, Mapping[str, Points]], path: str | Path) -> None:
    """Save a panel for each error: mean true against mean predicted error.

    Points on the diagonal are right on average. Open marks show what 90 % of the true errors of a bin lie below,
    against the mean of the predicted bounds.

    Args:
        found: By set of crystals (three at most) and error, the points.
        path: File to write; its suffix tells the format.
    """
    with styled():
        figure = Figure(figsize=(8.6, 3.4), layout="constrained")
        panels = figure.subplots(1, len(PANELS))
        for axes, (name, label) in zip(panels, PANELS.items(), strict=True):
            drawn = [(title, points[name]) for title, points in found.items() if name in points]
            for (title, points), colour, marker in zip(drawn, _COLOURS, MARKERS, strict=False):
                look = {"color": colour, "marker": marker, "linestyle": "", "markersize": 5}
                axes.plot(points["predicted"], points["true"], label=f"{title}: mean", **look)
                axes.plot(points["bound"], points["true_90"], fillstyle="none", label=f"{title}: 90 %", **look)
            every = [value for _, points in drawn for values in points.values() for value in values]
            line = [0.8 * min(every), 1.25 * max(every)]
            axes.plot(line, line, "-", color=GUIDE, linewidth=0.8, zorder=0)
            axes.set(xscale="log", yscale="log", xlim=line, ylim=line, aspect="equal")
            axes.set(xlabel=f"predicted error of {label}", ylabel=f"true error of {label}")
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=3)
        save(figure, path)
