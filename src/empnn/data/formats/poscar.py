"""POSCAR and CONTCAR: read by ASE once it is certain that the lines say what ASE takes them for.

The first line is free text. What is written here has the comment in it that the structure came with, and the
identifier, as `material_id=mp-1`.

Files of VASP 4 have no line of elements: VASP takes them from its POTCAR, ASE takes whatever letters of the first line
make a formula ("FCC Cu" is fluorine), pymatgen calls them H, He, Li ... where the first line is no list of symbols.
Here the first line counts only if it is nothing but the right number of symbols.
"""

from __future__ import annotations

import io
import itertools
import re
from collections.abc import Iterable, Sequence
from io import TextIOBase
from pathlib import Path
from typing import Any, NamedTuple

import ase.io
import numpy as np
from ase import Atoms
from ase.data import atomic_numbers
from ase.units import fs

from empnn.ase_atoms import mark_deuterium
from empnn.data.formats.constraints import held, hold, names_of
from empnn.data.records import Entries, Entry, identifier
from empnn.errors import CrystalError
from empnn.files import read_text

_SCALE, _SYMBOLS = 1, 5
"""The lines of the scaling factor, and of the elements (VASP 5) or of their counts (VASP 4)."""
_ID, _BETWEEN = "material_id=", "; "
_MODES = ("direct", "cartesian", "selective")
_LOGICAL = re.compile(r"\.?([TF]).*", re.IGNORECASE)
"""What Fortran reads as a logical: T, .TRUE., f, .False. and whatever else begins so."""
_POTENTIAL = re.compile("[_/].*")
"""What VASP adds to the symbol of an element: Na_pv, Cl/1a2b3c."""
_COUNTED = re.compile(r"([A-Z][a-z]?)(\d+)")
_LATTICE_VELOCITIES = 8
"""Lines from the one that announces velocities of the lattice to the velocities of the atoms."""


def entries(path: Path) -> Entries:
    """The structure of a file."""
    yield from entries_of_text(read_text(path))


def entries_of_text(text: str) -> Entries:
    """The structure of a text."""
    yield Entry(_atoms_from_text, text)


def write(handle: TextIOBase, structures: Iterable[Atoms]) -> None:
    """The only structure, in fractional coordinates, with the constraints that selective dynamics can say."""
    (given,) = structures
    atoms = given.copy()
    atoms.set_constraint()
    text = io.StringIO()
    ase.io.write(text, hold(atoms, held(given)[0]), format="vasp", direct=True)
    elements, _, rest = text.getvalue().partition("\n")
    name, comment = identifier(atoms.info), " ".join(str(atoms.info.get("comment", "")).split())
    first = _BETWEEN.join(filter(None, [comment, _ID + name if name else ""]))
    handle.write(f"{first or elements}\n{rest}")


def lost(atoms: Atoms) -> str:
    """The kinds of constraints for which there is no room."""
    return names_of(held(atoms)[1])


class _Sites(NamedTuple):
    """The rows of atoms: their mode, coordinates, which of them are fixed, and the lines that follow."""

    mode: str
    rows: list[str]
    fixed: np.ndarray
    rest: Sequence[str]


def _atoms_from_text(text: str) -> Atoms:
    """ASE's reading of the lattice and the coordinates; deuterium is hydrogen of its mass."""
    lines = text.split("\n")
    _check_lattice(lines)
    symbols, counts, start = _header(lines)
    sites = _sites(lines, start, sum(counts))
    velocities = _velocities(sites.rest, sum(counts))
    _keep_handedness(lines)
    elements = " ".join("H" if symbol == "D" else symbol for symbol in symbols)
    plain = [*lines[:_SYMBOLS], elements, " ".join(map(str, counts)), sites.mode, *sites.rows]
    atoms = next(ase.io.iread(io.StringIO("\n".join(plain)), format="vasp"))
    atoms.info.update(_info(lines[0].strip(), symbols))
    mark_deuterium(atoms, np.flatnonzero(np.repeat([symbol == "D" for symbol in symbols], counts)).tolist())
    if velocities is not None:
        atoms.set_velocities(velocities / fs)
    return hold(atoms, sites.fixed)


def _info(first: str, symbols: list[str]) -> dict[str, Any]:
    """What the first line says, if it is more than the elements once again."""
    comment, _, name = first.partition(_ID)
    if not name or (comment and not comment.endswith(_BETWEEN)):
        comment, name = first, ""
    comment = comment.removesuffix(_BETWEEN)
    found = {"comment": comment} if comment.split() not in ([], symbols) else {}
    return {**found, "material_id": name} if name else found


def _header(lines: Sequence[str]) -> tuple[list[str], list[int], int]:
    """The symbols, the numbers of atoms, and where the lines after them begin."""
    words = _words(lines, _SYMBOLS)
    if not words:
        raise CrystalError("it ends before its elements; complete it")
    named = not words[0].isdecimal()
    counts = _counts(_words(lines, _SYMBOLS + 1) if named else words, len(lines))
    symbols = [_POTENTIAL.sub("", word) for word in words] if named else _from_comment(lines[0], counts)
    if len(symbols) != len(counts):
        raise CrystalError(f"it names {len(symbols)} elements and has {len(counts)} numbers of atoms; correct either")
    unknown = next((symbol for symbol in symbols if symbol not in atomic_numbers and symbol != "D"), None)
    if unknown is not None:
        raise CrystalError(f"unknown element {unknown!r}; replace it by an element")
    return symbols, counts, _SYMBOLS + (2 if named else 1)


def _counts(words: list[str], lines: int) -> list[int]:
    """The numbers of atoms."""
    if not words or not all(map(str.isdecimal, words)):
        raise CrystalError(f"the numbers of atoms are {' '.join(words)[:40]!r}; correct the line after the elements")
    total = sum(map(int, words))
    if total == 0:
        raise CrystalError("it has no atoms; remove it or add the atoms")
    if total > lines:
        raise CrystalError(f"it announces {total} atoms and has {lines} lines in all; complete it")
    return list(map(int, words))


def _from_comment(first: str, counts: list[int]) -> list[str]:
    """The elements of a file of VASP 4, if its first line is the list of their symbols and no more.

    With numbers at them (Ti1 O2) they must be those of the atoms, and differ: some programs sort the symbols.
    """
    symbols = [_POTENTIAL.sub("", word) for word in first.split()]
    counted = list(map(_COUNTED.fullmatch, symbols))
    if len(set(counts)) == len(counts) and [found and int(found[2]) for found in counted] == counts:
        symbols = [found[1] for found in counted if found]
    if len(symbols) != len(counts) or not all(atomic_numbers.get(symbol) for symbol in symbols):
        numbers = " ".join(map(str, counts))[:40]
        raise CrystalError(f"no element line; insert one before the numbers of atoms ({numbers}), as VASP 5 has it")
    return symbols


def _check_lattice(lines: Sequence[str]) -> None:
    for line in lines[2:_SYMBOLS]:
        words = line.split()
        numbers = list(itertools.takewhile(_is_number, words))
        if len(numbers) != 3:
            raise CrystalError(f"a lattice vector has {len(numbers)} components ({line.strip()[:60]!r}); correct it")


def _words(lines: Sequence[str], at: int) -> list[str]:
    """The words of a line before a comment."""
    return lines[at].partition("!")[0].split() if at < len(lines) else []


def _sites(lines: Sequence[str], at: int, count: int) -> _Sites:
    """The rows of atoms; refuse what ASE would read as other coordinates, or fewer, than are written."""
    mode = _words(lines, at)
    selective = bool(mode) and mode[0][0] in "sS"
    if selective:
        at += 1
        mode = _words(lines, at)
    if not mode or _is_number(mode[0]):
        raise CrystalError("the line Direct or Cartesian is missing before the coordinates; insert it")
    rows = [line.split(maxsplit=3) for line in lines[at + 1 : at + 1 + count]]
    complete = sum(len(row) >= 3 and all(map(_is_number, row[:3])) for row in rows)
    if complete < count:
        raise CrystalError(f"it announces {count} atoms and has coordinates of {complete}; complete or remove it")
    rest = lines[at + 1 + count :]
    more = rest[0].split() if rest else []
    if len(more) >= 3 and all(map(_is_number, more[:3])):
        raise CrystalError(f"it announces {count} atoms and has coordinates of more; correct the numbers of atoms")
    fixed = [_fixed(index, "".join(row[3:])) if selective else [False] * 3 for index, row in enumerate(rows)]
    return _Sites(mode[0], [" ".join(row[:3]) for row in rows], np.array(fixed), rest)


def _fixed(index: int, text: str) -> list[bool]:
    """What the flags of an atom hold fixed; along the lattice vectors, also where coordinates are Cartesian."""
    flags = re.split(r"[\s,]+", text)[:3]
    found = list(map(_LOGICAL.fullmatch, flags))
    if len(found) < 3 or None in found:
        said = repr(text[:40]) if text else "nothing"
        raise CrystalError(f"atom {index} has {said} for the three flags, T or F, of selective dynamics; correct them")
    return [match[1] in "Ff" for match in found if match]


def _velocities(rest: Sequence[str], count: int) -> np.ndarray | None:
    """Velocities in angstrom/fs (atoms, 3); None without any, or where their unit is the time step, not told here.

    What molecular dynamics leaves behind them is not read.
    """
    if rest and rest[0].lstrip()[:1] in tuple("lL"):
        rest = rest[_LATTICE_VELOCITIES:]
    if any(line.strip().lower().startswith(_MODES) for line in rest[1:]):
        raise CrystalError("it holds more than one structure, and this format holds one; split the file")
    rows = [line.split() for line in itertools.takewhile(str.strip, rest[1 : 1 + count])]
    if not rows or len(rows[0]) < 2:
        return None
    complete = sum(len(row) == 3 and all(map(_is_number, row)) for row in rows)
    if complete < count:
        raise CrystalError(f"it has velocities of {complete} of its {count} atoms; complete or remove them")
    return None if rest[0].lstrip()[:1] in tuple("dD") else np.array(rows, dtype=float)


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
