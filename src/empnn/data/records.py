"""One record per structure of a file, read or refused, so that a bad one does not hide the others."""

from __future__ import annotations

import csv
import lzma
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

from empnn.data.naming import is_called
from empnn.errors import CrystalError, in_words, printable

ID_KEYS = ("material_id", "id", "name")

PARSE_ERRORS = (
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    AssertionError,
    RuntimeError,
    ArithmeticError,
    SyntaxError,
    OSError,
    EOFError,
    MemoryError,
    ImportError,
    StopIteration,
    struct.error,
    zlib.error,
    lzma.LZMAError,
    csv.Error,
    sqlite3.Error,
    zipfile.BadZipFile,
    pyarrow.ArrowException,
    ParseError,
    UnknownFileTypeError,
)
"""What the parsers of ASE, pymatgen, pyarrow and gemmi are known to raise on damaged files."""


_LIKE_A_SYMBOL = re.compile(r"[A-Z][a-z]{0,2}[\d_+-]*")
"""What ASE, asked for the number of such an element, raises a KeyError with."""


@dataclass(frozen=True, kw_only=True)
class Record:
    """One structure of a file, read or refused.

    Attributes:
        file: Name of the file as the caller gave it.
        index: Position in the file, from 0.
        id: Identifier in the file; without one the name of the file if it holds no other structure.
        name: What a file of its own would be called, without ending: the name of the file (see `naming`), with the
            position where it holds several structures.
        atoms: The crystal, or None if it could not be read.
        error: `what is wrong; what to do`, or None.
        share: The part of its file that was read when it was, from 0 to 1; 0 where that is not known.
    """

    file: str = ""
    index: int
    id: str | None = None
    name: str | None = None
    atoms: Atoms | None = None
    error: str | None = None
    share: float = 0.0

    @property
    def source(self) -> str:
        """`file[index]`."""
        return f"{self.file}[{self.index}]"

    @property
    def label(self) -> str:
        """`file[index] (id)`, how messages name the structure; without what the file is called anyway."""
        return f"{self.source} ({self.id})" if self.id and not is_called(self.file, self.id) else self.source


class Entry(NamedTuple):
    """A structure as it lies in a file, not parsed yet.

    Attributes:
        parse: What makes a crystal of the content.
        content: What is to be parsed.
        id: Identifier, where it stands beside the content.
        cif: CIF text or data block with all of the crystal, for who needs no more than that.
        stem_says_more: Whether the identifier beside the content is what a program calls whatever it writes.
        share: The part of its file that was read when it was, from 0 to 1; 0 where that is not known.
    """

    parse: Callable[[Any], Atoms]
    content: Any
    id: str | None = None
    cif: Any = None
    stem_says_more: bool = False
    share: float = 0.0

    def record(self, file: str, index: int, stem: str | None = None) -> Record:
        """The structure parsed; whatever the parser raises becomes the record's error.

        Args:
            file: Name of the file as the caller gave it.
            index: Position in the file.
            stem: What the file is called, if it holds no other structure.
        """
        name = stem if stem and (self.stem_says_more or not self.id) else self.id
        try:
            # Infinite numbers on the way are no cause for a warning: a crystal that holds one is refused.
            with np.errstate(all="ignore"):
                atoms = self.parse(self.content)
            found = identifier(atoms.info) or name
            return Record(file=file, index=index, id=found, atoms=atoms, share=self.share)
        except CrystalError as error:
            message = printable(str(error))
        except PARSE_ERRORS as error:
            message = unreadable(error)
        return Record(file=file, index=index, id=name, error=message, share=self.share)


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


def unreadable(error: BaseException) -> str:
    """What a parser's exception means to a user."""
    missing = error.args[0] if isinstance(error, KeyError) and error.args else None
    if isinstance(missing, str) and _LIKE_A_SYMBOL.fullmatch(missing):
        return f"unknown element '{missing}'; replace it by an element"
    vague = isinstance(error, KeyError | AssertionError)
    said = "something in it is missing or out of place" if vague else in_words(error)
    return f"cannot be read ({said}); check that it is whole and of the format its name tells"


def named(record: Record) -> Atoms | None:
    """The crystal of a record with its identifier in info."""
    if record.atoms is not None and record.id is not None:
        record.atoms.info.setdefault("material_id", record.id)
    return record.atoms
