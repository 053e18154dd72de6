"""Crystals in any setting of their space group, by spglib's table of the 530 Hall symbols."""

import re
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import numpy as np
import spglib
from ase import Atoms

SYMPREC = 0.01
_SAME_SITE = 1e-4


class Group(NamedTuple):
    """A setting of a space group.

    Attributes:
        hall: Its place in spglib's table, 1 to 530.
        number: The number of the group.
        choice: Axes, cell choice and origin as spglib writes them: b1, cab, 2, H ...
        symbol: Hall's symbol.
        names: Its names by Hermann and Mauguin, the one of this very setting first, words apart, screws as 21.
    """

    hall: int
    number: int
    choice: str
    symbol: str
    names: tuple[str, ...]

    @property
    def origin_or_axes(self) -> str:
        """What stands behind the colon in the name of a setting, 1 or 2, H or R; empty where there is no choice."""
        return self.choice[:1] if self.choice[:1] in ("1", "2", "H", "R") else ""

    @property
    def code(self) -> str:
        """The code of the coordinate system in CIF's dictionary."""
        if self.number <= 2 or self.number >= 75:
            return self.choice.lower()
        if 3 <= self.number <= 15:
            return self.choice if self.choice[-1].isdigit() else f"{self.choice}1"
        return f"{self.choice}abc" if self.choice in ("", "1", "2") else self.choice

    @property
    def named_by_name(self) -> bool:
        """Whether the name, with origin or axes behind a colon, belongs to no other setting."""
        alike = [one for one in of_number(self.number) if one.names[0] == self.names[0]]
        return len({one.origin_or_axes for one in alike}) == len(alike)


@dataclass(frozen=True, eq=False)
class Setting:
    """A crystal in one setting of its space group, made exactly symmetric.

    Attributes:
        group: The setting.
        cell: Lattice vectors (3, 3), angstrom.
        frac: Fractional coordinates of all atoms (atoms, 3).
        numbers: Atomic numbers (atoms,).
        sites: Indices of one atom of each orbit.
    """

    group: Group
    cell: np.ndarray
    frac: np.ndarray
    numbers: np.ndarray
    sites: list[int]


@cache
def table() -> tuple[Group, ...]:
    """All settings."""
    return tuple(map(_group, range(1, 531)))


@cache
def of_number(number: int) -> tuple[Group, ...]:
    """All settings of a space group."""
    return tuple(group for group in table() if group.number == number)


@cache
def operations(hall: int) -> tuple[np.ndarray, np.ndarray]:
    """Rotations (operations, 3, 3) and translations (operations, 3), centring included, the identity first."""
    found = spglib.get_symmetry_from_database(hall)
    return found["rotations"], found["translations"]


def operators(hall: int) -> list[str]:
    """The operations as CIF writes them."""
    return [operator_text(*one) for one in zip(*operations(hall), strict=True)]


def operator_text(rotation: np.ndarray, translation: np.ndarray) -> str:
    """An operation as CIF writes it: -x+1/2, y, z."""
    return ", ".join(_component(row, shift) for row, shift in zip(rotation, translation, strict=True))


def images(group: int, site: np.ndarray) -> np.ndarray:
    """A site under all operations of a setting (operations, 3)."""
    rotations, translations = operations(group)
    moved: np.ndarray = rotations @ site + translations
    return moved


def settings(atoms: Atoms) -> list[Setting]:
    """The crystal in all settings of its space group; none where spglib finds no symmetry."""
    cell = (atoms.cell.array, atoms.get_scaled_positions(), atoms.numbers)
    found = spglib.get_symmetry_dataset(cell, symprec=SYMPREC)
    return [] if found is None else [_setting(cell, group) for group in of_number(found.number)]


def _setting(cell: tuple[np.ndarray, np.ndarray, np.ndarray], group: Group) -> Setting:
    found = spglib.get_symmetry_dataset(cell, symprec=SYMPREC, hall_number=group.hall)
    frac = found.std_positions % 1.0
    return Setting(group, found.std_lattice, frac, found.std_types, _representatives(group.hall, frac, found.std_types))


def _representatives(hall: int, frac: np.ndarray, numbers: np.ndarray) -> list[int]:
    """The first atom of each orbit."""
    left, first = set(range(len(frac))), []
    for index in range(len(frac)):
        if index in left:
            first.append(index)
            apart = images(hall, frac[index])[:, None] - frac[None]
            reached = (np.abs(apart - np.round(apart)).max(-1) < _SAME_SITE).any(0) & (numbers == numbers[index])
            left -= set(np.flatnonzero(reached).tolist())
    return first


def _group(hall: int) -> Group:
    found = spglib.get_spacegroup_type(hall)
    full = _spaced(found.international_full)
    names = list(dict.fromkeys([*map(_spaced, found.international.split(" = ")), full]))
    if 3 <= found.number <= 15:
        # The first name is that of the type, the same for all settings; 1s may be left out.
        names = list(dict.fromkeys([full, *names[1:], full.replace(" 1", "")]))
    return Group(hall, found.number, found.choice, found.hall_symbol, tuple(names))


def _spaced(name: str) -> str:
    return re.sub(r"(\d)_(\d)", r"\1\2", name)


def _component(row: np.ndarray, shift: float) -> str:
    text = "".join("+-"[int(factor < 0)] + axis for factor, axis in zip(row, "xyz", strict=True) if factor)
    twelfths = round(float(shift) * 12) % 12
    if twelfths:
        divisor = int(np.gcd(twelfths, 12))
        text += f"+{twelfths // divisor}/{12 // divisor}"
    return text.removeprefix("+")
