"""Crystals to files, in the format their name tells."""

from __future__ import annotations

import io
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from io import TextIOBase
from pathlib import Path
from typing import Any

from ase import Atoms
from pymatgen.core.structure import StructureError

from empnn.data.formats import ase as ase_files
from empnn.data.formats import cif, extxyz, poscar, pymatgen_json, tables
from empnn.data.formats.cif.names import BlockNames
from empnn.data.formats.constraints import names_of
from empnn.data.naming import is_poscar
from empnn.data.reading import read
from empnn.data.records import Record
from empnn.errors import ConfigError, CrystalError, in_words, printable
from empnn.files import COMPRESSED, check_place, replacing

_CANNOT_HOLD = (ValueError, TypeError, LookupError, RuntimeError, AttributeError, StructureError)
ENDINGS = "cif, vasp, poscar, extxyz, json or another ending that can be written"
"""What a format is called where no file is named."""
_TOGETHER = 4_096
_ATOMS_TOGETHER = 200_000
"""Structures, or atoms, that are in memory together while they are written."""
_KNOWN = ".extxyz, .cif, .vasp, .csv, .parquet, .json, .traj or .db"


@dataclass(frozen=True)
class Format:
    """How crystals are written.

    Attributes:
        write: Writes prepared structures to a new file.
        join: Writes the structures of several files of this format, in order, to a new file; None if they must be read
            and written again.
        prepare: Makes of a structure what is written of it.
        part: Writes some of them to a file that only `join` completes; `write` if None.
        single: Whether the format holds one structure only.
        losses: What becomes of a structure that the format has no place for, in words that follow the name of the file.
        copied: Makes of the content of an entry, read from a file of this format, what is written of it to the last
            digit, and about its number of atoms; None if it must be parsed.
        table: Whether it is a table, of which each info is a column.
        to_text: Writes prepared structures to an open text; None if the format is none of text.
    """

    write: Callable[[Path, Iterable[Any]], None]
    join: Callable[[Sequence[Path], Path], None] | None = None
    prepare: Callable[[Atoms], Any] = lambda atoms: atoms
    part: Callable[[Path, Iterable[Any]], None] | None = None
    single: bool = False
    losses: Callable[[Atoms], list[str]] = lambda atoms: []
    copied: Callable[[Any], tuple[Any, int]] | None = None
    table: bool = False
    to_text: Callable[[TextIOBase, Iterable[Any]], None] | None = None


@dataclass(frozen=True)
class Copy:
    """A structure as it lies in a file of a format, to be written in the same; its size is about that in atoms."""

    content: Any
    size: int

    def __len__(self) -> int:
        return self.size


@dataclass(frozen=True)
class Writer:
    """Writes structures to one file, in the format its name tells.

    Attributes:
        path: The file.
        format: How it is written.
    """

    path: Path
    format: Format

    def check(self, count: int) -> None:
        """Refuse more structures than the format holds.

        Raises:
            ConfigError: If `count` is more than that.
        """
        if self.format.single and count > 1:
            raise ConfigError(
                f"{self.path}: this format holds one structure, the input has more; write .extxyz or .cif"
            )

    def prepared(self, atoms: Atoms | Copy) -> Any:
        """What is written of a structure.

        Raises:
            CrystalError: If the format cannot hold it.
        """
        if isinstance(atoms, Copy):
            return atoms.content
        try:
            return self.format.prepare(atoms)
        except CrystalError:
            raise
        except _CANNOT_HOLD as error:
            raise CrystalError(f"{self.path.name} cannot hold it ({in_words(error)}); write .extxyz") from None

    def losses(self, atoms: Atoms | Copy) -> list[str]:
        """Notes on what the format has no place for."""
        if isinstance(atoms, Copy):
            return []
        return [f"{self.path.name} {words}" for words in self.format.losses(atoms)]

    def __call__(self, structures: Sequence[Atoms]) -> None:
        """Write all structures; the file appears or changes only when they are all there.

        Raises:
            ConfigError: If the format cannot hold them.
            OSError: If the file cannot be written.
        """
        self.check(len(structures))
        prepared = []
        for index, atoms in enumerate(structures):
            try:
                prepared.append(self.prepared(atoms))
            except CrystalError as error:
                raise ConfigError(f"{self.path}: structure {index}: {error}") from None
        self.whole(self.path, prepared)

    def growing(self) -> Growing:
        """What takes structures one after the other, and writes them when it is left."""
        return Growing(self)

    def text(self, structures: Sequence[Atoms]) -> str:
        """What a file of structures would hold, in a format of text.

        Raises:
            CrystalError: If the format cannot hold one of them.
            ConfigError: If it cannot hold them together.
        """
        if self.format.to_text is None:
            raise ConfigError(f"{self.path}: this format is none of text; write .extxyz or .cif")
        self.check(len(structures))
        prepared = list(map(self.prepared, structures))
        written = io.StringIO(newline="")
        with self._explained():
            self.format.to_text(written, prepared)
        return written.getvalue()

    def part(self, path: Path, prepared: Sequence[Any]) -> None:
        """Write some of the structures to a file of their own.

        Raises:
            ConfigError: If the format cannot hold them.
            OSError: If the file cannot be written.
        """
        self._write(self.format.part or self.format.write, path, prepared)

    def whole(self, path: Path, prepared: Sequence[Any]) -> None:
        """Write all structures that a file is to hold.

        Raises:
            ConfigError: If the format cannot hold it.
            OSError: If the file cannot be written.
        """
        self._write(self.format.write, path, prepared)

    def join(self, parts: Sequence[Path]) -> None:
        """Make the file of files that `part` wrote, which stay.

        Raises:
            ConfigError: If the format cannot hold them.
            OSError: If the file cannot be written.
        """
        with self._explained(), replacing(self.path) as temporary:
            single = len(parts) == 1 and self.format.part is None
            if single and temporary.is_file() and os.path.realpath(self.path) != str(temporary):
                _link(parts[0], temporary)
            elif self.format.join is not None:
                self.format.join(parts, temporary)
            else:
                found = (read_back(record) for part in parts for record in read(part))
                self.format.write(temporary, map(self.prepared, found))

    def _write(self, write: Callable[[Path, Iterable[Any]], None], path: Path, prepared: Sequence[Any]) -> None:
        with self._explained(), replacing(path) as temporary:
            write(temporary, prepared)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Say what a library's exception means to a user."""
        try:
            yield
        except ConfigError:
            raise
        except _CANNOT_HOLD as error:
            raise ConfigError(
                f"{self.path}: this format cannot hold the structures ({in_words(error)}); write .extxyz"
            ) from None
        except OSError as error:
            raise OSError(error.errno, error.strerror or str(error), str(self.path)) from None
        except sqlite3.Error as error:
            raise OSError(None, f"cannot be written ({error})", str(self.path)) from None


class Growing:
    """A file that takes structures one after the other, of which some thousand are in memory; the rest lies beside it.

    Use as a context manager: the file appears or changes when it is left without an error, if anything was taken.

    Args:
        write: What writes them.
    """

    def __init__(self, write: Writer) -> None:
        self._write = write
        self._stack = ExitStack()
        self._prepared: list[Any] = []
        self._atoms = 0
        self._parts: list[Path] = []
        self.count = 0
        """Structures taken so far."""

    def __enter__(self) -> Growing:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        with self._stack:
            if error is None and self._parts:
                self._flush()
                self._write.join(self._parts)
            elif error is None and self.count:
                self._write.whole(self._write.path, self._prepared)

    def add(self, atoms: Atoms) -> None:
        """Take one more.

        Raises:
            ConfigError: If the format cannot hold it.
            OSError: If it cannot be written.
        """
        self._write.check(self.count + 1)
        try:
            prepared = self._write.prepared(atoms)
        except CrystalError as error:
            raise ConfigError(f"{self._write.path}: structure {self.count}: {error}") from None
        if len(self._prepared) >= _TOGETHER or self._atoms >= _ATOMS_TOGETHER:
            self._flush()
        self._prepared.append(prepared)
        self._atoms += len(atoms)
        self.count += 1

    def _flush(self) -> None:
        """Write those in memory to a part."""
        path = self._write.path
        if not self._parts:
            folder = tempfile.TemporaryDirectory(dir=path.absolute().parent, prefix=f".{path.name[:40]}.")
            self._folder = Path(self._stack.enter_context(folder))
        self._parts.append(self._folder / f"{len(self._parts):06d}-{path.name[-80:]}")
        self._write.part(self._parts[-1], self._prepared)
        self._prepared, self._atoms = [], 0


def _link(part: Path, place: Path) -> None:
    """The same content under another name; copied where the file system knows no links."""
    place.unlink()
    try:
        place.hardlink_to(part)
    except OSError:
        shutil.copyfile(part, place)


def read_back(record: Record) -> Atoms:
    """The structure of a record that was written.

    Raises:
        ConfigError: If it cannot be read.
    """
    if record.atoms is None:
        raise ConfigError(f"{record.source}: what was written cannot be read back ({record.error}); begin again")
    return record.atoms


def writer(path: str | Path) -> Writer:
    """What writes structures to a file in the format its name tells.

    Raises:
        ConfigError: If the name tells no format that can be written, or there is no folder to write to.
    """
    target = Path(path)
    check_place(target)
    return Writer(target, _format(target))


def text_of(structures: Sequence[Atoms], ending: str) -> str:
    """What a file with this ending would hold of structures; see `Writer.text`."""
    return Writer(Path(f"crystals.{ending}"), format_called(ending)).text(structures)


def format_called(ending: str) -> Format:
    """The format of files with this ending, `cif` or `cif.gz`.

    Raises:
        ConfigError: If there is no such format that can be written.
    """
    found = {**FORMATS, **BARE_FORMATS}.get(f".{ending}")
    if found is None:
        raise ConfigError(f"`ending` {printable(ending)}: choose {ENDINGS}")
    return found


def _format(target: Path) -> Format:
    packed = target.suffix.lower() in COMPRESSED
    ending = "".join(target.suffixes[-2:] if packed else target.suffixes[-1:]).lower()
    found = FORMATS.get(ending) or BARE_FORMATS.get(ending) or (_POSCAR if is_poscar(target) else None)
    if found is None:
        raise ConfigError(f"{target}: the name tells no format to write; use {_KNOWN}")
    return found


def _open(path: Path, mode: str) -> TextIOBase:
    opener = COMPRESSED.get(path.suffix.lower(), open)
    opened: TextIOBase = opener(path, f"{mode}t", encoding="utf-8", newline="")
    return opened


def _as_text(write: Callable[[TextIOBase, Iterable[Any]], None]) -> Callable[[Path, Iterable[Any]], None]:
    def write_file(path: Path, prepared: Iterable[Any]) -> None:
        with _open(path, "w") as handle:
            write(handle, prepared)

    return write_file


def _concatenate(parts: Sequence[Path], target: Path) -> None:
    """Bytes after bytes; compressed ones too, for gzip, bzip2 and xz allow it."""
    with target.open("wb") as out:
        for part in parts:
            with part.open("rb") as handle:
                shutil.copyfileobj(handle, out, 1 << 20)


def _lines(parts: Sequence[Path]) -> Iterator[str]:
    for part in parts:
        with _open(part, "r") as handle:
            yield from handle


def _join_csv(parts: Sequence[Path], target: Path) -> None:
    with _open(target, "w") as out:
        tables.join_csv([partial(_open, part, "r") for part in parts], out)


def _join_json(parts: Sequence[Path], target: Path) -> None:
    with _open(target, "w") as out:
        pymatgen_json.write(out, pymatgen_json.texts_in(_lines(parts)))


def _write_cif(handle: TextIOBase, texts: Iterable[str]) -> None:
    names = BlockNames()
    handle.writelines(map(names.renamed, texts))


def _join_cif(parts: Sequence[Path], target: Path) -> None:
    names = BlockNames()
    with _open(target, "w") as out:
        for part in parts:
            with _open(part, "r") as handle:
                out.write(names.renamed(handle.read()))


def _without(constraints: str) -> list[str]:
    return [f"has no place for its constraints ({constraints}), which are lost"] if constraints else []


def _losses_of_others(atoms: Atoms) -> list[str]:
    return _without(names_of(atoms.constraints))


def _of_text(write: Callable[[TextIOBase, Iterable[Any]], None], **options: Any) -> Format:
    return Format(_as_text(write), to_text=write, **options)


_EXTXYZ = _of_text(
    TextIOBase.writelines,
    join=_concatenate,
    prepare=extxyz.text_from_atoms,
    losses=extxyz.losses,
    copied=extxyz.copied,
)
_CIF = _of_text(
    _write_cif,
    join=_join_cif,
    prepare=cif.named_text_from_atoms,
    part=_as_text(TextIOBase.writelines),
    losses=cif.losses,
)
_CSV = _of_text(tables.write_csv, join=_join_csv, prepare=tables.text_row, copied=tables.copied, table=True)
_JSON = _of_text(pymatgen_json.write, join=_join_json, prepare=pymatgen_json.text_from_atoms)

_FEATHER = Format(
    tables.write_feather,
    tables.join_feather,
    tables.arrow_row,
    part=tables.write_feather_part,
    copied=tables.copied,
    table=True,
)
_PARQUET = Format(tables.write_parquet, tables.join_parquet, tables.arrow_row, copied=tables.copied, table=True)
_POSCAR = _of_text(poscar.write, single=True, losses=lambda atoms: _without(poscar.lost(atoms)))
_PACKABLE = {".extxyz": _EXTXYZ, ".xyz": _EXTXYZ, ".cif": _CIF, ".csv": _CSV, ".json": _JSON}
_PACKED = ("", *COMPRESSED)

FORMATS: dict[str, Format] = {
    **{f"{ending}{packed}": form for ending, form in _PACKABLE.items() for packed in _PACKED},
    ".parquet": _PARQUET,
    ".feather": _FEATHER,
    ".arrow": _FEATHER,
    ".db": Format(ase_files.write_database, prepare=ase_files.for_database),
    ".traj": Format(ase_files.write_trajectory, prepare=ase_files.for_trajectory),
}
"""Formats that hold all there is of a structure, by ending."""

BARE_FORMATS: dict[str, Format] = {
    **{f"{ending}{packed}": _POSCAR for ending in (".vasp", ".poscar") for packed in _PACKED},
    ".xsf": Format(partial(ase_files.write, "xsf"), losses=_losses_of_others),
    ".gen": Format(partial(ase_files.write, "gen"), single=True, losses=_losses_of_others),
}
"""Formats that hold a cell and atoms, and little else."""
