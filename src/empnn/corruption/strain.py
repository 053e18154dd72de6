"""Noise on crystals, in float64: strained cells (paper, section 6) and displaced atoms (design, section 6)."""

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

from empnn.crystals import CrystalBatch, without_mean


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
    # To numpy a deviation of -0.0 is negative.
    drawn = [_generator(seed, index).normal(0.0, sigma + 0.0, (3, 3)) for index in range(n)]
    return torch.from_numpy(np.array(drawn).reshape(n, 3, 3))


def fixed_displacement(crystals: CrystalBatch, sigma: float, seed: int) -> Float64[Tensor, "atoms 3"]:
    """Cartesian displacements in angstrom: N(0, sigma^2) in each direction minus the mean over the structure.

    Drawn from the generators of `fixed_strain`, after the strain.
    """
    drawn = []
    for index, size in enumerate(crystals.sizes.tolist()):
        generator = _generator(seed, index)
        generator.normal(size=(3, 3))
        drawn.append(generator.normal(0.0, sigma, (size, 3)))
    return without_mean(crystals, torch.from_numpy(np.concatenate([np.empty((0, 3)), *drawn])))


def with_fixed_noise(crystals: CrystalBatch, sigma: float, seed: int, positions: float = 0.0) -> CrystalBatch:
    """Atoms displaced by `fixed_displacement` of `positions` angstrom, then cells strained by `fixed_strain`."""
    strained = strain_cells(crystals.cell, fixed_strain(len(crystals), sigma, seed))
    if positions > 0:
        crystals = crystals.shifted(crystals.fractional(fixed_displacement(crystals, positions, seed)))
    return crystals.with_cell(strained)


def _generator(seed: int, index: int) -> np.random.Generator:
    return np.random.default_rng([seed, index])
