"""The data blocks of a CIF; where the text is damaged, those that are not."""

from __future__ import annotations

import re
from collections.abc import Iterator

import gemmi

from empnn.errors import CrystalError

_HEAD = re.compile(r"(?mi)^(?=[ \t]*data_)")
_MARK_OF_TEXT = re.compile(r"(?m)^;")
"""Begins and ends a text field."""


def blocks_from_text(text: str) -> list[gemmi.cif.Block]:
    """The data blocks of a CIF that describe crystals; all of them if none does.

    Raises:
        CrystalError: If the text is not CIF.
    """
    try:
        document = gemmi.cif.read_string(text)
    except (ValueError, RuntimeError) as error:
        where = " ".join(str(error).removeprefix("string:").split())[:120]
        raise CrystalError(f"not valid CIF ({where}); correct the file") from None
    blocks = list(document)
    return list(filter(describes_crystal, blocks)) or blocks


def describes_crystal(block: gemmi.cif.Block) -> bool:
    """Whether there is a cell or atoms in a block."""
    return bool(block.find_value("_cell_length_a") or block.find_loop("_atom_site_fract_x"))


def parts(text: str) -> Iterator[str]:
    """The data blocks of a damaged text as they are written; lines of a text field may look like heads of blocks."""
    pieces = _HEAD.split(text)[1:] or [text]
    within_field = [len(_MARK_OF_TEXT.findall(piece)) % 2 == 1 for piece in pieces]
    start = 0
    while start < len(pieces):
        end = start + 1
        if within_field[start]:
            # A field that is never closed would take what follows along: the next one to close it must make sense.
            closing = next((index for index in range(end, len(pieces)) if within_field[index]), start)
            if closing == end or (closing > end and _is_cif("".join(pieces[start : closing + 1]))):
                end = closing + 1
        yield "".join(pieces[start:end])
        start = end


def _is_cif(text: str) -> bool:
    try:
        blocks_from_text(text)
    except CrystalError:
        return False
    return True
