"""Crystals from files: one record per structure, so that a bad one does not hide the others."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import IO, Any

import ase.io
import gemmi
import pyarrow.parquet
from ase import Atoms
from ase.io.extxyz import XYZError
from pymatgen.core import Structure
from pymatgen.io.ase import AseAtomsAdaptor

from empnn.crystals import from_structure
from empnn.data.cif import atoms_from_block
from empnn.errors import CrystalError

_ID_COLUMNS = ("material_id", "id", "name")
_PARSE_ERRORS = (ValueError, KeyError, IndexError, TypeError, AttributeError, AssertionError, RuntimeError, XYZError)


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

    file: str
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

    CIF, extxyz, POSCAR, pymatgen JSON, CSV or parquet with a `cif` column, and whatever else ASE reads. What cannot be read comes as a record with an `error`, never as an exception.
    """
    path = Path(path)
    try:
        if not path.exists():
            raise CrystalError("no such file; check the path")
        if path.is_dir():
            raise CrystalError("it is a folder; name the files in it")
        if path.stat().st_size == 0:
            raise CrystalError("the file is empty; nothing to read")
        records = _reader(path)(path)
        empty = True
        for record in records:
            empty = False
            yield replace(record, file=str(path))
        if empty:
            raise CrystalError("the file holds no structure; nothing to read")
    except (CrystalError, OSError, EOFError) as error:
        yield Record(file=str(path), index=0, error=_one_line(error, path))


def _reader(path: Path) -> Callable[[Path], Iterator[Record]]:
    suffixes = [s.lower() for s in path.suffixes]
    plain = suffixes[:-1] if suffixes and suffixes[-1] == ".gz" else suffixes
    return _READERS.get(plain[-1] if plain else "", _read_with_ase)


def _open(path: Path) -> IO[str]:
    if path.suffix.lower() == ".gz":
        return io.TextIOWrapper(gzip.open(path), encoding="utf-8")
    return path.open(encoding="utf-8")


def _record(index: int, parse: Callable[[Any], Atoms], content: Any, identifier: str | None = None) -> Record:
    """Parse one structure; whatever the parser raises becomes the record's error."""
    try:
        return Record(file="", index=index, id=identifier, atoms=parse(content))
    except CrystalError as error:
        return Record(file="", index=index, id=identifier, error=str(error))
    except _PARSE_ERRORS as error:
        return Record(file="", index=index, id=identifier, error=_unreadable(error))


def _unreadable(error: Exception) -> str:
    detail = " ".join(f"{type(error).__name__} {error}".split())[:160]
    return f"cannot be read ({detail}); correct or remove it"


def _one_line(error: Exception, path: Path) -> str:
    if isinstance(error, CrystalError):
        return str(error)
    if isinstance(error, PermissionError):
        return "no permission to read it; change the permissions"
    return f"cannot be read ({' '.join(str(error).split())[:160]}); check that {path.name} is whole"


def _read_text(path: Path) -> str:
    try:
        with _open(path) as handle:
            return handle.read()
    except UnicodeDecodeError as error:
        raise CrystalError(f"not a text file (byte {error.start}); check its format") from None


def _read_cif(path: Path) -> Iterator[Record]:
    try:
        document = gemmi.cif.read_string(_read_text(path))
    except ValueError as error:
        raise CrystalError(f"not valid CIF ({str(error).removeprefix('string:')}); correct the file") from None
    for index, block in enumerate(document):
        yield _record(index, atoms_from_block, block, block.name or None)


def _atoms_from_cif_text(text: str) -> Atoms:
    if not text:
        raise CrystalError("the cif column is empty; fill it or remove the row")
    return atoms_from_block(gemmi.cif.read_string(text)[0])


def _read_csv(path: Path) -> Iterator[Record]:
    csv.field_size_limit(2**31 - 1)
    try:
        with _open(path) as handle:
            rows = csv.DictReader(handle)
            if "cif" not in (rows.fieldnames or ()):
                raise CrystalError("the table has no column named cif; add one that holds CIF text")
            yield from _table(rows)
    except (UnicodeDecodeError, csv.Error) as error:
        raise CrystalError(f"not a readable table ({error}); check its format") from None


def _read_parquet(path: Path) -> Iterator[Record]:
    try:
        file = pyarrow.parquet.ParquetFile(path)
    except pyarrow.ArrowInvalid as error:
        raise CrystalError(f"not a parquet file ({str(error)[:80]}); check its format") from None
    if "cif" not in file.schema_arrow.names:
        raise CrystalError("the table has no column named cif; add one that holds CIF text")
    columns = [c for c in ("cif", *_ID_COLUMNS) if c in file.schema_arrow.names]
    yield from _table(row for part in file.iter_batches(columns=columns) for row in part.to_pylist())


def _table(rows: Any) -> Iterator[Record]:
    for index, row in enumerate(rows):
        identifier = next((str(row[c]) for c in _ID_COLUMNS if row.get(c) not in (None, "")), None)
        yield _record(index, _atoms_from_cif_text, row["cif"], identifier)


def _read_extxyz(path: Path) -> Iterator[Record]:
    """Split the file into frames by their atom counts, so that each is parsed on its own."""
    lines = iter(_read_text(path).splitlines(keepends=True))
    index = 0
    for header in lines:
        if not header.strip():
            continue
        if not header.strip().isdigit():
            yield Record(
                file="",
                index=index,
                error=f"expected a number of atoms, found {header.strip()[:40]!r}, and cannot find the structures "
                "after it; correct the file",
            )
            return
        frame = header + "".join(islice(lines, int(header) + 1))
        record = _record(index, _parse_frame, frame)
        identifier = _identifier(record.atoms) if record.atoms else None
        yield replace(record, id=identifier)
        index += 1


def _parse_frame(frame: str) -> Atoms:
    if int(frame.split("\n", 1)[0]) == 0:
        return Atoms()
    return next(ase.io.iread(io.StringIO(frame), index=0, format="extxyz"))


def _read_json(path: Path) -> Iterator[Record]:
    """Structures of pymatgen as JSON, or an ASE database in JSON."""
    try:
        content = json.loads(_read_text(path))
    except ValueError as error:
        raise CrystalError(f"not valid JSON ({error}); correct the file") from None
    entries = content if isinstance(content, list) else [content]
    if all(isinstance(e, dict) and "lattice" in e for e in entries):
        for index, entry in enumerate(entries):
            yield _record(index, _atoms_from_dict, entry)
    else:
        yield from _read_with_ase(path)


def _atoms_from_dict(entry: dict[str, Any]) -> Atoms:
    structure = Structure.from_dict(entry)
    from_structure(structure)
    return AseAtomsAdaptor.get_atoms(structure, msonable=False)


def _read_with_ase(path: Path) -> Iterator[Record]:
    try:
        for index, atoms in enumerate(ase.io.iread(path)):
            yield Record(file="", index=index, id=_identifier(atoms), atoms=atoms)
    except (*_PARSE_ERRORS, StopIteration, SyntaxError) as error:
        raise CrystalError(_unreadable(error)) from None


def _identifier(atoms: Atoms) -> str | None:
    return next((str(atoms.info[c]) for c in _ID_COLUMNS if c in atoms.info), None)


_READERS: dict[str, Callable[[Path], Iterator[Record]]] = {
    ".cif": _read_cif,
    ".csv": _read_csv,
    ".parquet": _read_parquet,
    ".extxyz": _read_extxyz,
    ".xyz": _read_extxyz,
    ".json": _read_json,
}
