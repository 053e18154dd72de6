"""The fast way from plain CIF texts to arrays: no object for each crystal, all else left to `cif`."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import gemmi
import numpy as np
from ase.data import atomic_numbers

from empnn.crystals import MAX_FRAC
from empnn.data.formats.cif.crystals import (
    CELL_TAGS,
    SITE_TAGS,
    TWO_SIGNS,
    cells_from_parameters,
    closes_a_cell,
)
from empnn.data.formats.cif.own import MATRIX_TAGS, OWN_TAG
from empnn.data.formats.cif.symmetry import GROUP_NUMBERS, OPERATOR_MARK, OPERATOR_TAGS

PLAIN_SITE_TAGS = frozenset(
    f"_atom_site_{tag}"
    for tag in (*SITE_TAGS, "symmetry_multiplicity", "Wyckoff_symbol", "U_iso_or_equiv", "B_iso_or_equiv", "adp_type")
)
_READ_SITE_TAGS = {f"_atom_site_{tag}" for tag in ("type_symbol", "fract_x", "fract_y", "fract_z", "occupancy")}
_NUMBERS = {symbol: number for symbol, number in atomic_numbers.items() if number > 0}
_P1 = frozenset({"1", "", None})
_ONE = frozenset({"1", "1.0", "1.00", "1.000", "1.0000", "1.00000000"})


@dataclass(frozen=True)
class PlainCrystals:
    """Crystals of plain CIF texts, gathered without an object for each: all atoms listed in P1, neutral and ordered.

    Attributes:
        parameters: Six lattice parameters per crystal, angstrom and degrees.
        frac: Fractional coordinates along each axis, per atom.
        numbers: Atomic numbers, per atom.
        sizes: Atoms per crystal.
    """

    parameters: array[float] = field(default_factory=lambda: array("d"))
    frac: tuple[array[float], array[float], array[float]] = field(
        default_factory=lambda: (array("d"), array("d"), array("d"))
    )
    numbers: array[int] = field(default_factory=lambda: array("q"))
    sizes: array[int] = field(default_factory=lambda: array("q"))

    def add(self, content: Any) -> bool:
        """Take up the crystal of a CIF text or block if it is plain; otherwise, or in any doubt, change nothing.

        Returns:
            Whether it was taken up.
        """
        if isinstance(content, gemmi.cif.Block):
            return self._add_block(content, content.as_string())
        if not isinstance(content, str):
            return False
        try:
            document = gemmi.cif.read_string(content)
        except (ValueError, RuntimeError):
            return False
        return len(document) == 1 and self._add_block(document[0], content)

    def _add_block(self, block: gemmi.cif.Block, text: str) -> bool:
        if block.find_value(OWN_TAG) or block.find_value(MATRIX_TAGS[0][0]):
            return False
        loop = block.find_loop("_atom_site_fract_x").get_loop()
        if loop is None or not _only_identity(block, text):
            return False
        tags, values = loop.tags, loop.values
        if not values or not PLAIN_SITE_TAGS.issuperset(tags):
            return False
        if {block.find_value(GROUP_NUMBERS[0]), block.find_value(GROUP_NUMBERS[1])} - _P1:
            return False
        columns = {tag: values[start :: len(tags)] for start, tag in enumerate(tags) if tag in _READ_SITE_TAGS}
        try:
            numbers = [_NUMBERS[symbol] for symbol in columns["_atom_site_type_symbol"]]
            frac = [[*map(gemmi.cif.as_number, columns[f"_atom_site_fract_{axis}"])] for axis in "xyz"]
        except KeyError:
            return False
        cell = [block.find_value(tag) or "?" for tag in CELL_TAGS]
        parameters = [*map(gemmi.cif.as_number, cell)]
        sound = (
            TWO_SIGNS not in " ".join([*values, *cell])
            and _ONE.issuperset(columns.get("_atom_site_occupancy", ()))
            and sum(map(abs, chain(*frac))) <= MAX_FRAC
            and min(parameters) > 0
            and closes_a_cell(parameters)
        )
        if not sound:
            return False
        self.parameters.extend(parameters)
        for axis, values_along in zip(self.frac, frac, strict=True):
            axis.extend(values_along)
        self.numbers.extend(numbers)
        self.sizes.append(len(numbers))
        return True

    def arrays(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Cells (structures, 3, 3), fractional coordinates (atoms, 3), numbers (atoms,) and sizes (structures,)."""
        cells = cells_from_parameters(np.array(self.parameters).reshape(-1, 6))
        return cells, np.array(self.frac).T, np.array(self.numbers), np.array(self.sizes)


def _only_identity(block: gemmi.cif.Block, text: str) -> bool:
    """Whether one symmetry operation is listed, it is x, y, z, and the text speaks of no others."""
    first, second = block.find_values(OPERATOR_TAGS[0]), block.find_values(OPERATOR_TAGS[1])
    column = first or second
    if len(column) != 1 or (first and second) or not _is_identity(column[0]):
        return False
    mentions = text.lower().count(OPERATOR_MARK)
    return mentions == 0 or mentions == _tags_of_operators(column)


def _tags_of_operators(column: gemmi.cif.Column) -> int:
    """How often a text speaks of operators where this column holds the only ones."""
    loop = column.get_loop()
    return sum(OPERATOR_MARK in tag.lower() for tag in ([column.tag] if loop is None else loop.tags))


def _is_identity(operator: str) -> bool:
    text: str = gemmi.cif.as_string(operator)
    return text.replace(" ", "").lower() == "x,y,z"
