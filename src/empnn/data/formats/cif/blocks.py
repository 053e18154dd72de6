"""The data blocks of a CIF, however many; where the text is damaged, those that are not."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import Any

import gemmi

from empnn.errors import CrystalError

_HEAD = re.compile(r"(?mi)^(?=[ \t]*data_)")
_MARK = re.compile(r"(?m)^;")
"""Begins and ends a text field."""
_ENDING = re.compile(r";\s*(_|loop_|#|\Z)", re.IGNORECASE)
FARTHEST = 1 << 26
"""Characters after which a text field that holds heads of blocks is taken for one that is never closed."""
_CIF2 = "#\\#CIF_2.0"
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


def parts(chunks: Iterable[str]) -> Iterator[str]:
    """The data blocks of a text that comes in chunks, as they are written; lines of a text field may look like heads.

    No more of the text is kept than a block, and than `FARTHEST` characters after a text field that is not closed.
    """
    pieces = _pieces(_all_of_cif2(chunks))
    ahead = deque([_Piece(next(pieces))])
    first = next(pieces, None)
    if first is not None:
        before = ahead.pop().text
        ahead.append(_Piece(before + first if _is_cif(before + first) else first))
    while ahead or (ahead := deque(map(_Piece, islice(pieces, 1)))):
        yield "".join(ahead.popleft().text for _ in range(_joined(ahead, pieces)))


class _Piece:
    """A text, and whether an odd number of lines in it begin or end a text field."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.odd = (text.startswith(";") + text.count("\n;")) % 2 == 1


def _joined(ahead: deque[_Piece], pieces: Iterator[str]) -> int:
    """How many pieces the block has that begins with the first of those ahead, to which more are added from the rest.

    A field that is open ends in a later piece, or the mark there begins another field and this one never ends.
    """
    if not ahead[0].odd:
        return 1
    read, later = len(ahead[0].text), 1
    while read <= FARTHEST:
        if later == len(ahead):
            ahead.extend(map(_Piece, islice(pieces, 1)))
        if later == len(ahead):
            return 1
        read += len(ahead[later].text)
        later += 1
        if ahead[later - 1].odd:
            block = "".join(piece.text for piece in islice(ahead, later))
            return later if _ends_field(ahead[later - 1].text) or _is_cif(block) else 1
    return 1


def _pieces(chunks: Iterable[str]) -> Iterator[str]:
    """A text cut before each line like the head of a block; first what stands before all of them."""
    held: list[str] = []
    line = ""
    for chunk in chain(chunks, [None]):
        lines, end, line = (line, "", "") if chunk is None else (line + chunk).rpartition("\n")
        first, *others = _HEAD.split(lines + end)
        held.append(first)
        for other in others:
            yield "".join(held)
            held = [other]
    yield "".join(held)


def _all_of_cif2(chunks: Iterable[str]) -> Iterator[str]:
    """The chunks as they are, or, of CIF 2, in which a value may hold anything, one with all that is CIF 1.1."""
    found = iter(chunks)
    first = next(found, "")
    if first.startswith(_CIF2):
        first = _as_cif1(first + "".join(found)).replace(_CIF2, "#", 1)
    yield first
    yield from found


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
    if not text.startswith(_CIF2):
        return text
    return _NEW_IN_CIF2.sub(lambda found: "?" if found[1] else found[0], text)


def _is_cif(text: str) -> bool:
    try:
        blocks_from_text(text)
    except CrystalError:
        return False
    return True
