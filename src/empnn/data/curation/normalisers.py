"""Space groups in a primitive basis of their standard setting, and the affine maps that leave them as they are.

Points are columns here: an operation is `x -> W x + w`, modulo integers. A map `x -> U x + t` normalises a space group
if it conjugates each of its operations to one of them. Such maps of determinant 1 or -1 relate all the ways in which
a crystal can be written in the standard setting. Two that differ by an operation, an integer translation or one along
a polar direction count as one; of monoclinic and triclinic groups, which have infinitely many, those of small entries.

This file imports no torch, for it runs in processes of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import combinations, product

import numpy as np
import spglib

from empnn.symmetry_search import ask_spglib

_GRID = 24
"""All translations of normalisers are multiples of its inverse in a primitive basis."""
_MONOCLINIC = (3, 107)
_LARGEST_IN_PLANE = 3
_CENTRINGS = {
    (): np.eye(3),
    ((0, 6, 6),): np.array([[2, 0, 0], [0, 1, -1], [0, 1, 1]]) / 2,
    ((6, 6, 0),): np.array([[1, -1, 0], [1, 1, 0], [0, 0, 2]]) / 2,
    ((6, 6, 6),): np.array([[-1, 1, 1], [1, -1, 1], [1, 1, -1]]) / 2,
    ((4, 8, 8), (8, 4, 4)): np.array([[2, 1, 1], [-1, 1, 1], [-1, -2, 1]]) / 3,
    ((0, 6, 6), (6, 0, 6), (6, 6, 0)): np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]]) / 2,
}
"""Rows that span the primitive lattice, in the conventional basis, by the centring translations in twelfths."""


@dataclass(frozen=True)
class SpaceGroup:
    """A space group in a primitive basis of its standard setting, and its normaliser.

    Attributes:
        primitive: The primitive basis, rows in the conventional one (3, 3).
        rotations: W of each operation (operations, 3, 3), int64.
        translations: w of each operation (operations, 3).
        polar: The projector on the directions that no operation changes (3, 3).
        changes: U of the classes of the normaliser (changes, 3, 3), int64.
        shifts: The translations t that go with each U.
    """

    primitive: np.ndarray
    rotations: np.ndarray
    translations: np.ndarray
    polar: np.ndarray
    changes: np.ndarray
    shifts: tuple[np.ndarray, ...]


@cache
def space_group(hall: int) -> SpaceGroup:
    """The space group of a number of Hall symbol, as spglib counts them."""
    operations = ask_spglib(spglib.get_symmetry_from_database, hall)
    rotations, translations = operations["rotations"], operations["translations"]
    pure = (rotations == np.eye(3, dtype=int)).all((1, 2))
    twelfths = np.rint(12 * translations[pure]).astype(int) % 12
    primitive = _CENTRINGS[tuple(sorted(tuple(t) for t in twelfths.tolist() if any(t)))]
    inverse = np.linalg.inv(primitive.T)
    rotations = np.rint(inverse @ rotations @ primitive.T).astype(np.int64)
    _, first = np.unique(_codes(rotations), return_index=True)
    rotations, translations = rotations[first], translations[first] @ inverse.T % 1.0
    changes, shifts = _normaliser(rotations, translations, _candidates(hall, primitive))
    return SpaceGroup(primitive, rotations, translations, rotations.mean(0), changes, shifts)


def _normaliser(
    rotations: np.ndarray, translations: np.ndarray, candidates: np.ndarray
) -> tuple[np.ndarray, tuple[np.ndarray, ...]]:
    codes = _codes(rotations)
    order = np.argsort(codes)
    inverse = np.rint(np.linalg.inv(candidates)).astype(np.int64)
    conjugated = _codes(candidates[:, None] @ rotations @ inverse[:, None])
    place = np.searchsorted(codes[order], conjugated).clip(max=len(codes) - 1)
    normal = (codes[order][place] == conjugated).all(1)
    image = order[place]
    # One of each class modulo the point group: the first of its products with all operations.
    products = _codes(rotations[:, None] @ candidates[normal])
    _, first = np.unique(products.min(0), return_index=True)
    changes, shifts = [], []
    solved: dict[bytes, np.ndarray] = {}
    for index in np.flatnonzero(normal)[np.sort(first)]:
        change = candidates[index]
        wanted = translations[image[index]] - translations @ change.T
        equations = np.concatenate([rotations[image[index]].reshape(-1, 9), np.rint(_GRID * wanted) % _GRID], axis=1)
        equations = np.unique(equations.astype(np.int64), axis=0)
        key = equations.tobytes()
        if key not in solved:
            solved[key] = _shifts(equations[:, :9].reshape(-1, 3, 3), equations[:, 9:], rotations)
        if len(solved[key]):
            changes.append(change)
            shifts.append(solved[key])
    return np.array(changes), tuple(shifts)


def _shifts(images: np.ndarray, wanted: np.ndarray, rotations: np.ndarray) -> np.ndarray:
    """The solutions t of (I - W) t = wanted / _GRID modulo 1, one of each class modulo polar directions."""
    left = (np.eye(3, dtype=np.int64) - images).reshape(-1, 3)
    equations = np.unique(np.concatenate([left, wanted.reshape(-1, 1)], axis=1), axis=0)
    grid = np.array(list(product(range(_GRID), repeat=3)))
    for *row, right in equations:
        grid = grid[(grid @ row - right) % _GRID == 0]
    _, first = np.unique(grid @ _across(rotations).T % _GRID, axis=0, return_index=True)
    return grid[np.sort(first)] / _GRID


def _across(rotations: np.ndarray) -> np.ndarray:
    """Integer rows that vanish on the polar directions and map the lattice onto all integer vectors."""
    polar = rotations.mean(0)
    rows = np.array([row for row in product((-1, 0, 1), repeat=3) if any(row)])
    rows = rows[(np.abs(rows @ polar) < 1e-9).all(1)]
    rank = 3 - round(float(np.trace(polar)))
    for chosen in combinations(rows, rank):
        matrix = np.array(chosen).reshape(rank, 3)
        minors = [round(np.linalg.det(matrix[:, list(columns)])) for columns in combinations(range(3), rank)]
        if np.gcd.reduce(minors) == 1:
            return matrix
    raise ValueError("no basis across the polar directions")


def _candidates(hall: int, primitive: np.ndarray) -> np.ndarray:
    """Integer matrices of determinant 1 or -1, in a primitive basis, that may normalise a point group."""
    if not _MONOCLINIC[0] <= hall <= _MONOCLINIC[1]:
        return _unimodular(_small(3, 1).reshape(-1, 3, 3))
    plane = _small(2, _LARGEST_IN_PLANE)
    changes = np.zeros((2, len(plane), 3, 3))
    changes[:, :, ::2, ::2] = plane.reshape(-1, 2, 2)
    changes[:, :, 1, 1] = np.array([1, -1])[:, None]
    changes = np.linalg.inv(primitive.T) @ changes.reshape(-1, 3, 3) @ primitive.T
    return _unimodular(changes[(np.abs(changes - np.rint(changes)) < 1e-9).all((1, 2))])


def _small(size: int, largest: int) -> np.ndarray:
    """All square matrices of small integers, flat, those nearest to zero first."""
    entries = range(-largest, largest + 1)
    matrices = np.array(list(product(entries, repeat=size * size)))
    return matrices[np.argsort(np.abs(matrices).sum(1), kind="stable")]


def _unimodular(matrices: np.ndarray) -> np.ndarray:
    kept: np.ndarray = np.rint(matrices[np.abs(np.abs(np.linalg.det(matrices)) - 1) < 1e-6]).astype(np.int64)
    return kept


def _codes(matrices: np.ndarray) -> np.ndarray:
    """A number for each integer matrix of small entries."""
    codes: np.ndarray = ((matrices.reshape(*matrices.shape[:-2], 9) + 64) * 128 ** np.arange(9)).sum(-1)
    return codes
