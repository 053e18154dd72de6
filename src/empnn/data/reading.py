"""Crystals from files, folders and streams: one record per structure, so that a bad one does not hide the others."""

from __future__ import annotations

import glob
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
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
from empnn.files import COMPRESSED, with_unix_lines

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


TEXTS: dict[str, Callable[[str], Entries]] = {
    "cif": cif.entries_of_text,
    "extxyz": extxyz.entries_of_text,
    "json": pymatgen_json.entries_of_text,
    "poscar": poscar.entries_of_text,
}
"""What reads a text in memory, by format; of these no content makes a reader open a file."""
_TEXT_ENDINGS = {
    ".cif": "cif",
    ".mcif": "cif",
    ".extxyz": "extxyz",
    ".xyz": "extxyz",
    ".json": "json",
    ".vasp": "poscar",
    ".poscar": "poscar",
}
_CIF_TEXT = re.compile(r"^\s*(data_|_cell_length_a)", re.IGNORECASE | re.MULTILINE)


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


def read_texts(texts: Sequence[tuple[str, str]]) -> Iterator[Record]:
    """All structures of texts in memory, in order, as `read` tells them of files.

    No file is opened, be it named by a text.

    Args:
        texts: What each is called, and the text. The format is that of the name, or, where this tells none, the one
            that the text looks like.
    """
    labels = [label for label, _ in texts]
    names = names_of([Path("/", *_folders_and_name(label)) for label in labels])
    for located in _located(labels, names, (entries_of_text(text, label) for label, text in texts)):
        yield located.record()


def _folders_and_name(label: str) -> list[str]:
    """The parts of what a text is called, if that were the path of a file."""
    return [part for part in label.split("/") if part not in ("", ".", "..")] or ["text"]


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
    return _located(map(str, files), names, (entries(folder / file) for file in files))


def _located(labels: Iterable[str], names: Sequence[str], of_each: Iterable[Entries]) -> Iterator[Located]:
    for label, name, found in zip(labels, names, of_each, strict=True):
        first, second = next(found), next(found, None)
        for index, entry in enumerate(chain([first], [] if second is None else [second], found)):
            yield Located(label, index, name, second is None, entry)


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
    return _or_why_not(lambda: _stream() if str(path) == STREAM else _reader(path, side)(path))


def entries_of_text(text: str, name: str = "") -> Entries:
    """The structures of a text, not parsed yet; where it cannot be read, an entry that says so.

    Args:
        text: CIF, extxyz, a POSCAR or pymatgen JSON.
        name: What it is called, which may tell the format.
    """
    return _or_why_not(lambda: TEXTS[format_of_text(text, name)](with_unix_lines(text)))


def format_of_text(text: str, name: str = "") -> str:
    """The key in `TEXTS` of what the name tells, or else of what the text looks like.

    Raises:
        CrystalError: If it looks like nothing that is known.
    """
    told = _TEXT_ENDINGS.get(Path(name).suffix.lower()) or ("poscar" if is_poscar(Path(name)) else None)
    if told is not None:
        return told
    first, _, rest = text.lstrip("\ufeff \t\r\n").partition("\n")
    if not first:
        raise CrystalError("it is empty; nothing to read")
    if first[0] in "[{":
        return "json"
    if first.strip().isdecimal():
        return "extxyz"
    if _CIF_TEXT.search(text):
        return "cif"
    if _is_number(rest.partition("\n")[0]):
        return "poscar"
    raise CrystalError("it looks like no CIF, POSCAR, extxyz or pymatgen JSON; give one of these")


def _is_number(text: str) -> bool:
    try:
        float(text.split()[0])
    except (ValueError, IndexError):
        return False
    return True


def _or_why_not(found: Callable[[], Entries]) -> Entries:
    empty = True
    try:
        for entry in found():
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
