"""One record per structure of a file, read or refused, so that a bad one does not hide the others."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import lzma
import math
import re
import sqlite3
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow
from ase import Atoms
from ase.io import ParseError
from ase.io.formats import UnknownFileTypeError

from empnn.errors import CrystalError

ID_KEYS = ("material_id", "id", "name")
STANDARD_ARRAYS = ("numbers", "positions", "tags", "momenta", "masses", "initial_magmoms", "initial_charges")
OXIDATION_STATES = "oxi_states"
"""The array that holds oxidation states, as pymatgen names it."""
DEUTERIUM_MASS = 2.014
_RESULTS_PER_ATOM = ("energies", "forces", "stresses", "magmoms", "charges")
_RESULTS_OF_A_CELL = ("energy", "free_energy", "energies", "forces", "stress", "stresses", "virial")
_OF_A_CELL = re.compile(
    r"energ(y|ies)|enthalp|hull|toten|(forces?|stress(es)?|virials?)(?![a-z])|"
    r"(?<![a-z])e_?(tot|form|f|0)(?![a-z])|(?<![a-z])e_per_atom|^e$",
    re.IGNORECASE,
)
"""In the names of quantities that end with the cell they were computed in, under whatever prefix: REF_energy."""
_SETTINGS = re.compile(
    r"input_|weight|cut_?off|tol(erance)?s?(?![a-z])|thresh|criteri|converge|limit|applied|external|units?(?![a-z])|"
    r"shift|offset|scal(e|ing)|field",
    re.IGNORECASE,
)
"""In the names of settings, which have no part in the cell: energy_cutoff, forces_weight."""

PARSE_ERRORS = (
    *(ValueError, LookupError, TypeError, AttributeError, AssertionError, RuntimeError, ArithmeticError, SyntaxError),
    *(OSError, EOFError, ImportError, StopIteration, struct.error, zlib.error, lzma.LZMAError, csv.Error),
    *(sqlite3.Error, zipfile.BadZipFile, pyarrow.ArrowException, ParseError, UnknownFileTypeError),
)
"""What the parsers of ASE, pymatgen, pyarrow and gemmi are known to raise on damaged files."""

_BUFFER = 1 << 20
_NUMBERS = "iufbc"
"""Kinds of arrays that hold numbers or truth values."""

COMPRESSED: dict[str, Callable[..., Any]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}

_LIKE_A_SYMBOL = re.compile(r"[A-Z][a-z]{0,2}[\d_+-]*")
"""What ASE, asked for the number of such an element, raises a KeyError with."""


@dataclass(frozen=True, kw_only=True)
class Record:
    """One structure of a file, read or refused.

    Attributes:
        file: Name of the file as the caller gave it.
        index: Position in the file, from 0.
        id: Identifier in the file, where there is one.
        atoms: The crystal, or None if it could not be read.
        error: `what is wrong; what to do`, or None.
    """

    file: str = ""
    index: int
    id: str | None = None
    atoms: Atoms | None = None
    error: str | None = None

    @property
    def source(self) -> str:
        """`file[index]`."""
        return f"{self.file}[{self.index}]"

    @property
    def label(self) -> str:
        """`file[index] (id)`, how messages name the structure."""
        return f"{self.source} ({self.id})" if self.id else self.source


class Entry(NamedTuple):
    """A structure as it lies in a file, not parsed yet.

    Attributes:
        parse: What makes a crystal of the content.
        content: What is to be parsed.
        id: Identifier, where it stands beside the content.
        cif: CIF text or data block with all of the crystal, for who needs no more than that.
    """

    parse: Callable[[Any], Atoms]
    content: Any
    id: str | None = None
    cif: Any = None

    def record(self, file: str, index: int) -> Record:
        """The structure parsed; whatever the parser raises becomes the record's error."""
        try:
            # Infinite numbers on the way are no cause for a warning: a crystal that holds one is refused.
            with np.errstate(all="ignore"):
                atoms = self.parse(self.content)
            return Record(file=file, index=index, id=identifier(atoms.info) or self.id, atoms=atoms)
        except CrystalError as error:
            return Record(file=file, index=index, id=self.id, error=printable(str(error)))
        except PARSE_ERRORS as error:
            return Record(file=file, index=index, id=self.id, error=unreadable(error))


Entries = Iterator[Entry]
Reader = Callable[[Path], Entries]


def refuse(message: str) -> Atoms:
    """What stands in for a parser where a message has taken the place of a crystal.

    Raises:
        CrystalError: Always.
    """
    raise CrystalError(message)


def identifier(values: dict[str, Any]) -> str | None:
    """The identifier among named values, on one line."""
    for key in ID_KEYS:
        value = values.get(key)
        if value is not None and (name := printable(" ".join(str(value).split()))):
            return name
    return None


def json_text(value: object, allow_nan: bool = True) -> str:
    """A value in JSON, arrays as lists, objects of ASE and pymatgen as the dictionaries that they make of themselves.

    Raises:
        TypeError: If it is of a kind that JSON does not know.
        ValueError: If it is a number that JSON does not know, and `allow_nan` is not set.
    """
    return json.dumps(value, default=_listed, allow_nan=allow_nan)


def with_plain_info(atoms: Atoms) -> Atoms:
    """The atoms with info that is plain JSON but for numerical arrays: a space group becomes a dictionary.

    Raises:
        CrystalError: If something is of a kind that JSON does not know.
    """
    if all(isinstance(value, str | int | float | None) for value in atoms.info.values()):
        return atoms
    kept: Atoms = atoms.copy()
    kept.calc = atoms.calc
    for key, value in atoms.info.items():
        try:
            kept.info[key] = _plain(value)
        except (TypeError, ValueError, RecursionError) as error:
            raise CrystalError(f"its info {key!r} cannot be written ({error}); remove it") from None
    return kept


def _plain(value: Any) -> Any:
    """A value of which only arrays of numbers are left as they are."""
    if isinstance(value, str | int | float | complex | None):
        return value
    if isinstance(value, np.ndarray) and value.dtype.kind in _NUMBERS:
        return value
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if not isinstance(value, dict):
        return _plain(_listed(value))
    json.dumps(dict.fromkeys(value))  # For the complaint about keys that JSON does not know.
    return {key: _plain(item) for key, item in value.items()}


def with_nulls(content: Any) -> Any:
    """Content of a JSON document in which NaN and infinity, which JSON has no words for, have become null."""
    if isinstance(content, dict):
        return {key: with_nulls(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [with_nulls(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content


def set_arrays(atoms: Atoms, arrays: dict[str, Any]) -> Atoms:
    """Put back arrays that a format has no place for and that were kept aside."""
    for name, array in arrays.items():
        atoms.set_array(name, array if isinstance(array, np.ndarray) else as_array(array))
    return atoms


def as_array(values: Sequence[Any] | np.ndarray) -> np.ndarray:
    """One value per atom as an array: of numbers or of text if all are that, else of whatever they are (None, too)."""
    try:
        array = np.asarray(values)
    except ValueError:
        return np.array(values, dtype=object)
    all_text = array.dtype.kind == "U" and all(isinstance(value, str) for value in values)
    return array if all_text or array.dtype.kind in _NUMBERS else np.array(values, dtype=object)


def in_words(error: BaseException) -> str:
    """An exception of a library on one short line."""
    return " ".join(f"{type(error).__name__} {error}".split())[:160]


def _listed(value: object) -> Any:
    for name in ("tolist", "todict", "as_dict"):
        if hasattr(value, name) and not isinstance(value, type):
            return getattr(value, name)()
    raise TypeError(f"JSON knows no {type(value).__name__}")


def printable(text: str) -> str:
    """The text with control characters, which could do anything to a terminal, made visible as question marks."""
    return text if text.isprintable() else "".join(c if c.isprintable() else "?" for c in text)


def unreadable(error: BaseException) -> str:
    """What a parser's exception means to a user."""
    missing = error.args[0] if isinstance(error, KeyError) and error.args else None
    if isinstance(missing, str) and _LIKE_A_SYMBOL.fullmatch(missing):
        return f"unknown element '{missing}'; replace it by an element"
    vague = isinstance(error, KeyError | AssertionError)
    said = "something in it is missing or out of place" if vague else printable(in_words(error))
    return f"cannot be read ({said}); check that it is whole and of the format its name tells"


def open_bytes(path: Path) -> io.BufferedReader:
    """A file as bytes, decompressed by its suffix."""
    compressed = COMPRESSED.get(path.suffix.lower())
    return path.open("rb") if compressed is None else io.BufferedReader(compressed(path, "rb"), _BUFFER)


def read_text(path: Path) -> str:
    """The text of a file with Unix line ends; Latin-1 if it is not UTF-8, as in many a CIF with an author's name.

    Raises:
        CrystalError: If it is no text.
    """
    with open_bytes(path) as handle:
        content = handle.read()
    if b"\0" in content:
        raise CrystalError("not a text file; check its format")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("latin-1")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def with_results_kept(atoms: Atoms) -> Atoms:
    """The atoms with energy, forces and the like, which ASE keeps apart in a calculator, as info and arrays.

    For formats that know no calculator.
    """
    results = getattr(atoms.calc, "results", None)
    if not results:
        return atoms
    kept: Atoms = atoms.copy()
    for name, value in results.items():
        if name in _RESULTS_PER_ATOM:
            kept.set_array(name, np.asarray(value))
        else:
            kept.info.setdefault(name, value)
    return kept


def with_input_results(atoms: Atoms) -> Atoms:
    """The atoms with energies, forces and stresses, whoever named them, named as those of the input.

    They end with its cell. What is no number (a unit, a method) and settings keep their names.
    """
    held = with_results_kept(atoms)
    info = [key for key, value in held.info.items() if _ends_with_the_cell(key, value)]
    arrays = [name for name, array in held.arrays.items() if _ends_with_the_cell(name, array)]
    if not info and not arrays:
        return held
    kept: Atoms = held.copy()
    for names, values in ((info, kept.info), (arrays, kept.arrays)):
        for name in names:
            values[f"input_{name}"] = values.pop(name)
    return kept


def _ends_with_the_cell(name: Any, value: Any) -> bool:
    if name in _RESULTS_OF_A_CELL:
        return True
    if not isinstance(name, str) or not _OF_A_CELL.search(name) or _SETTINGS.search(name):
        return False
    if not isinstance(value, np.ndarray):
        value = as_array(value if isinstance(value, list | tuple) else [value])
    return value.dtype.kind in "iufc"


def mark_deuterium(atoms: Atoms, sites: list[int]) -> Atoms:
    """Say by their mass that these hydrogen atoms are deuterium."""
    if sites:
        masses = atoms.get_masses()
        masses[sites] = DEUTERIUM_MASS
        atoms.set_masses(masses)
    return atoms


def is_deuterium(atoms: Atoms) -> np.ndarray:
    """Which atoms are hydrogen of the mass of deuterium."""
    if not atoms.has("masses"):
        return np.zeros(len(atoms), dtype=bool)
    heavy: np.ndarray = (atoms.numbers == 1) & (np.abs(atoms.get_masses() - DEUTERIUM_MASS) < 0.1)
    return heavy
