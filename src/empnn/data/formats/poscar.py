"""POSCAR and CONTCAR: read by ASE once it is certain that the lines say what ASE takes them for.

The first line is free text. What is written here has the identifier in it, as `material_id=mp-1`, or else the comment
that the structure came with.
"""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterable, Sequence
from io import TextIOBase
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
from ase import Atoms

from empnn.ase_atoms import mark_deuterium
from empnn.data.records import Entries, Entry, identifier
from empnn.errors import CrystalError
from empnn.files import COMPRESSED, read_text

_SCALE, _SYMBOLS = 1, 5
"""The lines of the scaling factor, and of the elements (VASP 5) or of their counts (VASP 4)."""
_ID = "material_id="
_NAMES = ("POSCAR", "CONTCAR")
_MODES = ("direct", "cartesian", "selective")


def entries(path: Path) -> Entries:
    """The structure of a file."""
    yield Entry(_atoms_from_text, read_text(path))


def is_poscar(path: Path) -> bool:
    """Whether VASP, or who named a file after its files, would take this for one: POSCAR_2, Si_CONTCAR.gz."""
    name = path.stem if path.suffix.lower() in COMPRESSED else path.name
    return name.startswith(_NAMES) or name.endswith(_NAMES)


def write(handle: TextIOBase, structures: Iterable[Atoms]) -> None:
    """The only structure, in fractional coordinates."""
    (atoms,) = structures
    text = io.StringIO()
    ase.io.write(text, atoms, format="vasp", direct=True)
    elements, _, rest = text.getvalue().partition("\n")
    name, comment = identifier(atoms.info), " ".join(str(atoms.info.get("comment", "")).split())
    handle.write(f"{_ID + name if name else comment or elements}\n{rest}")


def _atoms_from_text(text: str) -> Atoms:
    """ASE's reading of it, with deuterium as hydrogen of its mass."""
    lines = text.split("\n")
    _check_lattice(lines)
    symbols, counts = _header(lines)
    _check_rows(lines, _SYMBOLS + (1 if symbols is None else 2), sum(counts))
    _keep_handedness(lines)
    heavy = [symbol == "D" for symbol in symbols or []]
    if symbols is not None and any(heavy):
        lines[_SYMBOLS] = " ".join("H" if symbol == "D" else symbol for symbol in symbols)
    try:
        atoms = next(ase.io.iread(io.StringIO("\n".join(lines)), format="vasp"))
    except AttributeError:
        # Where the comment does not name the elements, ASE looks for a POTCAR beside the file, and here is none.
        raise CrystalError("it does not name its elements; write them in its sixth line") from None
    atoms.info.update(_info(lines[0].strip(), symbols))
    return mark_deuterium(atoms, np.flatnonzero(np.repeat(heavy, counts)).tolist() if any(heavy) else [])


def _info(first: str, symbols: list[str] | None) -> dict[str, Any]:
    """What the first line says, if it is more than the elements once again."""
    if first.startswith(_ID) and first != _ID:
        return {"material_id": first.removeprefix(_ID)}
    return {"comment": first} if first.split() not in ([], symbols) else {}


def _header(lines: Sequence[str]) -> tuple[list[str] | None, list[int]]:
    """The symbols, None where only the comment may name them (VASP 4), and the numbers of atoms."""
    words = _words(lines, _SYMBOLS)
    if not words:
        raise CrystalError("it ends before its elements; complete it")
    symbols = None if words[0].isdecimal() else words
    counts = words if symbols is None else _words(lines, _SYMBOLS + 1)
    if not counts or not all(map(str.isdecimal, counts)):
        raise CrystalError(f"the numbers of atoms are {' '.join(counts)[:40]!r}; correct the line after the elements")
    if symbols is not None and len(symbols) != len(counts):
        raise CrystalError(f"it names {len(symbols)} elements and has {len(counts)} numbers of atoms; correct either")
    total = sum(map(int, counts))
    if total == 0:
        raise CrystalError("it has no atoms; remove it or add the atoms")
    if total > len(lines):
        raise CrystalError(f"it announces {total} atoms and has {len(lines)} lines in all; complete it")
    return symbols, list(map(int, counts))


def _check_lattice(lines: Sequence[str]) -> None:
    for line in lines[2:_SYMBOLS]:
        words = line.split()
        numbers = list(itertools.takewhile(_is_number, words))
        if len(numbers) != 3:
            raise CrystalError(f"a lattice vector has {len(numbers)} components ({line.strip()[:60]!r}); correct it")


def _words(lines: Sequence[str], at: int) -> list[str]:
    """The words of a line before a comment."""
    return lines[at].partition("!")[0].split() if at < len(lines) else []


def _check_rows(lines: Sequence[str], at: int, count: int) -> None:
    """Refuse what ASE would read as other coordinates, or fewer, than are written."""
    mode = _words(lines, at)
    if mode and mode[0][0] in "sS":
        at += 1
        mode = _words(lines, at)
    if not mode or _is_number(mode[0]):
        raise CrystalError("the line Direct or Cartesian is missing before the coordinates; insert it")
    rows = [line.split()[:3] for line in lines[at + 1 : at + 1 + count]]
    complete = sum(len(row) == 3 and all(map(_is_number, row)) for row in rows)
    if complete < count:
        raise CrystalError(f"it announces {count} atoms and has coordinates of {complete}; complete or remove it")
    _check_rest(lines[at + 1 + count :], count)


def _check_rest(lines: Sequence[str], count: int) -> None:
    """Refuse more coordinates and more structures; velocities and what molecular dynamics leaves are fine."""
    more = lines[0].split() if lines else []
    if len(more) >= 3 and all(map(_is_number, more[:3])):
        raise CrystalError(f"it announces {count} atoms and has coordinates of more; correct the numbers of atoms")
    if any(line.strip().lower().startswith(_MODES) for line in lines[1:]):
        raise CrystalError("it holds more than one structure, and this format holds one; split the file")


def _keep_handedness(lines: list[str]) -> None:
    """Make a volume, where it stands for the scaling factor, that factor: ASE would invert a left-handed cell."""
    try:
        (factor,) = map(float, itertools.takewhile(_is_number, lines[_SCALE].split()))
        volume = abs(np.linalg.det([[float(word) for word in line.split()[:3]] for line in lines[2:5]]))
    except (ValueError, np.linalg.LinAlgError):
        return
    if factor < 0 < volume:
        lines[_SCALE] = f"{np.cbrt(-factor / volume):.17g}"


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True
