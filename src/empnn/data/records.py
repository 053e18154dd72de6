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
from collections.abc import Callable, Iterator
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
DOUBTS = "empnn_doubts"
"""The info that holds what was doubtful in a file when it was read."""
DEUTERIUM_MASS = 2.014
_RESULTS_PER_ATOM = ("energies", "forces", "stresses", "magmoms", "charges")
_RESULTS_OF_A_CELL = ("energy", "free_energy", "energies", "forces", "stress", "stresses", "virial")

PARSE_ERRORS = (
    *(ValueError, LookupError, TypeError, AttributeError, AssertionError, RuntimeError, ArithmeticError, SyntaxError),
    *(OSError, EOFError, ImportError, StopIteration, struct.error, zlib.error, lzma.LZMAError, csv.Error),
    *(sqlite3.Error, zipfile.BadZipFile, pyarrow.ArrowException, ParseError, UnknownFileTypeError),
)
"""What the parsers of ASE, pymatgen, pyarrow and gemmi are known to raise on damaged files."""

_BUFFER = 1 << 20

COMPRESSED: dict[str, Callable[..., Any]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}

_LIKE_A_SYMBOL = re.compile("[A-Z][a-z]{0,2}")
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


def json_text(value: object) -> str:
    """A value in JSON, arrays as lists.

    Raises:
        TypeError: If it is of a kind that JSON does not know.
    """
    return json.dumps(value, default=_listed)


def with_nulls(content: Any) -> Any:
    """Content of a JSON document in which NaN and infinity, which JSON has no words for, have become null."""
    if isinstance(content, dict):
        return {key: with_nulls(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [with_nulls(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content


def doubts_when_read(crystal: Any) -> list[str]:
    """What was doubtful in the file that ASE `Atoms` or a pymatgen `Structure` come from, as their info has kept it."""
    held = getattr(crystal, "info", None) or getattr(crystal, "properties", None) or {}
    return [str(held[DOUBTS])] if held.get(DOUBTS) else []


def set_arrays(atoms: Atoms, arrays: dict[str, Any]) -> Atoms:
    """Put back arrays that a format has no place for and that were kept aside."""
    for name, array in arrays.items():
        atoms.set_array(name, np.asarray(array))
    return atoms


def in_words(error: BaseException) -> str:
    """An exception of a library on one short line."""
    return " ".join(f"{type(error).__name__} {error}".split())[:160]


def _listed(value: object) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    raise TypeError(f"JSON knows no {type(value).__name__}")


def printable(text: str) -> str:
    """The text with control characters, which could do anything to a terminal, made visible as question marks."""
    return text if text.isprintable() else "".join(c if c.isprintable() else "?" for c in text)


def unreadable(error: BaseException) -> str:
    """What a parser's exception means to a user."""
    missing = error.args[0] if isinstance(error, KeyError) and error.args else None
    if isinstance(missing, str) and _LIKE_A_SYMBOL.fullmatch(missing):
        return f"unknown element {missing!r}; replace it by an element"
    return f"cannot be read ({printable(in_words(error))}); check that it is whole and of the format its name tells"


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
    """The atoms with energy, forces and stress named as those of the input, for they end with its cell."""
    held = with_results_kept(atoms)
    if not any(name in held.info or name in held.arrays for name in _RESULTS_OF_A_CELL):
        return held
    kept: Atoms = held.copy()
    for name in _RESULTS_OF_A_CELL:
        if name in kept.info:
            kept.info[f"input_{name}"] = kept.info.pop(name)
        if name in kept.arrays:
            kept.arrays[f"input_{name}"] = kept.arrays.pop(name)
    return kept


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
