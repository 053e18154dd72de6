"""What is written into a CIF beside the crystal, and found there again: info, the program, the orientation of the cell.

Where the dictionary has a tag it is used: `_audit_block_code` for the identifier, `_atom_sites_Cartn_tran_matrix_*` for
lattice vectors that are not along the usual axes. Plain values of our own info have tags of their own, `_empnn_status`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any

import gemmi
import numpy as np
from ase import Atoms

from empnn.ase_atoms import DOUBTS
from empnn.data.records import identifier
from empnn.version import __version__

OWN_TAG = "_empnn_ase"
"""What has no tag of its own, in JSON: arrays, constraints, info."""
MATRIX_TAGS = [[f"_atom_sites_Cartn_tran_matrix_{i}{j}" for j in (1, 2, 3)] for i in (1, 2, 3)]
"""The matrix that takes fractional to Cartesian coordinates, whose columns are the lattice vectors."""
_PROGRAM, _CODE = "_audit_creation_method", "_audit_block_code"
_OURS = "empnn"
LONGEST_LINE = 2048
"""Characters of a line that CIF allows."""
_WIDTH = 120
_TOKENS = re.compile(r'"(?:[^"\\]|\\.)*"[^",]*,? ?|[^",]+,? ?|, ?')
"""A text in quotes with what belongs to it, or what stands before the next comma."""
_OWN_INFO = re.compile("empnn_[a-z0-9_]+")
_FIRST = ("empnn_status", "empnn_source", "empnn_warnings", DOUBTS)


def tags_of_info(atoms: Atoms) -> tuple[dict[str, str], set[str]]:
    """Tags with their values as they are written for the identifier and our own info, and the keys that these hold."""
    own = [key for key in atoms.info if _has_tag(key, atoms.info[key])]
    own.sort(key=lambda key: _FIRST.index(key) if key in _FIRST else len(_FIRST))
    tags = {_PROGRAM: gemmi.cif.quote(f"{_OURS} {__version__}")}
    code = atoms.info.get("material_id")
    if isinstance(code, str) and identifier(atoms.info) == code:
        tags[_CODE] = gemmi.cif.quote(code)
        return tags | {f"_{key}": _written(atoms.info[key]) for key in own}, {"material_id", *own}
    return tags | {f"_{key}": _written(atoms.info[key]) for key in own}, set(own)


def in_lines(json: str) -> str:
    """JSON as a value of `OWN_TAG`: quoted, or where that is too long a line for CIF in several; no text is broken."""
    quoted: str = gemmi.cif.quote(json)
    if len(quoted) <= LONGEST_LINE:
        return quoted
    lines = [""]
    for token in _TOKENS.findall(json):
        if len(lines[-1]) + len(token) > _WIDTH:
            lines.append("")
        lines[-1] += token
    text: str = gemmi.cif.quote("\n".join(line.rstrip() for line in lines if line))
    return text


def info_in_tags(block: gemmi.cif.Block) -> dict[str, Any]:
    """The identifier, if we wrote the block, and our own info."""
    info: dict[str, Any] = {}
    code = block.find_value(_CODE)
    if code and gemmi.cif.as_string(block.find_value(_PROGRAM) or "").startswith(_OURS):
        info["material_id"] = gemmi.cif.as_string(code)
    return info | dict(_own_pairs(block))


def orientation(block: gemmi.cif.Block) -> np.ndarray | None:
    """The lattice vectors as rows (3, 3), if they are told."""
    written = [[block.find_value(tag) for tag in row] for row in MATRIX_TAGS]
    if not all(map(all, written)):
        return None
    vectors = np.array([[gemmi.cif.as_number(text) for text in row] for row in written]).T
    return vectors if np.isfinite(vectors).all() else None


def _has_tag(key: Any, value: Any) -> bool:
    if not isinstance(key, str) or not _OWN_INFO.fullmatch(key) or f"_{key}" == OWN_TAG:
        return False
    if isinstance(value, str):
        return value.isprintable()
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _written(value: str | float | int) -> str:
    """Text in quotes where it would be read as a number."""
    if not isinstance(value, str):
        return repr(value if isinstance(value, int) else float(value))
    quoted: str = gemmi.cif.quote(value)
    return f"'{value}'" if _number(quoted) is not None else quoted


def _own_pairs(block: gemmi.cif.Block) -> Iterator[tuple[str, Any]]:
    item: Any
    for item in block:
        if item.pair is None:
            continue
        tag, text = item.pair
        if tag != OWN_TAG and _OWN_INFO.fullmatch(tag[1:]):
            value = _number(text)
            yield tag[1:], gemmi.cif.as_string(text) if value is None else value


def _number(text: str) -> float | int | None:
    """The number that a value without quotes is; None if it is none."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return None
