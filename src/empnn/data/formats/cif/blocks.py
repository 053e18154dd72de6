"""The data blocks of a CIF; where the text is damaged, those that are not."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import gemmi

from empnn.errors import CrystalError

_HEAD = re.compile(r"(?mi)^(?=[ \t]*data_)")
_MARK = re.compile(r"(?m)^;")
"""Begins and ends a text field."""
_ENDING = re.compile(r";\s*(_|loop_|#|\Z)", re.IGNORECASE)
_NEW_IN_CIF2 = re.compile(r"""^;.*?^;|(?<!\S)(('{3}|"{3}).*?\2|\[[^\[\]]*\]|\{[^{}]*\})""", re.MULTILINE | re.DOTALL)
"""Text over lines, lists and tables, none of which tells of a crystal."""
_DOTTED = re.compile(r"(?<!\S)_[^\s.]*\.")
"""A tag as newer dictionaries have it, `_cell.length_a`; or text that looks like one."""


def blocks_from_text(text: str) -> list[gemmi.cif.Block]:
    """The data blocks of a CIF that describe crystals; all of them if none does.

    Tags have underscores for the dots of newer dictionaries, which are not always in one place.

    Raises:
        CrystalError: If the text is not CIF, or a tag is there with a dot and without.
    """
    try:
        document = gemmi.cif.read_string(_as_cif1(text))
    except (ValueError, RuntimeError) as error:
        where = " ".join(str(error).removeprefix("string:").split())[:120]
        raise CrystalError(f"not valid CIF ({where}); correct the file") from None
    blocks = list(map(_without_dots, document) if _DOTTED.search(text) else document)
    return list(filter(describes_crystal, blocks)) or blocks


def describes_crystal(block: gemmi.cif.Block) -> bool:
    """Whether there is a cell or atoms in a block."""
    return bool(block.find_value("_cell_length_a") or block.find_loop("_atom_site_fract_x"))


def tags_and_values(item: Any) -> tuple[list[str], list[str]]:
    """The tags of a pair or loop and its values, row by row, as they are written; none of anything else."""
    if item.pair is not None:
        return [item.pair[0]], [item.pair[1]]
    return (item.loop.tags, item.loop.values) if item.loop is not None else ([], [])


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


def _without_dots(block: gemmi.cif.Block) -> gemmi.cif.Block:
    plain = gemmi.cif.Block(block.name)
    known: dict[str, str] = {}
    for item in block:
        written, values = tags_and_values(item)
        tags = [tag.replace(".", "_") for tag in written]
        for tag, own in zip(tags, written, strict=True):
            other = known.setdefault(tag.lower(), own)
            if other != own:
                raise CrystalError(f"it has {other} and {own}, which are one tag; remove one of them")
        if item.pair is not None:
            plain.set_pair(tags[0], values[0])
        elif tags:
            plain.init_loop("", tags).set_all_values([values[start :: len(tags)] for start in range(len(tags))])
    return plain


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
