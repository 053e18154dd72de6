"""Strain noise: cell @ expm(A).T with A of independent normal entries (paper, section 6), in float64."""

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

from empnn.crystals import CrystalBatch


def strain_cells(
    cell: Float64[Tensor, "structures 3 3"], generator: Float64[Tensor, "structures 3 3"]
) -> Float64[Tensor, "structures 3 3"]:
    """exp(A) rho: the cell (rows, angstrom) strained by the matrix exponential of A."""
    strained: Tensor = cell @ torch.linalg.matrix_exp(generator).mT
    return strained


def fixed_strain(n: int, sigma: float, seed: int) -> Float64[Tensor, "n 3 3"]:
    """The strain matrices A used for validation and evaluation.

    Structure `index` in file order gets its own generator, `numpy.random.default_rng([seed, index])`, so that a
    subset, another batch size or more workers see the same noise.
    """
    drawn = [np.random.default_rng([seed, index]).normal(0.0, sigma, (3, 3)) for index in range(n)]
    return torch.from_numpy(np.array(drawn).reshape(n, 3, 3))


def with_fixed_noise(crystals: CrystalBatch, sigma: float, seed: int) -> CrystalBatch:
    """All structures strained by `fixed_strain`."""
    return crystals.with_cell(strain_cells(crystals.cell, fixed_strain(len(crystals), sigma, seed)))
