"""Crystals from files, folders and streams: one record per structure, so that a bad one does not hide the others."""

from __future__ import annotations

import glob
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from io import BufferedIOBase
from itertools import chain, islice
from pathlib import Path
from typing import Protocol, cast

from empnn.data.formats import ase as ase_files
from empnn.data.formats import cif, extxyz, pair_json, poscar, pymatgen_json, tables
from empnn.data.naming import STREAM, is_poscar, names_of, numbered
from empnn.data.records import PARSE_ERRORS, Entries, Entry, Reader, Record, refuse, unreadable
from empnn.errors import CrystalError
from empnn.files import COMPRESSED

_READERS: dict[str, Reader] = {
    ".cif": cif.entries,
    ".mcif": cif.entries,
    ".csv": tables.csv_entries,
    ".parquet": tables.parquet_entries,
    ".feather": tables.feather_entries,
    ".arrow": tables.feather_entries,
    ".extxyz": extxyz.entries,
    ".xyz": extxyz.entries,
    ".json": pymatgen_json.entries,
    ".db": ase_files.database_entries,
    ".vasp": poscar.entries,
    ".poscar": poscar.entries,
}


class _PairReader(Protocol):
    def __call__(self, path: Path, side: str) -> Entries: ...


_PAIR_READERS: dict[str, _PairReader] = {
    ".csv": tables.csv_entries,
    ".parquet": tables.parquet_entries,
    ".feather": tables.feather_entries,
    ".arrow": tables.feather_entries,
    ".json": pair_json.entries,
}
_OTHERS_IN_FOLDERS = (".traj", ".xsf", ".res", ".gen", ".cell")


def read(*paths: str | Path, start: int = 0, step: int = 1) -> Iterator[Record]:
    """All structures of files, in order.

    CIF, extxyz, POSCAR, pymatgen JSON, CSV, parquet or feather with a column `cif` or `structure`, ASE databases and
    whatever else ASE reads; text formats also compressed (.gz, .bz2, .xz). A folder stands for the files of crystals in
    it, a pattern (`runs/*.cif`) for what matches it, `-` for extxyz on standard input. What cannot be read comes as a
    record with an `error`, never as an exception.

    The only structure of a file that tells no identifier is called after the file; see `names_of`.

    Args:
        paths: Files, folders, patterns or `-`.
        start: Records to leave out at the beginning; they are not parsed where the format lets them be skipped.
        step: Of those from there on every so-manieth only is read; the others are left out likewise.
    """
    files = [file for path in paths for file in files_of(path)]
    for located in islice(located_in(files, names_of(files)), start, None, step):
        yield located.record()


@dataclass(frozen=True)
class Located:
    """A structure as it lies in a file, and where that is.

    Attributes:
        file: The name of the file.
        index: The position in it.
        name: What the file is called.
        alone: Whether it holds no other.
        entry: The structure.
    """

    file: str
    index: int
    name: str
    alone: bool
    entry: Entry

    def record(self) -> Record:
        """The structure parsed."""
        record = self.entry.record(self.file, self.index, self.name if self.alone else None)
        return replace(record, name=self.name if self.alone else numbered(self.name, self.index))


def located_in(files: Sequence[Path], names: Sequence[str], folder: Path = Path()) -> Iterator[Located]:
    """All structures of files of these names, not parsed yet, in order; relative paths are those from a folder."""
    for file, name in zip(files, names, strict=True):
        found = entries(folder / file)
        first, second = next(found), next(found, None)
        for index, entry in enumerate(chain([first], [] if second is None else [second], found)):
            yield Located(str(file), index, name, second is None, entry)


def files_of(path: str | Path) -> list[Path]:
    """The files that a file, folder or pattern stands for, sorted; the path itself where it is neither.

    What is hidden in a folder is no part of it.
    """
    path = Path(path)
    try:
        if path.is_dir():
            return _inside(path) or [path]
        if not path.exists() and glob.has_magic(str(path)):
            matches = map(Path, glob.glob(str(path), recursive=True))  # noqa: PTH207 - Path.glob takes relative ones only
            return sorted(match for match in matches if match.is_file()) or [path]
    except OSError:
        pass  # No permission, or a name that is too long: whoever reads it says so.
    return [path]


def _inside(folder: Path) -> list[Path]:
    """The files of crystals in a folder, and the folders in it that cannot be read, so that somebody says so."""
    closed: list[Path] = []
    found: list[Path] = []
    for root, folders, files in os.walk(folder, onerror=lambda error: closed.append(Path(str(error.filename)))):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [file for file in map(Path(root).joinpath, files) if holds_crystals(file) and file.is_file()]
    return sorted(found + closed)


def entries(path: Path, side: str = "") -> Entries:
    """The structures of one file, not parsed yet; where the file itself cannot be read, an entry that says so.

    Args:
        path: The file.
        side: Of a file of pairs, which of each: `unrelaxed` or `relaxed`.
    """
    empty = True
    try:
        for entry in _stream() if str(path) == STREAM else _reader(path, side)(path):
            empty = False
            yield entry
        if empty:
            yield _refusal("the file holds no structure; nothing to read")
    except CrystalError as error:
        yield _refusal(str(error))
    except PermissionError:
        yield _refusal("no permission to read it; change the permissions")
    except PARSE_ERRORS as error:
        yield _refusal(unreadable(error))


def _stream() -> Entries:
    return extxyz.entries_of_stream(cast(BufferedIOBase, sys.stdin.buffer))


def _reader(path: Path, side: str) -> Reader:
    """What reads a file of this name, or one side of its pairs; a pipe holds extxyz, as standard input does.

    Raises:
        CrystalError: If there is nothing to read.
    """
    if path.is_dir() and not os.access(path, os.R_OK | os.X_OK):
        raise CrystalError("no permission to read this folder; change the permissions")
    if path.is_dir():
        raise CrystalError("there is no file of crystals in this folder; name a file or another folder")
    if not path.exists():
        raise CrystalError("no such file; check the path")
    if not path.is_file():
        return extxyz.entries
    if path.stat().st_size == 0:
        raise CrystalError("the file is empty; nothing to read")
    if side:
        return partial(_PAIR_READERS[_ending(path)], side=side)
    return _READERS.get(_ending(path), poscar.entries if is_poscar(path) else ase_files.entries)


def holds_pairs(path: Path) -> bool:
    """Whether a file of this name can hold both crystals of each pair."""
    return _ending(path) in _PAIR_READERS


def _ending(path: Path) -> str:
    plain = path.with_suffix("") if path.suffix.lower() in COMPRESSED else path
    return plain.suffix.lower()


def holds_crystals(path: Path) -> bool:
    """Whether a file in a folder is taken for one of crystals, by its name."""
    known = _ending(path) in _READERS or _ending(path) in _OTHERS_IN_FOLDERS or is_poscar(path)
    return known and not path.name.startswith(".")


def _refusal(message: str) -> Entry:
    return Entry(refuse, message)
