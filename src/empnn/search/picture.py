"""The picture of a search: the score of its trials by each dimension, the one that mattered most first."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import StrMethodFormatter

from empnn.search.dimensions import Choices, Dimension
from empnn.search.results import DONE, STOPPED, Row
from empnn.viz.style import DARK, GUIDE, MIDDLE, save, styled

_COLUMNS = 3
_KEY = "Filled: trained to the end (bar: their median). Open: given up. Star: the best. Pointing down: below the panel."
_SPREAD = 0.28
"""Width over which the trials of a choice are spread, in distances between choices."""
_LOWEST = 3.0
"""Points are shown to so many times the distance from the best score to the median one below the best."""


def picture(
    rows: Sequence[Row],
    dimensions: Mapping[str, Dimension],
    importances: Mapping[str, float],
    path: str | Path,
    title: str,
) -> None:
    """Save a panel for each dimension: what each trial removed of the error, against its value.

    A bar is the median of what ended of a choice. What lies below the panel is shown at its lower edge.

    Args:
        rows: The trials.
        dimensions: What differs between them, by key.
        importances: Of the dimensions, as far as they are known.
        path: File to write; its suffix tells the format.
        title: Line above the picture.
    """
    keys = sorted(dimensions, key=lambda key: -importances.get(key, 0.0))
    columns = min(_COLUMNS, len(keys))
    lines = math.ceil(len(keys) / columns)
    with styled():
        figure = Figure(figsize=(1.0 + 3.4 * columns, 0.7 + 2.7 * lines), layout="constrained")
        figure.suptitle(title, fontsize=10, x=0.01, ha="left")
        figure.supxlabel(_KEY, x=0.01, ha="left")
        by_number = sorted(rows, key=lambda row: row.trial)
        scored = [row for row in by_number if row.status in (DONE, STOPPED) and row.score is not None]
        grid = figure.subplots(lines, columns, squeeze=False, sharey=True)
        for axes, key in zip(grid.flat, keys, strict=False):
            here = f", importance {importances[key]:.0%}" if key in importances else ""
            axes.set_xlabel(f"{key}{here}")
            axes.spines[["top", "right"]].set_visible(False)
            _panel(axes, key, dimensions[key], scored)
        for axes in grid.flat[len(keys) :]:
            axes.set_visible(False)
        for axes in grid[:, 0]:
            axes.set_ylabel("error removed (%)")
            axes.yaxis.set_major_formatter(StrMethodFormatter("{x:.4g}"))
        save(figure, path)


def _panel(axes: Any, key: str, each: Dimension, rows: Sequence[Row]) -> None:
    if isinstance(each, Choices):
        axes.set_xticks(range(len(each.texts)), [_label(value) for value in each.values])
        axes.set_xlim(-0.6, len(each.texts) - 0.4)
    else:
        axes.set_xscale("log" if each.log else "linear")
        if each.whole and not each.log:
            axes.xaxis.get_major_locator().set_params(integer=True)
    if not rows:
        return
    scores = np.array([100 * (row.score or 0.0) for row in rows])
    low, high = _limits(scores)
    axes.set_ylim(low, high)
    numbers = np.array([_number(each, row.parameters[key]) for row in rows])
    places = _side_by_side(numbers) if isinstance(each, Choices) else numbers
    done = np.array([row.status == DONE for row in rows])
    shown = np.maximum(scores, low)
    for place, marker in ((scores >= low, "o"), (scores < low, "v")):
        for ended, style in ((done, {"color": DARK}), (~done, {"facecolors": "none", "edgecolors": GUIDE})):
            mask = place & ended
            axes.scatter(places[mask], shown[mask], s=26, marker=marker, clip_on=False, zorder=3, **style)
    if isinstance(each, Choices):
        for number in range(len(each.texts)):
            here = scores[done & (numbers == number)]
            if len(here) and np.median(here) >= low:
                axes.plot([number - 0.35, number + 0.35], [np.median(here)] * 2, "-", color=GUIDE, linewidth=1.2)
    if done.any():
        best = int(np.argmax(np.where(done, scores, -np.inf)))
        axes.scatter(places[best], shown[best], s=150, marker="*", color=MIDDLE, edgecolors="white", zorder=4)


def _number(each: Dimension, value: Any) -> float:
    """A value of a range, or the number of a choice."""
    return float(each.values.index(value)) if isinstance(each, Choices) else float(value)


def _side_by_side(numbers: np.ndarray) -> np.ndarray:
    """Where trials stand, those of one choice beside each other."""
    places = numbers.copy()
    for number in np.unique(numbers):
        same = np.flatnonzero(numbers == number)
        if len(same) > 1:
            places[same] += np.linspace(-_SPREAD, _SPREAD, len(same))
    return places


def _limits(scores: np.ndarray) -> tuple[float, float]:
    """From the lowest score that is not far off to the best, with some room."""
    best = float(scores.max())
    usual = max(best - float(np.median(scores)), 1.0)
    low = max(float(scores.min()), best - _LOWEST * usual)
    room = 0.08 * max(best - low, 1.0)
    return low - room, best + room


def _label(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
