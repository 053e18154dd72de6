"""The symmetry of a CIF: operations as listed, of a space group that is named, or of a magnetic space group."""

from __future__ import annotations

import re

import gemmi
import numpy as np

from empnn.errors import CrystalError

SAME_ATOM = 0.3
"""Images of one site closer than this, in angstrom, are one atom: special positions are written with few digits."""
NOT_GIVEN = (".", "?")
_NO_NAME = ("", *NOT_GIVEN)
OPERATOR_TAGS = ("_symmetry_equiv_pos_as_xyz", "_space_group_symop_operation_xyz")
_MAGNETIC_OPERATORS = ("_space_group_symop_magn_operation", "_space_group_symop.magn_operation")
_MAGNETIC_CENTERINGS = ("_space_group_symop_magn_centering", "_space_group_symop.magn_centering")
_MAGNETIC_GROUPS = ("_space_group_magn.number_BNS", "_space_group_magn.name_BNS", "_space_group_magn_number_BNS")
_OPERATORS_ELSEWHERE = re.compile(r"_\w*(symop|equiv_pos)[\w.]*xyz", re.IGNORECASE)
GROUP_NUMBERS = ("_symmetry_Int_Tables_number", "_space_group_IT_number")


def operations_of(block: gemmi.cif.Block, small: gemmi.SmallStructure) -> list[gemmi.Op]:
    """The symmetry operations as listed, or else those of the space group that is named.

    gemmi's own expansion drops operators that form no tabulated setting, which would silently lose atoms.

    Raises:
        CrystalError: If they are incomplete, or named or written in a way that is not understood.
    """
    try:
        listed = [gemmi.Op(triplet) for triplet in small.symops] or _magnetic_operations(block)
    except (ValueError, RuntimeError) as error:
        raise CrystalError(f"a symmetry operator cannot be read ({error}); correct it") from None
    if listed and not any(operation == gemmi.Op() for operation in listed):
        raise CrystalError("its symmetry operators lack x,y,z, so some are missing; complete their list")
    if listed:
        return listed
    _check_that_operators_are_known(block)
    group = small.spacegroup
    if group is None and small.spacegroup_number > 0:
        group = gemmi.find_spacegroup_by_number(small.spacegroup_number)
    if group is None and small.spacegroup_hm not in _NO_NAME:
        raise CrystalError(f"unknown space group {small.spacegroup_hm!r}; list its operators or write all atoms in P 1")
    return list(group.operations()) if group else []


def orbit(site: np.ndarray, operations: list[gemmi.Op], cell: np.ndarray) -> np.ndarray:
    """The images of a site (1, 3), the site itself first and as written; on a special position they coincide."""
    orbit = site
    for operation in operations:
        image = np.array(operation.apply_to_xyz(site[0].tolist()))
        apart = orbit - image
        if (np.linalg.norm((apart - np.round(apart)) @ cell, axis=1) > SAME_ATOM).all():
            orbit = np.vstack([orbit, image])
    return orbit


def _magnetic_operations(block: gemmi.cif.Block) -> list[gemmi.Op]:
    """What the operations of a magnetic space group do to positions, each with each centering."""
    operators, centerings = (
        [
            gemmi.Op(",".join(gemmi.cif.as_string(text).split(",")[:3]))
            for stem in stems
            for separator in "._"
            for text in block.find_values(f"{stem}{separator}xyz")
        ]
        for stems in (_MAGNETIC_OPERATORS, _MAGNETIC_CENTERINGS)
    )
    return [centering * operator for centering in centerings or [gemmi.Op()] for operator in operators]


def _check_that_operators_are_known(block: gemmi.cif.Block) -> None:
    """Refuse symmetry that is written where it is not looked for: without it, atoms would be lost."""
    tags = [tag for item in block if item.loop is not None for tag in item.loop.tags]
    elsewhere = next((tag for tag in tags if _OPERATORS_ELSEWHERE.fullmatch(tag)), None)
    if elsewhere is not None:
        raise CrystalError(
            f"its symmetry stands under {elsewhere}, which is not read; list it under {OPERATOR_TAGS[1]}"
        )
    if any((block.find_value(tag) or "?") not in NOT_GIVEN for tag in _MAGNETIC_GROUPS):
        raise CrystalError(
            "it names a magnetic space group and lists no operators; list them or write all atoms in P 1"
        )
