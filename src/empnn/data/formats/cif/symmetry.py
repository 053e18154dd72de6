"""The symmetry of a CIF block: operations as listed, magnetic ones too, or those of the group that is named."""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Iterator, Sequence
from operator import mul
from typing import Any, NamedTuple

import gemmi
import numpy as np

from empnn.data.formats.cif.blocks import tags_and_values
from empnn.data.formats.cif.formula import contradiction
from empnn.data.formats.cif.groups import Setting, contradicted, settings_meant
from empnn.data.formats.cif.sites import attached_hydrogens
from empnn.errors import CrystalError

OPERATOR_TAGS = ("_space_group_symop_operation_xyz", "_symmetry_equiv_pos_as_xyz")
GROUP_NUMBERS = ("_symmetry_Int_Tables_number", "_space_group_IT_number")
OPERATOR_MARK = "symop"
"""What tags of operations have in common, but for the oldest ones."""
SAME_ATOM = 0.3
"""Images of one site closer than this, in angstrom, are one atom: special positions are written with few digits."""
SAME_METRIC = 5e-3
"""How far an operation may change the metric, relative to the axes, beyond what rounding of the cell explains."""

_OLDEST_MARK = "symmetry_equiv"
_MAGNETIC = "_space_group_symop_magn_operation_xyz"
_CENTERING = "_space_group_symop_magn_centering_xyz"
_LISTS = (_MAGNETIC, *OPERATOR_TAGS)
"""Where operations are listed; the first list that is there holds for the atoms."""
_NUMBERED = ("_id", "_mxmymz")
"""Ends of tags that hold no operation of their own."""
_GROUP_MARKS = ("_space_group_", "_symmetry_int_", "_symmetry_it_")
_MOMENT = "_atom_site_moment_"
MOMENT_TAGS = [_MOMENT + tag for tag in ("label", "crystalaxis_x", "crystalaxis_y", "crystalaxis_z")]
_NONE = np.zeros(3)

_VALUE = r"(?:\d+\.?\d*|\.\d+)(?:/\d+)?"
_TERM = re.compile(rf"([+-]?)(?:({_VALUE})?\*?([xyz])(?:/(\d+))?|({_VALUE}))")
"""A signed multiple of a coordinate, or a signed number."""
_SNAP = 0.007
"""The most that a last digit can hide of a fraction: 0.66 is two thirds, 0.1 is a tenth."""
_SAME_SHIFT = 5e-3
"""Translations that differ by less, along each axis and up to lattice vectors, are one."""
_SAME_FIT = 1e-4
"""Settings whose misfits differ by less fit a cell equally well."""
_MULTIPLICITIES = ("_atom_site_symmetry_multiplicity", "_atom_site_site_symmetry_multiplicity")


class Operation(NamedTuple):
    """A symmetry operation x -> rotation x + translation on fractional coordinates, and -1 if it reverses time."""

    rotation: tuple[tuple[float, ...], ...]
    translation: tuple[float, ...]
    time: int = 1

    def apply(self, site: Sequence[float]) -> list[float]:
        """The image of a site."""
        x, y, z = site
        rows = zip(self.rotation, self.translation, strict=True)
        return [a * x + b * y + c * z + shift for (a, b, c), shift in rows]

    def on_moment(self, moment: np.ndarray) -> np.ndarray:
        """The image of a magnetic moment, an axial vector in components along the lattice vectors."""
        rotation = np.array(self.rotation)
        image: np.ndarray = np.sign(np.linalg.det(rotation)) * self.time * rotation @ moment
        return image


IDENTITY = Operation(((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)), (0.0, 0.0, 0.0))


class Symmetry(NamedTuple):
    """Operations, and what is doubtful about them in words; empty if nothing is."""

    operations: list[Operation]
    doubt: str = ""


def operations(
    block: gemmi.cif.Block, sites: Sequence[gemmi.SmallStructure.Site], symbols: Sequence[str], cells: np.ndarray
) -> Symmetry:
    """The symmetry operations as listed, or else those of the space group that is named.

    gemmi's own expansion drops operators that form no tabulated setting, which would silently lose atoms. Operators
    that form no group, or not the one that is named, count all the same, with a doubt.

    Where what is said of the space group leaves several settings open, those count that the cell has the symmetry of;
    of these, those that agree with multiplicities and formula, if any does; of these, those with the usual axes, which
    for a number are the standard ones. If then only the origin is open, the first one of International Tables is
    taken, as gemmi, pymatgen and ASE do, and doubted, for the dictionary leaves it open and the second is as common.

    Args:
        block: The CIF block.
        sites: Its sites.
        symbols: Their elements.
        cells: Lattice vectors (7, 3, 3) as written, then with one parameter after the other changed by as much as it
            may have been rounded.

    Raises:
        CrystalError: If an operation or the group is not understood, is no symmetry of the cell, or not told.
    """
    listed = _listed(block)
    if not listed:
        return _of_named_group(block, sites, symbols, cells)
    texts = next((listed[tag] for tag in _LISTS if tag in listed), [])
    operators = _of_texts(tuple(texts), tuple(listed.get(_CENTERING, ["x,y,z"])))
    misfits = _misfits(operators, cells)[1]
    if not misfits.max() <= SAME_METRIC:
        wrong = texts[int(misfits.argmax()) % len(texts)]
        raise CrystalError(
            f"its symmetry operator {wrong!r} is no symmetry of its cell; correct one of them or list all atoms in P 1"
        )
    if not _is_group(operators):
        return Symmetry(list(operators), "its symmetry operators form no group, so some are missing or wrong")
    if _MAGNETIC in listed:
        return Symmetry(list(operators))
    return Symmetry(list(operators), contradicted(_items(block, *_GROUP_MARKS), _group(operators)))


def without_quoted_numbers(block: gemmi.cif.Block) -> gemmi.cif.Block:
    """The block without a number of a space group in quotes, which gemmi takes for no number, and has no need of."""
    written = [block.find_value(tag) or "?" for tag in GROUP_NUMBERS]
    if not any(gemmi.cif.as_string(number).isdecimal() and not number.isdecimal() for number in written):
        return block
    without = gemmi.cif.Block(block.name)
    for item in block:
        if {tag.lower() for tag in GROUP_NUMBERS}.isdisjoint(tag.lower() for tag in tags_and_values(item)[0]):
            without.add_item(item)
    return without


def magnetic_moments(
    block: gemmi.cif.Block, labels: list[str], images: list[Operation], cell: np.ndarray
) -> np.ndarray | None:
    """Magnetic moments (atoms, 3) along x, y, z, in Bohr magnetons; None if the block has none.

    Args:
        block: The CIF block, where moments are components along the lattice vectors, by site.
        labels: The site of each atom.
        images: What takes the site to the atom.
        cell: Lattice vectors.
    """
    columns = next((items for items in _items(block, _MOMENT) if set(MOMENT_TAGS) <= set(items)), None)
    if columns is None:
        return None
    rows = zip(*(columns[tag] for tag in MOMENT_TAGS), strict=True)
    of_site = {label: np.array([gemmi.cif.as_number(text, 0.0) for text in moment]) for label, *moment in rows}
    lengths = np.linalg.norm(cell, axis=1)
    turned = [image.on_moment(of_site.get(label, _NONE) / lengths) for label, image in zip(labels, images, strict=True)]
    moments: np.ndarray = np.array(turned) @ cell
    return moments


def _listed(block: gemmi.cif.Block) -> dict[str, list[str]]:
    """The lists of operations by tag; one under a tag that is not known must not pass for P1."""
    listed: dict[str, list[str]] = {}
    for items in _items(block, OPERATOR_MARK, _OLDEST_MARK):
        known = {tag: values for tag, values in items.items() if tag in (*_LISTS, _CENTERING)}
        unknown = [tag for tag in items if not tag.endswith(_NUMBERED)]
        if unknown and not known:
            raise CrystalError(
                f"its symmetry operations under {unknown[0]} are not understood; list them under {OPERATOR_TAGS[0]}"
            )
        listed.update(known)
    return listed


def _items(block: gemmi.cif.Block, *marks: str) -> Iterator[dict[str, list[str]]]:
    """The values of each pair and loop with one of the marks in a tag, by tag in lower case."""
    for item in block:
        names, values = tags_and_values(item)
        tags = " ".join(names).lower()
        if any(map(tags.__contains__, marks)):
            strings = [gemmi.cif.as_string(value) for value in values]
            yield {tag: strings[start :: len(names)] for start, tag in enumerate(tags.split())}


@functools.lru_cache(maxsize=256)
def _of_texts(texts: tuple[str, ...], centerings: tuple[str, ...]) -> tuple[Operation, ...]:
    """The operations of these texts, each followed by each of the centerings."""
    operators = tuple(_product(shift, one) for shift in map(_operation, centerings) for one in map(_operation, texts))
    if not any(one.rotation == IDENTITY.rotation and not any(x % 1 for x in one.translation) for one in operators):
        raise CrystalError("its symmetry operators lack x,y,z, so some are missing; complete their list")
    return operators


def _operation(text: str) -> Operation:
    """An operation as written, x,y,z or x,y,z,-1."""
    parts = "".join(text.lower().replace("\u2212", "-").split()).split(",")
    try:
        first, second, third, time = map(_row, parts if len(parts) == 4 else [*parts, "+1"])
        if time not in ((0, 0, 0, 1), (0, 0, 0, -1)):
            raise ValueError(text)
    except (ValueError, ArithmeticError):
        raise CrystalError(f"a symmetry operator cannot be read ({text}); correct it") from None
    rows = (first, second, third)
    return Operation(tuple(row[:3] for row in rows), tuple(row[3] for row in rows), int(time[3]))


def _row(text: str) -> tuple[float, ...]:
    """Factors of x, y and z, and what is added, of an expression such as 1/2-2x+y."""
    row = [0.0] * 4
    end = 0
    for term in _TERM.finditer(text):
        sign, factor, axis, divisor, number = term.groups()
        if term.start() != end or (end and not sign):
            raise ValueError(text)
        end = term.end()
        value = _number(number or factor or "1") / int(divisor or 1)
        row["xyz".index(axis) if axis else 3] += -value if sign == "-" else value
    if end != len(text) or not end or not math.isfinite(sum(row)):
        raise ValueError(text)
    return tuple(row)


def _number(text: str) -> float:
    """A number; a decimal one that is a twenty-fourth but for its last digit, as 0.33 or 0.667, stands for that."""
    above, _, below = text.partition("/")
    value = float(above) / float(below or 1)
    near = round(value * 24) / 24
    return near if abs(near - value) < min(_SNAP, 0.1 ** len(text.partition(".")[2])) else value


def _product(first: Operation, second: Operation) -> Operation:
    """The second operation, followed by the first."""
    columns = zip(*second.rotation, strict=True)
    turned = tuple(zip(*([sum(map(mul, row, column)) for row in first.rotation] for column in columns), strict=True))
    return Operation(turned, tuple(first.apply(second.translation)), first.time * second.time)


def _misfits(operators: Sequence[Operation], cells: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How far R^T G R is from the metric G, relative to the lengths of the axes, at most for each operation.

    Returns:
        For the cell as written, and what remains of it if the parameters were rounded in the worst way.
    """
    rotations = np.array([operator.rotation for operator in operators])
    metrics = cells @ cells.transpose(0, 2, 1)
    lengths = np.linalg.norm(cells[0], axis=1)
    turned = rotations.transpose(0, 2, 1)[:, None] @ metrics @ rotations[:, None]
    change = (turned - metrics) / np.outer(lengths, lengths)
    written = np.abs(change[:, 0])
    explained = np.abs(change[:, 1:] - change[:, :1]).sum(1)
    return written.max((1, 2)), (written - explained).max((1, 2))


@functools.lru_cache(maxsize=256)
def _is_group(operators: tuple[Operation, ...]) -> bool:
    """Whether the product of any two operations is one of them, up to lattice vectors.

    Operations of one rotation are a coset of the pure translations; one of each coset and these stand for all.
    """
    cosets: dict[bytes, list[tuple[float, ...]]] = {}
    for rotation, translation, _ in operators:
        shifts = cosets.setdefault(_key(rotation), [])
        if not shifts or not _is_same_shift(np.subtract(translation, shifts)).any():
            shifts.append(translation)
    if len({len(shifts) for shifts in cosets.values()}) > 1:
        return False
    index = {key: position for position, key in enumerate(cosets)}
    turns = np.array([np.frombuffer(key).reshape(3, 3) for key in cosets])
    moves = np.array(list(cosets.values()))
    pure = moves[index[_key(IDENTITY.rotation)]]
    for turn, move in [*zip(turns, moves[:, 0], strict=True), *((np.eye(3), move) for move in pure)]:
        products = [index.get(_key(product), -1) for product in turn @ turns]
        apart = (moves @ turn.T + move)[:, :, None] - moves[products][:, None]
        if min(products) < 0 or not _is_same_shift(apart).any(2).all():
            return False
    return True


def _key(rotation: Any) -> bytes:
    return bytes(np.round(rotation, 6) + 0.0)


def _is_same_shift(apart: np.ndarray) -> np.ndarray:
    same: np.ndarray = np.abs(apart - np.round(apart)).max(-1) < _SAME_SHIFT
    return same


def _of_named_group(
    block: gemmi.cif.Block, sites: Sequence[gemmi.SmallStructure.Site], symbols: Sequence[str], cells: np.ndarray
) -> Symmetry:
    meant = settings_meant(_items(block, *_GROUP_MARKS))
    if not meant:
        return Symmetry([IDENTITY])
    found = {setting.hall: _of_hall(setting.hall) for setting in meant}
    misfits = {hall: [one.max() for one in _misfits(operators, cells)] for hall, operators in found.items()}
    fitting = [setting for setting in meant if misfits[setting.hall][1] <= SAME_METRIC]
    if not fitting:
        raise CrystalError(
            f"its cell does not have the symmetry of {_names(meant)}; correct one of them or list all atoms in P 1"
        )
    best = min(misfits[setting.hall][0] for setting in fitting)
    left = [setting for setting in fitting if misfits[setting.hall][0] <= best + _SAME_FIT]
    if len(left) > 1:
        left = [one for one in left if _agrees(found[one.hall], block, sites, symbols, cells[0])] or left
    left = [setting for setting in left if setting.axes == meant[0].axes] or left
    if len({setting.axes for setting in left}) > 1:
        raise CrystalError(
            f"its space group may be {_names(left)}, and neither the cell nor the contents tell which; "
            "add _space_group_IT_coordinate_system_code or list its operators"
        )
    doubt = f"its space group may be {_names(left)}, and nothing tells which; the first was taken"
    return Symmetry(list(found[left[0].hall]), doubt if len(left) > 1 else "")


def _names(settings: Sequence[Setting]) -> str:
    names = [setting.name for setting in settings[:4]] + ["..."] * (len(settings) > 4)
    return " or ".join(names)


@functools.lru_cache(maxsize=256)
def _of_hall(hall: str) -> tuple[Operation, ...]:
    return tuple(_operation(operator.triplet()) for operator in gemmi.symops_from_hall(hall))


@functools.lru_cache(maxsize=256)
def _group(operations: tuple[Operation, ...]) -> gemmi.GroupOps:
    operators = [gemmi.Op() for _ in operations]
    for operator, operation in zip(operators, operations, strict=True):
        operator.rot = np.rint(np.array(operation.rotation) * gemmi.Op.DEN).astype(int).tolist()
        operator.tran = np.rint(np.array(operation.translation) * gemmi.Op.DEN).astype(int).tolist()
    return gemmi.GroupOps(operators)


def _agrees(
    operators: Sequence[Operation],
    block: gemmi.cif.Block,
    sites: Sequence[gemmi.SmallStructure.Site],
    symbols: Sequence[str],
    cell: np.ndarray,
) -> bool:
    """Whether multiplicities and the formula, as far as they are told, are those that the operators lead to."""
    multiplicities = [_multiplicity(operators, site.fract.tolist(), cell) for site in sites]
    for tag in _MULTIPLICITIES:
        written = map(gemmi.cif.as_number, block.find_values(tag))
        if any(told > 0 and told != found for told, found in zip(written, multiplicities, strict=False)):
            return False
    of_atoms = [index for index, multiplicity in enumerate(multiplicities) for _ in range(multiplicity)]
    return contradiction(block, [symbols[i] for i in of_atoms], attached_hydrogens(block, of_atoms)) is None


def _multiplicity(operators: Sequence[Operation], site: list[float], cell: np.ndarray) -> int:
    apart = np.array([operator.apply(site) for operator in operators]) - site
    staying = np.linalg.norm((apart - np.round(apart)) @ cell, axis=1) <= SAME_ATOM
    return round(len(operators) / int(staying.sum()))
