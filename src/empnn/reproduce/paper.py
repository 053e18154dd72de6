"""What the paper prints: Tables 1, 2 and 3 of Klipfel et al. (AAAI 2023)."""

from __future__ import annotations

SETS = ("carbon_24", "mp_20", "perov_5")
"""The columns of Tables 1 and 2, in the paper's order."""
Figures = dict[str, dict[str, tuple[float, ...]]]
"""By row and by set."""

TABLE1: Figures = {
    "param_mae": {
        "carbon_24": (0.696, 8.390, -0.655, 62.5),
        "mp_20": (0.785, 5.093, 3.124, 51.7),
        "perov_5": (0.967, 15.227, -3.426, 93.8),
    },
    "param_mse": {
        "carbon_24": (0.677, 8.148, -0.413, 65.6),
        "mp_20": (0.710, 4.752, 5.485, 44.8),
        "perov_5": (0.983, 15.437, -3.634, 93.8),
    },
    "metric_mae": {
        "carbon_24": (0.599, 4.306, 0.526, 62.5),
        "mp_20": (0.540, 1.674, 11.268, 40.7),
        "perov_5": (0.964, 15.074, -1.518, 90.6),
    },
    "metric_mse": {
        "carbon_24": (0.655, 5.563, 2.432, 40.6),
        "mp_20": (0.683, 2.645, 10.964, 18.5),
        "perov_5": (0.974, 15.047, -3.741, 93.8),
    },
    "riemann": {
        "carbon_24": (0.637, 5.352, 0.864, 43.8),
        "mp_20": (0.729, 3.777, 6.859, 51.7),
        "perov_5": (0.967, 15.367, -3.088, 93.8),
    },
}
"""Improvement of lengths (angstrom) and angles (degrees), of the energy (eV/atom, lower is better), and the percentage
of structures with lower energy; by loss."""


def _row(*values: float) -> dict[str, tuple[float, ...]]:
    return {name: values[2 * k : 2 * k + 2] for k, name in enumerate(SETS)}


TABLE2: Figures = {
    "ketbra-e": _row(0.084, 1.266, 0.115, 1.437, 0.290, 5.487),
    "ketbra-t": _row(0.056, 0.596, 0.053, 0.283, 0.287, 5.209),
    "ketbra-e-t": _row(0.063, 0.454, 0.063, 0.270, 0.296, 5.733),
    "ketbra-e-tsym": _row(0.065, 0.670, 0.066, 0.353, 0.296, 5.733),
    "ketbra-e-tall": _row(0.065, 0.725, 0.066, 0.420, 0.296, 5.765),
    "grad-r-e": _row(0.075, 1.183, 0.102, 1.479, 0.259, 4.654),
    "grad-r-t": _row(0.060, 0.488, 0.085, 0.391, 0.289, 5.560),
    "grad-r-e-t": _row(0.101, 1.232, 0.101, 0.541, 0.292, 5.514),
    "grad-r-e-t-area": _row(0.087, 1.093, 0.106, 0.717, 0.265, 4.990),
    "grad-r-e-t-theta": _row(0.107, 1.283, 0.088, 0.617, 0.293, 5.550),
    "gradsym-r-e": _row(0.083, 1.307, 0.064, 0.816, 0.281, 5.134),
    "gradsym-r-t": _row(0.100, 1.188, 0.101, 0.503, 0.281, 4.959),
    "gradsym-r-e-t": _row(0.097, 1.375, 0.098, 0.672, 0.226, 3.188),
    "gradsym-r-e-t-area": _row(0.099, 1.328, 0.124, 1.160, 0.285, 5.457),
    "gradsym-r-e-t-theta": _row(0.100, 1.289, -0.001, -0.007, 0.291, 5.617),
    "ff": _row(-0.191, -5.277, -0.304, -3.304, 0.303, 6.438),
    "dft": _row(0.164, 5.442, 0.345, 5.648, 0.150, -1.446),
}
"""Improvement of lengths (angstrom) and angles (degrees); by vector field, then the two baselines."""

TABLE3: Figures = {
    "empnn": {"carbon_24": (0.200, 3.199), "mp_20": (0.174, 1.965)},
    "ff": {"carbon_24": (0.469, 13.693), "mp_20": (0.534, 6.324)},
}
"""Mean absolute errors of reconstructed lengths (angstrom) and angles (degrees): lower is better."""

TABLES = {"table1": TABLE1, "table2": TABLE2, "table3": TABLE3}
SIGMAS = {"table1": 0.3, "table2": 0.1}
"""Noise of each table."""
