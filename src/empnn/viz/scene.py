"""A crystal as it is seen: corners of the cell, atoms and bonds in the frame of the screen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from ase.data import chemical_symbols, covalent_radii
from ase.data.colors import jmol_colors
from scipy.spatial import cKDTree

_AZIMUTH, _ELEVATION = np.deg2rad(24.0), np.deg2rad(14.0)
_ON_FACE = 0.02
"""Atoms that lie this near to a face of the cell, in fractions of it, are drawn on the opposite one, too."""
_RADIUS = 0.42
"""Of the covalent radius."""
_BOND = 1.15
"""Of the sum of the covalent radii: how far apart bonded atoms are at most."""
_CORNERS = np.array(list(product((0, 1), repeat=3)))
EDGES = [(i, j) for i in range(8) for j in range(i + 1, 8) if np.abs(_CORNERS[i] - _CORNERS[j]).sum() == 1]
"""The twelve edges of a cell, as pairs of its corners."""


@dataclass(frozen=True)
class Scene:
    """What is drawn of a crystal, in the frame of the screen: to the right, upwards and towards who looks.

    Attributes:
        corners: Of the cell (8, 3), angstrom from its middle.
        atoms: Places, those on faces repeated (drawn, 3), angstrom from the middle of the cell.
        numbers: Their atomic numbers (drawn,).
    """

    corners: np.ndarray
    atoms: np.ndarray
    numbers: np.ndarray

    @property
    def radii(self) -> np.ndarray:
        """Radii of the atoms as they are drawn (drawn,), angstrom."""
        return np.asarray(_RADIUS * covalent_radii[self.numbers])

    @property
    def reach(self) -> float:
        """How far the drawing reaches from its middle, to a side or upwards, angstrom."""
        atoms = np.abs(self.atoms[:, :2]) + self.radii[:, None]
        return float(max(np.abs(self.corners[:, :2]).max(), atoms.max()))

    def bonds(self) -> np.ndarray:
        """Pairs of drawn atoms that are bonded (bonds, 2)."""
        radii = covalent_radii[self.numbers]
        longest = 2 * _BOND * radii.max()
        pairs = cKDTree(self.atoms).query_pairs(longest, output_type="ndarray")
        apart = np.linalg.norm(self.atoms[pairs[:, 0]] - self.atoms[pairs[:, 1]], axis=1)
        return np.asarray(pairs[apart < _BOND * radii[pairs].sum(1)])


def scenes(cells: Sequence[np.ndarray], fracs: Sequence[np.ndarray], numbers: np.ndarray) -> list[Scene]:
    """States of one crystal, all seen from the same side, that of the first, and with the same repeated atoms.

    Args:
        cells: Rows are lattice vectors, angstrom.
        fracs: Fractional coordinates (atoms, 3), those of the first in [0, 1).
        numbers: Atomic numbers (atoms,).
    """
    view = _view(cells[0])
    atom, image = _repeats(fracs[0])
    return [
        Scene((_CORNERS - 0.5) @ cell @ view.T, (frac[atom] + image - 0.5) @ cell @ view.T, numbers[atom])
        for cell, frac in zip(cells, fracs, strict=True)
    ]


def colour(number: int) -> str:
    """The colour of an element, by atomic number."""
    red, green, blue = np.rint(255 * jmol_colors[min(number, len(jmol_colors) - 1)]).astype(int)
    return f"#{red:02x}{green:02x}{blue:02x}"


def colours(numbers: Sequence[int]) -> dict[str, str]:
    """The colour of each element of a crystal, by symbol."""
    return {chemical_symbols[number]: colour(number) for number in dict.fromkeys(numbers)}


def _view(cell: np.ndarray) -> np.ndarray:
    """The frame of the screen: c upwards, b to the right and a towards who looks, a little from the side and above."""
    up = cell[2] / np.linalg.norm(cell[2])
    right = cell[1] - (cell[1] @ up) * up
    right /= np.linalg.norm(right)
    towards = np.cross(right, up)
    towards *= np.sign(towards @ cell[0])
    turn, tilt = (np.array([[np.cos(x), -np.sin(x)], [np.sin(x), np.cos(x)]]) for x in (_AZIMUTH, _ELEVATION))
    right, towards = turn @ np.array([right, towards])
    up, towards = tilt @ np.array([up, towards])
    return np.array([right, up, towards])


def _repeats(frac: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which atoms are drawn, those on faces repeatedly, and by how many cells each of them is moved."""
    low, high = frac < _ON_FACE, frac > 1 - _ON_FACE
    drawn, moved = [], []
    for image in product((-1, 0, 1), repeat=3):
        there = np.where(np.array(image) > 0, low, np.where(np.array(image) < 0, high, True)).all(1)
        drawn.append(np.flatnonzero(there))
        moved.append(np.tile(image, (there.sum(), 1)))
    return np.concatenate(drawn), np.concatenate(moved)
