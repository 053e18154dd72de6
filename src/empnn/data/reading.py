"""Crystals from files: one record per structure, so that a bad one does not hide the others."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import lzma
import re
import sqlite3
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import ase.db
import ase.io
import numpy as np
import pyarrow.parquet
from ase import Atoms
from ase.io import ParseError
from ase.io.formats import UnknownFileTypeError
from pymatgen.core import Structure
from pymatgen.io.ase import AseAtomsAdaptor

from empnn.crystals import from_structure
from empnn.data.cif import atoms_from_block, blocks_from_text
from empnn.errors import CrystalError

_ID_COLUMNS = ("material_id", "id", "name")
_PARSE_ERRORS = (
    *(ValueError, LookupError, TypeError, AttributeError, AssertionError, RuntimeError, ArithmeticError, SyntaxError),
    *(OSError, EOFError, ImportError, StopIteration, struct.error, zlib.error, lzma.LZMAError, csv.Error),
    *(sqlite3.Error, zipfile.BadZipFile, ParseError, UnknownFileTypeError),
)
"""What the parsers of ASE, pymatgen and gemmi are known to raise on damaged files."""

_LIKE_A_SYMBOL = re.compile("[A-Z][a-z]{0,2}")
"""What ASE, asked for the number of such an element, raises a KeyError with."""

_Bytes = gzip.GzipFile | bz2.BZ2File | lzma.LZMAFile | io.BufferedReader
_COMPRESSED: dict[str, Callable[..., Any]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}


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


def read(path: str | Path) -> Iterator[Record]:
    """All structures of a file, in order.

    CIF, extxyz, pymatgen JSON, CSV or parquet with a `cif` column, ASE databases, POSCAR and whatever else ASE reads;
    text formats also compressed (.gz, .bz2, .xz). What cannot be read comes as a record with an `error`, never as an
    exception.
    """
    path = Path(path)
    count = 0
    try:
        _require_content(path)
        for record in _reader(path)(path):
            yield replace(record, file=str(path))
            count += 1
        if count == 0:
            raise CrystalError("the file holds no structure; nothing to read")
    except CrystalError as error:
        yield Record(file=str(path), index=count, error=str(error))
    except PermissionError:
        yield Record(file=str(path), index=count, error="no permission to read it; change the permissions")
    except _PARSE_ERRORS as error:
        yield Record(file=str(path), index=count, error=_unreadable(error))


def _require_content(path: Path) -> None:
    if path.is_dir():
        raise CrystalError("it is a folder; name the files in it")
    if not path.exists():
        raise CrystalError("no such file; check the path")
    if path.is_file() and path.stat().st_size == 0:
        raise CrystalError("the file is empty; nothing to read")


def _reader(path: Path) -> Callable[[Path], Iterator[Record]]:
    plain = path.with_suffix("") if path.suffix.lower() in _COMPRESSED else path
    return _READERS.get(plain.suffix.lower(), _read_with_ase)


def _record(index: int, parse: Callable[[Any], Atoms], content: Any, identifier: str | None = None) -> Record:
    """Parse one structure; whatever the parser raises becomes the record's error."""
    try:
        atoms = parse(content)
        return Record(index=index, id=identifier or _identifier(atoms), atoms=atoms)
    except CrystalError as error:
        return Record(index=index, id=identifier, error=str(error))
    except _PARSE_ERRORS as error:
        return Record(index=index, id=identifier, error=_unreadable(error))


def _unreadable(error: BaseException) -> str:
    missing = error.args[0] if isinstance(error, KeyError) and error.args else None
    if isinstance(missing, str) and _LIKE_A_SYMBOL.fullmatch(missing):
        return f"unknown element {missing!r}; replace it by an element"
    detail = " ".join(f"{type(error).__name__} {error}".split())[:160]
    return f"cannot be read ({detail}); check that it is whole and of the format its name tells"


def _identifier(atoms: Atoms) -> str | None:
    return _named(atoms.info)


def _named(values: dict[str, Any]) -> str | None:
    """The identifier among named values, on one line."""
    found = (" ".join(str(values[c]).split()) for c in _ID_COLUMNS if values.get(c) is not None)
    return next((name for name in found if name), None)


def _open(path: Path) -> _Bytes:
    opened: _Bytes = _COMPRESSED.get(path.suffix.lower(), Path.open)(path, "rb")
    return opened


def _read_text(path: Path) -> str:
    """The text of a file; Latin-1 if it is not UTF-8, as in many a CIF with an author's name."""
    with _open(path) as handle:
        content = handle.read()
    if b"\0" in content:
        raise CrystalError("not a text file; check its format")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("latin-1")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _read_cif(path: Path) -> Iterator[Record]:
    text = _read_text(path)
    blocks: list[Any]
    try:
        blocks = blocks_from_text(text)
    except CrystalError:
        # A mistake in one block must not hide the others: each is parsed on its own.
        blocks = re.split(r"(?mi)^(?=data_)", text)[1:] or [text]
    for index, block in enumerate(blocks):
        if isinstance(block, str):
            name = block.split(maxsplit=1)[0].partition("_")[2] if block.strip() else ""
            yield _record(index, _atoms_from_cif_text, block, name or None)
        else:
            yield _record(index, atoms_from_block, block, block.name or None)


def _atoms_from_cif_text(text: str | None) -> Atoms:
    if not text or not text.strip():
        raise CrystalError("there is no CIF text; fill it in or remove the row")
    return atoms_from_block(blocks_from_text(text)[0])


def _read_csv(path: Path) -> Iterator[Record]:
    csv.field_size_limit(2**31 - 1)
    with io.TextIOWrapper(_open(path), encoding="utf-8-sig", newline="") as handle:
        # Strict, because a file cut off within a quoted field would otherwise pass for a crystal with fewer atoms.
        rows = csv.DictReader(handle, strict=True)
        yield from _table(rows, rows.fieldnames or ())


def _read_parquet(path: Path) -> Iterator[Record]:
    with pyarrow.parquet.ParquetFile(path) as file:
        names = file.schema_arrow.names
        columns = [c for c in ("cif", *_ID_COLUMNS) if c in names]
        yield from _table((row for part in file.iter_batches(columns=columns) for row in part.to_pylist()), names)


def _table(rows: Iterable[dict[str, Any]], columns: Iterable[str]) -> Iterator[Record]:
    if "cif" not in columns:
        raise CrystalError("the table has no column named cif; add one that holds CIF text")
    for index, row in enumerate(rows):
        yield _record(index, _atoms_from_cif_text, row["cif"], _named(row))


def _read_extxyz(path: Path) -> Iterator[Record]:
    for index, frame in enumerate(_frames(_read_text(path))):
        yield _record(index, _atoms_from_frame, frame)


def _frames(text: str) -> Iterator[list[str]]:
    """Split where a line holds nothing but a number, so that a frame cut short does not swallow the next."""
    frame: list[str] = []
    is_comment = False
    for line in text.split("\n"):
        starts = line.strip().isdecimal() and not is_comment
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
        raise CrystalError(f"it announces {header} atoms and has lines for {len(lines)}; complete or remove it")
    if not lines:
        raise CrystalError("it has no atoms; remove it or add the atoms")
    atoms: Atoms = next(ase.io.iread(io.StringIO("\n".join(frame[:2] + lines) + "\n"), index=0, format="extxyz"))
    return atoms


def _read_json(path: Path) -> Iterator[Record]:
    """Structures of pymatgen (bare, or under the key `structure`), or an ASE database in JSON."""
    content = json.loads(_read_text(path))
    if isinstance(content, dict) and "ids" in content:
        yield from _read_database(path)
        return
    for index, entry in enumerate(content if isinstance(content, list) else [content]):
        yield _record(index, _atoms_from_dict, entry, _named(entry) if isinstance(entry, dict) else None)


def _atoms_from_dict(entry: Any) -> Atoms:
    described = entry.get("structure", entry) if isinstance(entry, dict) else None
    if not isinstance(described, dict) or "lattice" not in described:
        raise CrystalError("it is no pymatgen structure; write it with Structure.to(fmt='json')")
    if not described.get("sites"):
        raise CrystalError("it has no atoms; remove it or add the atoms")
    structure = Structure.from_dict(described)
    from_structure(structure)
    return AseAtomsAdaptor.get_atoms(structure, msonable=False)


def _read_database(path: Path) -> Iterator[Record]:
    with ase.db.connect(path, serial=True) as database:
        for index, row in enumerate(database.select()):
            yield _record(index, _atoms_from_row, row)


def _atoms_from_row(row: Any) -> Atoms:
    """A database row with its key-value pairs and data as info, and the arrays that `writing` put aside."""
    atoms: Atoms = row.toatoms()
    data = dict(row.data)
    for name, array in data.pop("arrays", {}).items():
        atoms.set_array(name, np.asarray(array))
    atoms.info.update(row.key_value_pairs)
    atoms.info.update(data)
    return atoms


def _read_with_ase(path: Path) -> Iterator[Record]:
    for index, atoms in enumerate(ase.io.iread(path, do_not_split_by_at_sign=True)):
        yield Record(index=index, id=_identifier(atoms), atoms=atoms)


_READERS: dict[str, Callable[[Path], Iterator[Record]]] = {
    ".cif": _read_cif,
    ".csv": _read_csv,
    ".parquet": _read_parquet,
    ".extxyz": _read_extxyz,
    ".xyz": _read_extxyz,
    ".json": _read_json,
    ".db": _read_database,
}
