"""One picture of a set of crystals: its cells, sizes, densities and elements."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import StrMethodFormatter

from empnn.data.curation.statistics import Statistics
from empnn.errors import ConfigError

LENGTHS, ANGLES, OTHERS = "#1d4ed8", "#c2410c", "#4b5563"

_MOST_ELEMENTS = 40
_LABELS = ("a (Å)", "b (Å)", "c (Å)", "alpha (°)", "beta (°)", "gamma (°)")


def check_format(path: Path) -> None:
    """Make sure that a picture can be written.

    Raises:
        ConfigError: If the name tells no format.
    """
    known = sorted(Figure().canvas.get_supported_filetypes())
    if path.suffix[1:].lower() not in known:
        raise ConfigError(f"{path}: the name tells no format of pictures; use one of .{', .'.join(known)}")


def picture(found: Statistics, path: str | Path, title: str) -> None:
    """Save histograms of lattice parameters, atoms per cell and volume per atom, and a bar for each element.

    Args:
        found: The figures.
        path: File to write; its suffix tells the format.
        title: Line above the picture.
    """
    figure = Figure(figsize=(11, 9.5), layout="constrained")
    figure.suptitle(title, fontsize=12, x=0.01, ha="left")
    figure.supxlabel("The outermost bars of a histogram also count what lies beyond it.", fontsize=8, x=0.01, ha="left")
    grid = figure.add_gridspec(4, 6, height_ratios=[1, 1, 1, 0.9])
    lengths, angles = found.parameters[:, :3], found.parameters[:, 3:]
    for column in range(3):
        place = slice(2 * column, 2 * column + 2)
        axes = figure.add_subplot(grid[0, place])
        _histogram(axes, lengths[:, column], _bins(lengths), LENGTHS, _LABELS[column])
        axes = figure.add_subplot(grid[1, place])
        _histogram(axes, angles[:, column], _bins(angles), ANGLES, _LABELS[3 + column])
    _sizes(figure.add_subplot(grid[2, :3]), found.sizes)
    _histogram(figure.add_subplot(grid[2, 3:]), found.volumes, _bins(found.volumes), OTHERS, "volume per atom (Å³)")
    _elements(figure.add_subplot(grid[3, :]), found.elements)
    figure.savefig(path, dpi=130)


def _bins(values: np.ndarray) -> np.ndarray:
    """Sixty bins over nearly all values; the few beyond are counted in the outermost ones."""
    low, high = np.percentile(values, [0.5, 99.5])
    spread = max(high - low, 0.02 * abs(high), 1e-3)
    middle = (low + high) / 2
    return np.linspace(middle - 0.52 * spread, middle + 0.52 * spread, 61)


def _histogram(axes: Any, values: np.ndarray, bins: np.ndarray, color: str, label: str) -> None:
    axes.hist(np.clip(values, bins[0], bins[-1]), bins=bins, color=color)
    middle = float(np.median(values))
    axes.axvline(middle, color="black", linewidth=0.8, linestyle="--")
    axes.annotate(f"median {middle:.4g}", (0.98, 0.95), xycoords="axes fraction", ha="right", va="top", fontsize=8)
    axes.set_xlim(bins[0], bins[-1])
    _plain(axes, label)


def _sizes(axes: Any, sizes: np.ndarray) -> None:
    if sizes.max() <= 100:
        values, counts = np.unique(sizes, return_counts=True)
        axes.bar(values, counts, color=OTHERS, width=0.8)
        axes.set_xlim(values[0] - 0.7, values[-1] + 0.7)
        axes.xaxis.get_major_locator().set_params(integer=True)
    else:
        axes.hist(sizes, bins=60, color=OTHERS)
    _plain(axes, "atoms per cell")


def _elements(axes: Any, elements: dict[str, int]) -> None:
    shown = dict(list(elements.items())[:_MOST_ELEMENTS])
    axes.bar(list(shown), list(shown.values()), color=OTHERS, width=0.7)
    axes.set_xlim(-0.7, max(len(shown), 12) - 0.3)
    more = f", the {_MOST_ELEMENTS} most frequent of {len(elements)}" if len(elements) > len(shown) else ""
    _plain(axes, f"structures that hold an element{more}")


def _plain(axes: Any, label: str) -> None:
    axes.set_xlabel(label, fontsize=9)
    axes.set_ylabel("structures", fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.yaxis.get_major_locator().set_params(integer=True)
