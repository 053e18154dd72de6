"""Extended XYZ, frame by frame: files and streams of any length."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator, Sequence
from io import TextIOBase
from pathlib import Path
from typing import IO, cast

import ase.io
from ase import Atoms

from empnn.data.records import ID_KEYS, Entries, Entry, is_deuterium, mark_deuterium, open_bytes
from empnn.errors import CrystalError

_PROPERTIES = re.compile(r"""\bProperties\s*=\s*["'{\[]?([^\s"'}\]]+)""")
_IDENTIFIERS = {key: re.compile(rf"""(?:^|\s){key}=("[^"]*"|\S+)""") for key in ID_KEYS}
"""Identifiers as they are written, for ASE makes numbers of digits: 0012 is not 12."""


def entries(path: Path) -> Entries:
    """The frames of a file."""
    with open_bytes(path) as handle:
        yield from entries_of_stream(handle)


def entries_of_stream(handle: io.BufferedIOBase) -> Entries:
    """The frames of an open binary stream."""
    text = io.TextIOWrapper(cast(IO[bytes], handle), encoding="utf-8-sig", errors="surrogateescape")
    try:
        for frame in _frames(map(_decoded, text)):
            yield Entry(_atoms_from_frame, frame)
    finally:
        text.detach()


def write(handle: TextIOBase, structures: Sequence[Atoms]) -> None:
    """ASE's extxyz with all digits: its eight decimals are too few for the coordinates of a skewed cell."""
    for atoms in structures:
        buffer = io.StringIO()
        ase.io.write(buffer, atoms, format="extxyz")
        count, comment, *lines = buffer.getvalue().rstrip("\n").split("\n")
        handle.write(f"{count}\n{comment}\n")
        deuterium = is_deuterium(atoms).tolist()
        for line, position, heavy in zip(lines, atoms.positions.tolist(), deuterium, strict=True):
            symbol, _, _, _, *rest = line.split(maxsplit=4)
            symbol = "D" if heavy else symbol
            handle.write(" ".join([f"{symbol:<2}", *(f"{x:22.16g}" for x in position), *rest]) + "\n")


def _decoded(line: str) -> str:
    """A line without its end; Latin-1 where it is not UTF-8."""
    if "\0" in line:
        raise CrystalError("not a text file; check its format")
    if not line.isascii():
        line = line.encode("utf-8", "surrogateescape").decode("utf-8" if _is_utf8(line) else "latin-1")
    return line.rstrip("\n")


def _is_utf8(line: str) -> bool:
    return not any("\udc80" <= character <= "\udcff" for character in line)


def _frames(lines: Iterable[str]) -> Iterator[list[str]]:
    """Split where a line holds nothing but a number, so that a frame cut short does not swallow the next."""
    frame: list[str] = []
    is_comment = False
    for line in lines:
        starts = not is_comment and line.strip().isdecimal()
        if starts and frame:
            yield frame
            frame = []
        if frame or line.strip():
            frame.append(line)
        is_comment = starts
    if frame:
        yield frame


def _atoms_from_frame(frame: list[str]) -> Atoms:
    header = frame[0].strip()
    if not header.isdecimal():
        raise CrystalError(f"expected a number of atoms, found {header[:40]!r}; correct the file")
    lines = [line for line in frame[2:] if line.strip()]
    if len(lines) != int(header):
        raise CrystalError(f"it announces {header[:20]} atoms and has lines for {len(lines)}; complete or remove it")
    if not lines:
        raise CrystalError("it has no atoms; remove it or add the atoms")
    rows = [line.split() for line in lines]
    _check_columns(frame[1], rows)
    deuterium = [index for index, row in enumerate(rows) if row[0] == "D"]
    for index in deuterium:
        lines[index] = lines[index].replace("D", "H", 1)
    text = io.StringIO("\n".join(frame[:2] + lines) + "\n")
    atoms = next(ase.io.iread(text, index=0, format="extxyz"))
    for key in ID_KEYS:
        written = _IDENTIFIERS[key].search(frame[1])
        if written is not None and not isinstance(atoms.info.get(key, ""), str):
            atoms.info[key] = written[1].strip('"')
    return mark_deuterium(atoms, deuterium)


def _check_columns(comment: str, rows: list[list[str]]) -> None:
    """Refuse what ASE would read as atoms at the origin, or other columns than those announced.

    Rows that hold more than the species and positions of plain XYZ are fine where nothing is announced.
    """
    announced = _PROPERTIES.search(comment)
    if announced is None:
        return
    names = announced[1].split(":")
    if "pos" not in names or not {"species", "Z"}.intersection(names):
        raise CrystalError("its Properties lack species (or Z) or pos; correct the second line")
    widths = names[2::3]
    if len(names) % 3 or not all(map(str.isdecimal, widths)):
        raise CrystalError(f"its Properties {announced[1][:80]!r} are not NAME:TYPE:COLUMNS; correct the second line")
    width = sum(map(int, widths))
    wrong = next((index for index, row in enumerate(rows) if len(row) != width), None)
    if wrong is not None:
        found = len(rows[wrong])
        raise CrystalError(f"atom {wrong} has {found} columns where Properties announces {width}; correct either")
