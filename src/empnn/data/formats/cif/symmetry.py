"""The symmetry of a CIF block: operations as listed, magnetic ones too, or those of the group that is named."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import gemmi
import numpy as np

from empnn.errors import CrystalError

OPERATOR_TAGS = ("_space_group_symop_operation_xyz", "_symmetry_equiv_pos_as_xyz")
GROUP_NUMBERS = ("_symmetry_Int_Tables_number", "_space_group_IT_number")
OPERATOR_MARK = "symop"
"""What tags of operations have in common, but for the oldest ones."""
_OLDEST_MARK = "symmetry_equiv"
_MAGNETIC = "_space_group_symop_magn_operation_xyz"
_CENTERING = "_space_group_symop_magn_centering_xyz"
_LISTS = (_MAGNETIC, *OPERATOR_TAGS)
"""Where operations are listed; the first list that is there holds for the atoms."""
_NUMBERED = ("_id", "_mxmymz")
"""Ends of tags that hold no operation of their own."""
_GROUPS = ("_space_group_", "_symmetry_", "_magnetic_space_group_")
_NO_SYMMETRY = ("", ".", "?", "p1", "1", "p1.1", "1.1")
_MOMENT = "_atom_site_moment_"
_MOMENT_TAGS = [_MOMENT + tag for tag in ("label", "crystalaxis_x", "crystalaxis_y", "crystalaxis_z")]
_NONE = np.zeros(3)


class Operation(NamedTuple):
    """A symmetry operation of space, and -1 if it reverses time."""

    space: gemmi.Op
    time: int = 1

    def on_moment(self, moment: np.ndarray) -> np.ndarray:
        """The image of a magnetic moment, an axial vector in components along the lattice vectors."""
        rotation = np.array(self.space.rot) / gemmi.Op.DEN
        image: np.ndarray = np.sign(np.linalg.det(rotation)) * self.time * rotation @ moment
        return image


IDENTITY = Operation(gemmi.Op())


def operations(block: gemmi.cif.Block, small: gemmi.SmallStructure) -> list[Operation]:
    """The symmetry operations as listed, or else those of the space group that is named.

    gemmi's own expansion drops operators that form no tabulated setting, which would silently lose atoms.

    Raises:
        CrystalError: If an operation or the group is not understood.
    """
    listed = _listed(block)
    found = next((listed[tag] for tag in _LISTS if tag in listed), [])
    operators = [_operation(text) for text in found]
    if _CENTERING in listed:
        operators = [_product(_operation(text), operator) for text in listed[_CENTERING] for operator in operators]
    if listed and not any(operator.space == IDENTITY.space for operator in operators):
        raise CrystalError("its symmetry operators lack x,y,z, so some are missing; complete their list")
    return operators or [Operation(space) for space in _of_named_group(block, small)]


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
    columns = next((items for items in _items(block, _MOMENT) if set(_MOMENT_TAGS) <= set(items)), None)
    if columns is None:
        return None
    rows = zip(*(columns[tag] for tag in _MOMENT_TAGS), strict=True)
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
    """The values of each pair and loop with one of the marks in a tag.

    Tags are in lower case, with underscores for the dots that newer dictionaries put in, and not always in one place.
    """
    for item in block:
        pair: Any = item.pair
        loop: Any = item.loop
        names = [pair[0]] if pair is not None else loop.tags if loop is not None else []
        tags = " ".join(names).lower().replace(".", "_")
        if any(map(tags.__contains__, marks)):
            values = [gemmi.cif.as_string(value) for value in (loop.values if pair is None else [pair[1]])]
            yield {tag: values[start :: len(names)] for start, tag in enumerate(tags.split())}


def _operation(text: str) -> Operation:
    """An operation as written, x,y,z or x,y,z,-1."""
    space, time = (text.rpartition(",")[0], text.rpartition(",")[2].strip()) if text.count(",") == 3 else (text, "+1")
    try:
        return Operation(gemmi.Op(space), {"+1": 1, "1": 1, "-1": -1}[time])
    except (ValueError, RuntimeError, KeyError) as error:
        raise CrystalError(f"a symmetry operator cannot be read ({error}); correct it") from None


def _product(first: Operation, second: Operation) -> Operation:
    return Operation(first.space * second.space, first.time * second.time)


def _of_named_group(block: gemmi.cif.Block, small: gemmi.SmallStructure) -> list[gemmi.Op]:
    group = small.spacegroup
    if group is None and small.spacegroup_number > 0:
        group = gemmi.find_spacegroup_by_number(small.spacegroup_number)
    for items in _items(block, *_GROUPS):
        for tag, (name, *_) in items.items():
            is_name = tag.startswith(_GROUPS) and ("name" in tag or "number" in tag)
            is_unknown = is_name and name.replace(" ", "").lower() not in _NO_SYMMETRY
            if is_unknown and (group is None or "magn" in tag):
                raise CrystalError(f"unknown space group {name!r}; list its operators or write all atoms in P 1")
    return list(group.operations()) if group else []
