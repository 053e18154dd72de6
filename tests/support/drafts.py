"""Files of crystals before they are written: what they say, field by field, so that it can be changed and styled."""

import random
import re
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from ase import Atoms
from ase.data import chemical_symbols
from ase.geometry import cell_to_cellpar

from support.settings import Setting, operators

_DOTTED = (
    *(("_cell_length_", "_cell.length_"), ("_cell_angle_", "_cell.angle_"), ("_atom_site_", "_atom_site.")),
    *(("_space_group_symop_operation_", "_space_group_symop.operation_"), ("_space_group_IT", "_space_group.IT")),
    *(("_space_group_name", "_space_group.name"), ("_symmetry_equiv_", "_symmetry_equiv.")),
    *(("_chemical_formula_", "_chemical_formula."), ("_cell_formula_", "_cell.formula_")),
)
"""How newer dictionaries of CIF write the tags."""


def symbols(numbers: np.ndarray) -> list[str]:
    """Symbols of elements."""
    return [chemical_symbols[number] for number in numbers]


@dataclass
class CifDraft:
    """A CIF block.

    Attributes:
        cell: Six lattice parameters.
        tags: Single values by tag: names of the group, formula, Z and the like.
        operators: Symmetry operations, if they are listed.
        sites: Columns of the atoms by tag, without `_atom_site_`.
        modern: Whether tags are `_space_group_...` rather than `_symmetry_...`.
        dotted: Whether tags have the dots of newer dictionaries.
    """

    cell: list[str]
    tags: dict[str, str]
    operators: list[str] | None
    sites: dict[str, list[str]]
    modern: bool = True
    dotted: bool = False

    def text(self, rng: random.Random | None = None) -> str:
        """The file; sections and columns in any order if `rng` is given."""
        names = (*(f"length_{axis}" for axis in "abc"), *(f"angle_{angle}" for angle in ("alpha", "beta", "gamma")))
        pairs = [f"_cell_{name} {value}" for name, value in zip(names, self.cell, strict=True)]
        pairs += [f"{tag} {_quoted(value)}" for tag, value in self.tags.items()]
        tag = "_space_group_symop_operation_xyz" if self.modern else "_symmetry_equiv_pos_as_xyz"
        loops = [_loop({f"_atom_site_{name}": column for name, column in self.sites.items()}, rng)]
        if self.operators is not None:
            loops.append(_loop({tag: self.operators}, rng))
        sections = [*pairs, *reversed(loops)]
        if rng is not None:
            rng.shuffle(sections)
        text = "\n".join(["data_draft", *sections]) + "\n"
        for old, new in _DOTTED if self.dotted else ():
            text = text.replace(old, new)
        return text


@dataclass
class PoscarDraft:
    """A POSCAR.

    Attributes:
        comment: The first line.
        scale: The second line.
        cell: Lattice vectors as they are written.
        symbols: The line of the elements, None in the style of VASP 4.
        counts: How many atoms of each.
        mode: Direct or Cartesian.
        rows: Coordinates as they are written (atoms, 3).
        flags: What stands behind each row where there are selective dynamics.
        tail: What follows.
    """

    comment: str
    scale: str
    cell: np.ndarray
    symbols: list[str] | None
    counts: list[int]
    mode: str
    rows: np.ndarray
    flags: list[str] | None = None
    tail: str = ""

    def text(self) -> str:
        """The file."""
        head = [self.comment, self.scale, *map(_row, self.cell)]
        head += [] if self.symbols is None else [" ".join(self.symbols)]
        head += [" ".join(map(str, self.counts)), *([] if self.flags is None else ["Selective dynamics"]), self.mode]
        flags = self.flags or [""] * len(self.rows)
        return "\n".join([*head, *(f"{_row(row)} {flag}" for row, flag in zip(self.rows, flags, strict=True))]) + (
            f"\n{self.tail}"
        )


@dataclass
class FrameDraft:
    """A frame of extended XYZ.

    Attributes:
        keys: What the second line says besides the columns.
        columns: Name, kind (S, I, R, L) and words of each column of the atoms.
    """

    keys: dict[str, str]
    columns: list[tuple[str, str, list[list[str]]]]
    properties: str | None = field(default=None)

    def text(self) -> str:
        """The file."""
        told = ":".join(f"{name}:{kind}:{len(words[0])}" for name, kind, words in self.columns)
        keys = {"Properties": self.properties or told, **self.keys}
        rows = [" ".join(word for _, _, words in self.columns for word in words[i]) for i in range(len(self))]
        return "\n".join([str(len(self)), " ".join(f"{key}={value}" for key, value in keys.items()), *rows]) + "\n"

    def __len__(self) -> int:
        return len(self.columns[0][2])

    def renamed(self, old: str, new: str) -> "FrameDraft":
        """With a column under another name."""
        return replace(self, columns=[(new if name == old else name, *rest) for name, *rest in self.columns])  # type: ignore[misc]


def cif_draft(setting: Setting, told_by: str, digits: int = 8) -> CifDraft:
    """A crystal as a CIF, its symmetry told in one way.

    Args:
        setting: The crystal.
        told_by: `operators`, `name`, `hall`, `code`, `number`, or `all`, which is operators, name and number.
        digits: Decimals of the coordinates.
    """
    group = setting.group
    name = group.names[0] + (f":{group.origin_or_axes}" if group.origin_or_axes else "")
    tags = {"_chemical_formula_sum": formula(setting.numbers)[0], "_cell_formula_units_Z": formula(setting.numbers)[1]}
    said = {
        "operators": {},
        "name": {"_space_group_name_H-M_alt": name},
        "hall": {"_space_group_name_Hall": group.symbol},
        "code": {"_space_group_IT_number": str(group.number), "_space_group_IT_coordinate_system_code": group.code},
        "number": {"_space_group_IT_number": str(group.number)},
        "all": {"_space_group_name_H-M_alt": name, "_space_group_IT_number": str(group.number)},
    }[told_by]
    listed = operators(group.hall) if told_by in ("operators", "all") else None
    frac, kinds = setting.frac[setting.sites], symbols(setting.numbers[setting.sites])
    sites = {
        "label": [f"{kind}{index + 1}" for index, kind in enumerate(kinds)],
        "type_symbol": kinds,
        **{f"fract_{axis}": [f"{x:.{digits}f}" for x in frac[:, i]] for i, axis in enumerate("xyz")},
        "occupancy": ["1"] * len(kinds),
    }
    cell = [f"{value:.10g}" for value in cell_to_cellpar(setting.cell)]
    return CifDraft(cell, {**tags, **said}, listed, sites)


def poscar_draft(atoms: Atoms) -> PoscarDraft:
    """A crystal as a POSCAR, elements together in order of their appearance."""
    order = np.argsort([list(dict.fromkeys(atoms.numbers)).index(number) for number in atoms.numbers], kind="stable")
    kinds = list(dict.fromkeys(symbols(atoms.numbers[order])))
    counts = Counter(symbols(atoms.numbers))
    rows = atoms.get_scaled_positions(wrap=False)[order]
    return PoscarDraft("made by hand", "1.0", atoms.cell.array, kinds, [counts[kind] for kind in kinds], "Direct", rows)


def frame_draft(atoms: Atoms) -> FrameDraft:
    """A crystal as a frame."""
    keys = {"Lattice": f'"{" ".join(f"{x:.12g}" for x in atoms.cell.array.ravel())}"', "pbc": '"T T T"'}
    species = [[symbol] for symbol in symbols(atoms.numbers)]
    return FrameDraft(keys, [("species", "S", species), ("pos", "R", words(atoms.positions))])


def words(rows: Any) -> list[list[str]]:
    """Rows of numbers as text."""
    return [[f"{x:.12g}" for x in row] for row in np.asarray(rows)]


def formula(numbers: np.ndarray) -> tuple[str, str]:
    """The reduced formula and how many units of it there are."""
    counts = Counter(symbols(numbers))
    units = int(np.gcd.reduce(list(counts.values())))
    return " ".join(f"{symbol}{count // units}" for symbol, count in sorted(counts.items())), str(units)


def _loop(columns: dict[str, list[str]], rng: random.Random | None) -> str:
    tags = list(columns)
    if rng is not None:
        rng.shuffle(tags)
    rows = [" ".join(map(_quoted, row)) for row in zip(*(columns[tag] for tag in tags), strict=True)]
    return "\n".join(["loop_", *tags, *rows])


def _quoted(value: str) -> str:
    if re.fullmatch(r"[^\s_#$'\"\[\];][^\s]*", value):
        return value
    return f'"{value}"' if "'" in value else f"'{value}'"


def _row(values: Any) -> str:
    return "  ".join(f"{x:.12f}" for x in values)
