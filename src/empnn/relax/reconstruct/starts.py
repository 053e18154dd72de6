"""Where reconstruction starts from: cubes and other shapes, in the basis that is given and in others.

In a skewed basis a cube is far from the truth. Each start therefore has a basis of its own, as rows C of whole numbers,
`C @ cell`, of determinant 1 (SL3(Z)).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import spglib
import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from empnn.crystals import CrystalBatch
from empnn.geometry import cell_from_parameters, volume
from empnn.symmetry import change_basis, elementary_product
from empnn.symmetry_search import ask_spglib

GIVEN, REDUCED, PRODUCT = "given", "reduced", "product"
"""Bases: the given one; the Niggli basis of the best cell so far; that one times elementary matrices."""
CUBE = "cube"
SHAPES: dict[str, tuple[float, float, float]] = {
    "hexagonal": (90.0, 90.0, 60.0),
    "fcc": (60.0, 60.0, 60.0),
    "bcc": (109.47, 109.47, 109.47),
    "hexagonal-120": (90.0, 90.0, 120.0),
}
"""Angles of primitive cells that a cube cannot become where it has the symmetry of the crystal: a network keeps it."""
_MOST_FACTORS = 3
_EQUAL = 1e-3


@dataclass(frozen=True)
class Start:
    """One start: in which basis, from which shape."""

    basis: str
    shape: str


def starts(n: int) -> Iterator[Start]:
    """The first n starts.

    The cube as given, and in the reduced basis of what came of it; the other shapes there; then cubes in other bases,
    each followed by one in the reduced basis of the best cell by then.
    """
    first = [Start(GIVEN, CUBE), Start(REDUCED, CUBE), *(Start(REDUCED, shape) for shape in SHAPES)]
    for index in range(n):
        yield first[index] if index < len(first) else Start((PRODUCT, REDUCED)[(index - len(first)) % 2], CUBE)


def bases(start: Start, best: Float64[Tensor, "structures 3 3"], seed: int) -> Int64[Tensor, "structures 3 3"]:
    """The bases of a start, rows of whole numbers in the given one.

    Args:
        start: The start.
        best: The best cells so far, in the given basis; not used by the first start.
        seed: Of the elementary matrices; all crystals are given the same, so that none depends on the others.
    """
    if start.basis == GIVEN:
        return torch.eye(3, dtype=torch.int64).repeat(len(best), 1, 1)
    proper = np.stack([niggli(cell) for cell in best.numpy()])
    if start.basis == PRODUCT:
        generator = np.random.default_rng(seed)
        proper = elementary_product(generator, int(generator.integers(1, _MOST_FACTORS + 1))) @ proper
    return torch.from_numpy(proper)


def niggli(cell: np.ndarray) -> np.ndarray:
    """The Niggli basis of a cell as rows of whole numbers, determinant 1; the given basis where there is none.

    What is equal within a thousandth counts as equal, so that a symmetric cell has one such basis whatever its last
    digits are.
    """
    size = float(np.abs(np.linalg.det(cell))) ** (1 / 3)
    reduced = ask_spglib(spglib.niggli_reduce, cell / size, eps=_EQUAL)
    identity = np.eye(3, dtype=np.int64)
    if reduced is None:
        return identity
    change = np.round(reduced @ np.linalg.inv(cell / size)).astype(np.int64)
    handedness = round(float(np.linalg.det(change)))
    return handedness * change if abs(handedness) == 1 else identity


def rebased(crystals: CrystalBatch, basis: Int64[Tensor, "structures 3 3"]) -> CrystalBatch:
    """The same crystals, `basis @ cell`, determinant 1."""
    inverse = torch.linalg.inv(basis.to(torch.float64)).round().to(torch.int64)
    return change_basis(crystals, inverse.mT)


def shaped(crystals: CrystalBatch, shape: str, like: Float64[Tensor, "structures 3 3"]) -> CrystalBatch:
    """The crystals in cells of three equal lengths and the angles of a shape, as large as others."""
    cell = cell_from_parameters(torch.tensor([[1.0, 1.0, 1.0, *SHAPES[shape]]], dtype=torch.float64))
    return crystals.with_cell(cell * (volume(like) / volume(cell)).pow(1 / 3)[:, None, None])
