"""One picture of a set of crystals: its cells, sizes, densities and elements."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import StrMethodFormatter

from empnn.data.curation.statistics import Statistics
from empnn.errors import ConfigError
from empnn.viz.style import ANGSTROM, DARK, GUIDE, INK, MIDDLE, save, styled

_MOST_ELEMENTS = 40
_LABELS = (*(f"{name} ({ANGSTROM})" for name in "abc"), *(f"{name} (°)" for name in "αβγ"))


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
    with styled():
        figure = Figure(figsize=(9, 7.8), layout="constrained")
        figure.suptitle(title, fontsize=10, x=0.01, ha="left")
        figure.supxlabel("The outermost bars of a histogram also count what lies beyond it.", x=0.01, ha="left")
        grid = figure.add_gridspec(4, 6, height_ratios=[1, 1, 1, 0.9])
        lengths, angles = found.parameters[:, :3], found.parameters[:, 3:]
        for column in range(3):
            place = slice(2 * column, 2 * column + 2)
            axes = figure.add_subplot(grid[0, place])
            _histogram(axes, lengths[:, column], _bins(lengths), DARK, _LABELS[column])
            axes = figure.add_subplot(grid[1, place])
            _histogram(axes, angles[:, column], _bins(angles), MIDDLE, _LABELS[3 + column])
        _sizes(figure.add_subplot(grid[2, :3]), found.sizes)
        _histogram(
            figure.add_subplot(grid[2, 3:]),
            found.volumes,
            _bins(found.volumes),
            GUIDE,
            f"volume per atom ({ANGSTROM}³)",
        )
        _elements(figure.add_subplot(grid[3, :]), found.elements)
        save(figure, path)


def _bins(values: np.ndarray) -> np.ndarray:
    """Sixty bins over nearly all values; the few beyond are counted in the outermost ones."""
    low, high = np.percentile(values, [0.5, 99.5])
    spread = max(high - low, 0.02 * abs(high), 1e-3)
    middle = (low + high) / 2
    return np.linspace(middle - 0.52 * spread, middle + 0.52 * spread, 61)


def _histogram(axes: Any, values: np.ndarray, bins: np.ndarray, color: str, label: str) -> None:
    axes.hist(np.clip(values, bins[0], bins[-1]), bins=bins, color=color)
    middle = float(np.median(values))
    axes.axvline(middle, color=INK, linewidth=0.8, linestyle="--")
    axes.annotate(f"median {middle:.4g}", (0.98, 0.95), xycoords="axes fraction", ha="right", va="top")
    axes.set_xlim(bins[0], bins[-1])
    _plain(axes, label)


def _sizes(axes: Any, sizes: np.ndarray) -> None:
    if sizes.max() <= 100:
        values, counts = np.unique(sizes, return_counts=True)
        axes.bar(values, counts, color=GUIDE, width=0.8)
        axes.set_xlim(values[0] - 0.7, values[-1] + 0.7)
        axes.xaxis.get_major_locator().set_params(integer=True)
    else:
        axes.hist(sizes, bins=60, color=GUIDE)
    _plain(axes, "atoms per cell")


def _elements(axes: Any, elements: dict[str, int]) -> None:
    shown = dict(list(elements.items())[:_MOST_ELEMENTS])
    axes.bar(list(shown), list(shown.values()), color=GUIDE, width=0.7)
    axes.set_xlim(-0.7, max(len(shown), 12) - 0.3)
    more = f", the {_MOST_ELEMENTS} most frequent of {len(elements)}" if len(elements) > len(shown) else ""
    _plain(axes, f"structures that hold an element{more}")


def _plain(axes: Any, label: str) -> None:
    axes.set_xlabel(label)
    axes.set_ylabel("structures")
    axes.spines[["top", "right"]].set_visible(False)
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.yaxis.get_major_locator().set_params(integer=True)
