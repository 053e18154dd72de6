"""Reliability diagrams: what errors were predicted, and what they were."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from empnn.viz.histograms import ANGLES, LENGTHS, OTHERS

PANELS = {"volume": "volume (%)", "length": "lengths (Å)", "position": "positions (Å)"}
_STYLES = ((LENGTHS, "o"), (ANGLES, "s"), (OTHERS, "^"))
_BINS = 8
_FLOOR = 1e-3
"""Errors below this are shown as this: atoms that symmetry holds in place have none."""


def reliability(found: Mapping[str, Mapping[str, tuple[np.ndarray, np.ndarray, np.ndarray]]], path: str | Path) -> None:
    """Save a panel for each error: mean true against mean predicted error, in bins of as many crystals.

    Points on the diagonal are right on average. Open marks show what 90 % of the true errors of a bin lie below,
    against the mean of the predicted bounds.

    Args:
        found: By set of crystals (three at most) and error, the predicted errors, the bounds and the true errors.
        path: File to write; its suffix tells the format.
    """
    figure = Figure(figsize=(11, 4.1), layout="constrained")
    for axes, (name, label) in zip(figure.subplots(1, len(PANELS)), PANELS.items(), strict=True):
        ends = []
        for (title, errors), (colour, marker) in zip(found.items(), _STYLES, strict=False):
            if name not in errors:
                continue
            predicted, bounds, true = (np.maximum(some, _FLOOR) for some in errors[name])
            parts = np.array_split(np.argsort(predicted), _BINS)
            x, y = ([float(some[part].mean()) for part in parts] for some in (predicted, true))
            axes.plot(x, y, marker, color=colour, label=f"{title}: mean")
            parts = np.array_split(np.argsort(bounds), _BINS)
            u, v = [float(bounds[p].mean()) for p in parts], [float(np.quantile(true[p], 0.9)) for p in parts]
            axes.plot(u, v, marker, color=colour, fillstyle="none", label=f"{title}: 90 %")
            ends += [*x, *y, *u, *v]
        line = [min(ends), max(ends)]
        axes.plot(line, line, "-", color="#9ca3af", linewidth=1, zorder=0)
        axes.set(xscale="log", yscale="log", xlabel=f"predicted error of {label}", ylabel="true error")
    figure.axes[0].legend(frameon=False, fontsize=8)
    figure.savefig(path, dpi=130)
