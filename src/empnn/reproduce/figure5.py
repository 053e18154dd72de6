"""Figure 5: do dense crystals fail? Atomic density against how much of a deformation is left."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.stats import spearmanr

from empnn.reproduce.denoised import SEED, SIGMA, STATES, Denoised
from empnn.reproduce.tables import NAMES
from empnn.viz.heat_maps import HeatMap
from empnn.viz.style import DENSITY

RATIOS = {
    "distance": "d(relaxed) / d(deformed)",
    "lengths": "ratio of errors of lengths",
    "angles": "ratio of errors of angles",
}
PANELS = (*((state, "distance") for state in STATES), ("deformed", "lengths"), ("deformed", "angles"))
"""Whose density is drawn against what."""
TENTHS = 10
SPREAD = 2.0
RULE = (
    f"the mean of the densest tenth is above that of all by more than {SPREAD:g} standard errors of the mean of a tenth"
)
X_LABEL = f"atomic density ({DENSITY})"
NOTE = (
    "d is the Hencky distance to the original cell. Ratios: 0 is perfect, 1 (dashed) no better than before; the "
    "topmost cells also count what lies above them. Errors are mean absolute errors. Points: mean ratio of each tenth "
    "of the crystals, by density. r: Spearman's rank correlation of density and ratio. The first {n} crystals of "
    "{split} of each set, sigma {sigma:g}, seed {seed}."
)
_HIGHEST, _ROWS, _COLUMNS = 2.0, 40, 40


def note(n: str, split: str) -> str:
    """What is drawn."""
    return NOTE.format(n=n, split=split, sigma=SIGMA, seed=SEED)


def ratios(found: Denoised) -> dict[str, np.ndarray]:
    """The ratios by the keys of `RATIOS`."""
    return {"distance": found.ratio(), **found.ratio_of_errors()}


def trend(density: np.ndarray, ratio: np.ndarray) -> dict[str, Any]:
    """Whether a ratio rises with the density: rank correlation, means of tenths, and the densest tenth beside all."""
    tenths = np.array_split(np.argsort(density, kind="stable"), TENTHS)
    means = [float(ratio[tenth].mean()) for tenth in tenths]
    error = float(ratio.std() / np.sqrt(len(tenths[-1])))
    return {
        "rank_correlation": float(spearmanr(density, ratio)[0]),
        "tenths_density": [float(np.median(density[tenth])) for tenth in tenths],
        "tenths_ratio": means,
        "ratio": float(ratio.mean()),
        "error_of_a_tenth": error,
        "densest_fail": means[-1] > float(ratio.mean()) + SPREAD * error,
    }


def figures(found: Denoised) -> dict[str, Any]:
    """What the picture of a set shows, in numbers."""
    density, noise = found.density(), found.noise()
    tenths = np.array_split(np.argsort(density["deformed"], kind="stable"), TENTHS)
    return {
        **found.about(),
        "rank_correlation_with_deformation": float(spearmanr(noise, found.ratio())[0]),
        "density_range": {state: np.quantile(values, [0.05, 0.5, 0.95]).tolist() for state, values in density.items()},
        "trends": {
            state: {name: trend(density[state], ratio) for name, ratio in ratios(found).items()} for state in STATES
        },
        "errors_by_density_of_deformed": {
            name: {when: [float(error[tenth].mean()) for tenth in tenths] for when, error in both.items()}
            for name, both in found.errors().items()
        },
        "maps": [
            {
                "density": state,
                "ratio": name,
                "density_edges": panel.x_edges.tolist(),
                "ratio_edges": panel.y_edges.tolist(),
                "counts": panel.counts.astype(int).tolist(),
            }
            for (state, name), panel in zip(PANELS, panels(found), strict=True)
        ],
    }


def panels(found: Denoised) -> list[HeatMap]:
    """The heat maps of a set, on one axis of densities."""
    density, shown = found.density(), ratios(found)
    every = np.concatenate(list(density.values()))
    x_edges = np.geomspace(every.min() * 0.999, every.max() * 1.001, _COLUMNS + 1)
    y_edges = np.linspace(0, _HIGHEST, _ROWS + 1)
    drawn = []
    for state, name in PANELS:
        ratio = np.clip(shown[name], 0, _HIGHEST)
        counts, _, _ = np.histogram2d(density[state], ratio, (x_edges, y_edges))
        told = trend(density[state], shown[name])
        line = np.array([told["tenths_density"], told["tenths_ratio"]])
        title = f"{state} lattice, r = {told['rank_correlation']:+.2f}"
        drawn.append(HeatMap(title, x_edges, y_edges, counts, line))
    return drawn


def rows(sets: Sequence[Denoised]) -> list[tuple[str, list[HeatMap]]]:
    """The panels of all sets as they are drawn."""
    return [(NAMES[found.data], panels(found)) for found in sets]


def failing(row: dict[str, Any]) -> list[str]:
    """Of which density and ratio it is that the densest crystals of a set fail."""
    return [f"{state}, {name}" for state, name in PANELS if row["trends"][state][name]["densest_fail"]]


def markdown(sets: dict[str, dict[str, Any]]) -> str:
    """Rank correlations and means of tenths, a line for each set, density and ratio that is drawn."""
    lines = [
        "| set | density of the | ratio of | rank correlation | mean ratio of all | sparsest tenth | densest tenth |",
        "|---|---|---|---:|---:|---:|---:|",
    ]
    for data, row in sets.items():
        for state, name in PANELS:
            told = row["trends"][state][name]
            sparsest, densest = (f"{told['tenths_ratio'][k]:.2f}" for k in (0, -1))
            densest = f"**{densest}**" if told["densest_fail"] else densest
            means = f"{told['ratio']:.2f} | {sparsest} | {densest}"
            lines.append(f"| {NAMES[data]} | {state} | {name} | {told['rank_correlation']:+.2f} | {means} |")
    return "\n".join(lines)
