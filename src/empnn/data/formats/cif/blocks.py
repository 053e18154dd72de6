"""The data blocks of a CIF; where the text is damaged, those that are not."""

from __future__ import annotations

import re
from collections.abc import Iterator

import gemmi

from empnn.errors import CrystalError

_HEAD = re.compile(r"(?mi)^(?=[ \t]*data_)")
_MARK = re.compile(r"(?m)^;")
"""Begins and ends a text field."""
_ENDING = re.compile(r";\s*(_|loop_|#|\Z)", re.IGNORECASE)
_NEW_IN_CIF2 = re.compile(r"""^;.*?^;|(?<!\S)(('{3}|"{3}).*?\2|\[[^\[\]]*\]|\{[^{}]*\})""", re.MULTILINE | re.DOTALL)
"""Text over lines, lists and tables, none of which tells of a crystal."""


def blocks_from_text(text: str) -> list[gemmi.cif.Block]:
    """The data blocks of a CIF that describe crystals; all of them if none does.

    Raises:
        CrystalError: If the text is not CIF.
    """
    try:
        document = gemmi.cif.read_string(_as_cif1(text))
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
    pieces = _HEAD.split(_as_cif1(text))[1:] or [text]
    marks = [_MARK.findall(piece) for piece in pieces]
    start = 0
    while start < len(pieces):
        end = start + 1
        if len(marks[start]) % 2:
            # The field that is open ends in a later piece, or the mark there begins another and this one never ends.
            later = next((index for index in range(end, len(pieces)) if len(marks[index]) % 2), start)
            if later > start and (_ends_field(pieces[later]) or _is_cif("".join(pieces[start : later + 1]))):
                end = later + 1
        yield "".join(pieces[start:end])
        start = end


def _ends_field(piece: str) -> bool:
    """Whether what follows the first mark is no text of a field."""
    mark = _MARK.search(piece)
    return mark is not None and _ENDING.match(piece, mark.start()) is not None


def _as_cif1(text: str) -> str:
    """CIF 2 as far as crystals need it in the words of CIF 1.1, which are all that gemmi knows."""
    if not text.startswith("#\\#CIF_2.0"):
        return text
    return _NEW_IN_CIF2.sub(lambda found: "?" if found[1] else found[0], text)


def _is_cif(text: str) -> bool:
    try:
        blocks_from_text(text)
    except CrystalError:
        return False
    return True
