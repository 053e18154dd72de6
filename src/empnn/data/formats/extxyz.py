"""Extended XYZ, frame by frame: files and streams of any length."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any, cast

import ase.io
import numpy as np
from ase import Atoms
from ase.io.extxyz import key_val_dict_to_str, key_val_str_to_dict

from empnn.ase_atoms import is_deuterium, mark_deuterium, set_arrays
from empnn.data.records import ID_KEYS, Entries, Entry
from empnn.errors import CrystalError
from empnn.files import json_text, open_bytes

_PROPERTIES = re.compile(r"""\bProperties\s*=\s*["'{\[]?([^\s"'}\]]+)""")
_IDENTIFIERS = {key: re.compile(rf"""(?:^|\s){key}=("[^"]*"|\S+)""") for key in ID_KEYS}
"""Identifiers as they are written, for ASE makes numbers of digits: 0012 is not 12."""
_TENSORS = ("stress", "virial")
"""What ASE reads as nine numbers and nothing else."""
_TAKEN = ("Lattice", "Properties", "pbc")
_WORD = re.compile(r"""[^\s"'{}\[\]=\\,]+""")
_NO_TEXT = {"nan", "inf", "infinity", "t", "f", "true", "false"}
_ASIDE = "empnn_aside"
"""The key of what has no place in a frame."""


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


def text_from_atoms(atoms: Atoms) -> str:
    """A frame with all digits: ASE's eight decimals are too few for the coordinates of a skewed cell.

    What extended XYZ has no place for, or ASE would read as something else, is kept in JSON, as ASE writes lists.

    Raises:
        CrystalError: If something in its info can be written in no way.
    """
    buffer = io.StringIO()
    ase.io.write(buffer, _presentable(atoms), format="extxyz")
    count, comment, *lines = buffer.getvalue().rstrip("\n").split("\n")
    rows = [count, comment]
    deuterium = is_deuterium(atoms).tolist()
    for line, position, heavy in zip(lines, atoms.positions.tolist(), deuterium, strict=True):
        symbol, _, _, _, *rest = line.split(maxsplit=4)
        rows.append(" ".join([f"{'D' if heavy else symbol:<2}", *(f"{x:22.16g}" for x in position), *rest]))
    return "\n".join(rows) + "\n"


def _presentable(atoms: Atoms) -> Atoms:
    """A copy whose info and arrays come back from ASE's writer and reader as they are."""
    presentable: Atoms = atoms.copy()
    presentable.calc = atoms.calc
    arrays = {name: array for name, array in atoms.arrays.items() if not _is_column(name, array)}
    for name in arrays:
        del presentable.arrays[name]
    info = {key: value for key, value in atoms.info.items() if not _has_place(key, value)}
    presentable.info = {key: _written(key, value) for key, value in atoms.info.items() if key not in info}
    if info or arrays:
        presentable.info[_ASIDE] = _as_json(_ASIDE, {"info": info, "arrays": arrays})
    return presentable


def _is_column(name: str, array: np.ndarray) -> bool:
    """Whether the rows of a frame can hold it."""
    if ":" in name or not _WORD.fullmatch(name) or array.ndim > 2 or array.shape[1:] in ((0,), (1,)):
        return False
    return array.dtype.kind in "ifb" or all(isinstance(x, str) and _WORD.fullmatch(x) for x in array.flat)


def _has_place(key: str, value: Any) -> bool:
    """Whether the second line of a frame can hold it under its own name."""
    if key in _TENSORS:
        return np.shape(value) == (3, 3) or (key == "stress" and np.shape(value) == (6,))
    return key not in _TAKEN and _WORD.fullmatch(key) is not None


def _written(key: str, value: Any) -> Any:
    """What ASE is to write, so that it reads the value."""
    if isinstance(value, np.ndarray) and value.dtype.kind in "ifb" and (value.ndim == 0 or value.size > 1):
        return value if value.ndim < 2 or key in _TENSORS else _as_json(key, value.tolist())
    if isinstance(value, bool | float | np.bool_ | np.number):
        return value
    if isinstance(value, int):
        return value if abs(value) < 2**63 else _as_json(key, value)
    if not isinstance(value, str):
        return _as_json(key, value)
    plain = (key in ID_KEYS and _WORD.fullmatch(value)) or (value.isprintable() and _reads_as_text(value))
    return value if plain else _as_json(key, value)


def _reads_as_text(value: str) -> bool:
    """Whether ASE, which makes numbers and truth values of what looks like one, reads this text as it is."""
    if '"' in value or "\\" in value:
        return False
    first = re.split("[ ,]", value, maxsplit=1)[0]
    if first[:1].isalpha() and first.lower() not in _NO_TEXT:
        return True
    found = key_val_str_to_dict(key_val_dict_to_str({"key": value})).get("key")
    return isinstance(found, str) and found == value


def _as_json(key: str, value: object) -> str:
    try:
        return "_JSON " + json_text(value).replace("\\", "\\\\")
    except (TypeError, ValueError) as error:
        raise CrystalError(f"its info {key!r} cannot be written ({error}); remove it") from None


def _decoded(line: str) -> str:
    """A line without its end; Latin-1 where it is not UTF-8."""
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
    if any("\0" in line for line in frame):
        raise CrystalError("not a text file; check its format")
    header = frame[0].strip()
    if not header.isdecimal():
        raise CrystalError(f"expected a number of atoms, as extended XYZ begins, found {header[:40]!r}; correct it")
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
    aside = atoms.info.pop(_ASIDE, {})
    atoms.info.update(aside.get("info", {}))
    return mark_deuterium(set_arrays(atoms, aside.get("arrays", {})), deuterium)


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
