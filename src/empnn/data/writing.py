"""Crystals to files: written beside the target, then renamed, so that nothing is ever half-written."""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from io import TextIOBase
from pathlib import Path
from typing import Any

import ase.io
from ase import Atoms
from ase.io.formats import ioformats

from empnn.data import ase_files, cif, extxyz, poscar, pymatgen_json, tables
from empnn.data.cif_names import BlockNames
from empnn.data.reading import read
from empnn.data.records import COMPRESSED
from empnn.errors import ConfigError

_KNOWN = ".extxyz, .cif, .vasp, .csv, .parquet, .json, .traj or .db"


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """A temporary path of the same suffix in the same folder that takes the name `path` when the block succeeds.

    A link keeps pointing to what it points to, which is replaced; a device or pipe is written to directly.

    Raises:
        OSError: If the folder does not exist or cannot be written to, or the disk is full; `path` is untouched then.
    """
    target = Path(os.path.realpath(path))
    if target.is_dir():
        raise IsADirectoryError(f"{path}: it is a folder; name a file")
    if not target.parent.is_dir():
        raise FileNotFoundError(f"{path}: the folder {target.parent} does not exist; create it")
    temporary: Path | None = None
    try:
        if target.exists() and not target.is_file():
            yield target
            return
        handle, name = tempfile.mkstemp(
            dir=target.parent, prefix=f".{target.stem[:40]}.", suffix=f".{target.name}"[-80:]
        )
        os.close(handle)
        temporary = Path(name)
        yield temporary
        mask = os.umask(0)
        os.umask(mask)
        temporary.chmod(0o666 & ~mask)
        temporary.replace(target)
    except OSError as error:
        raise OSError(error.errno, f"cannot be written ({error.strerror or error})", str(path)) from None
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


@dataclass(frozen=True)
class Format:
    """How crystals are written.

    Attributes:
        write: Writes structures to a new file.
        join: Writes the structures of several files of this format, in order, to a new file; None if they must be read
            and written again.
        part: Writes some of the structures to a file that only `join` completes; `write` if None.
        single: Whether the format holds one structure only.
    """

    write: Callable[[Path, Sequence[Atoms]], None]
    join: Callable[[Sequence[Path], Path], None] | None = None
    part: Callable[[Path, Sequence[Atoms]], None] | None = None
    single: bool = False


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

    def __call__(self, structures: Sequence[Atoms]) -> None:
        """Write all structures; the file appears or changes only when they are all there.

        Raises:
            ConfigError: If the format cannot hold them.
            OSError: If the file cannot be written.
        """
        self.check(len(structures))
        with self._explained(), replacing(self.path) as temporary:
            self.format.write(temporary, structures)

    def part(self, path: Path, structures: Sequence[Atoms]) -> None:
        """Write some of the structures to a file of their own.

        Raises:
            ConfigError: If the format cannot hold them.
            OSError: If the file cannot be written.
        """
        with self._explained(), replacing(path) as temporary:
            (self.format.part or self.format.write)(temporary, structures)

    def join(self, parts: Sequence[Path]) -> None:
        """Make the file of files that `part` wrote; a single one that is complete is moved.

        Raises:
            ConfigError: If the format cannot hold them.
            OSError: If the file cannot be written.
        """
        with self._explained(), replacing(self.path) as temporary:
            single = len(parts) == 1 and self.format.part is None
            if single and temporary.is_file() and os.path.realpath(self.path) != str(temporary):
                parts[0].replace(temporary)
            elif self.format.join is not None:
                self.format.join(parts, temporary)
            else:
                self.format.write(temporary, [r.atoms for part in parts for r in read(part) if r.atoms is not None])

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Say what a library's exception means to a user."""
        try:
            yield
        except ConfigError:
            raise
        except (ValueError, TypeError, KeyError, RuntimeError, AttributeError) as error:
            detail = " ".join(f"{type(error).__name__} {error}".split())[:160]
            raise ConfigError(
                f"{self.path}: this format cannot hold the structures ({detail}); write .extxyz"
            ) from None
        except OSError as error:
            raise OSError(error.errno, error.strerror or str(error), str(self.path)) from None
        except sqlite3.Error as error:
            raise OSError(None, f"cannot be written ({error})", str(self.path)) from None


def writer(path: str | Path) -> Writer:
    """What writes structures to a file in the format its name tells.

    Raises:
        ConfigError: If the name tells no format that can be written, or there is no folder to write to.
    """
    target = Path(path)
    if target.is_dir():
        raise ConfigError(f"{target}: it is a folder; name a file in it")
    if not target.parent.is_dir():
        raise ConfigError(f"{target}: the folder {target.parent} does not exist; create it")
    if not os.access(target.parent, os.W_OK):
        raise ConfigError(f"{target}: no permission to write to the folder {target.parent}; choose another")
    return Writer(target, _format(target))


def _format(target: Path) -> Format:
    packed = target.suffix.lower() in COMPRESSED
    ending = "".join(target.suffixes[-2:] if packed else target.suffixes[-1:]).lower()
    found = FORMATS.get(ending) or BARE_FORMATS.get(ending) or (_POSCAR if poscar.is_poscar(target) else None)
    if found is None:
        raise ConfigError(f"{target}: the name tells no format to write; use {_KNOWN}")
    return found


def _open(path: Path, mode: str) -> TextIOBase:
    opener: Callable[..., Any] = COMPRESSED.get(path.suffix.lower(), open)
    opened: TextIOBase = opener(path, f"{mode}t", encoding="utf-8", newline="")
    return opened


def _as_text(write: Callable[[TextIOBase, Sequence[Atoms]], None]) -> Callable[[Path, Sequence[Atoms]], None]:
    def write_file(path: Path, structures: Sequence[Atoms]) -> None:
        with _open(path, "w") as handle:
            write(handle, structures)

    return write_file


def _concatenate(parts: Sequence[Path], target: Path) -> None:
    """Bytes after bytes; compressed ones too, for gzip allows it."""
    with target.open("wb") as out:
        for part in parts:
            with part.open("rb") as handle:
                shutil.copyfileobj(handle, out, 1 << 20)


def _join_cif(parts: Sequence[Path], target: Path) -> None:
    """Block after block; parts are written anew only where names of blocks occurred before."""
    names = BlockNames()
    for part in parts:
        with _open(part, "r") as handle:
            text = handle.read()
        renamed = names.renamed(text)
        if renamed != text:
            with replacing(part) as temporary, _open(temporary, "w") as out:
                out.write(renamed)
    _concatenate(parts, target)


def _join_csv(parts: Sequence[Path], target: Path) -> None:
    with ExitStack() as opened, _open(target, "w") as out:
        tables.join_csv([opened.enter_context(_open(part, "r")) for part in parts], out)


def _by_ase(name: str) -> Format:
    """A format that ASE writes so that a periodic cell and its atoms come back."""

    def write(path: Path, structures: Sequence[Atoms]) -> None:
        ase.io.write(path, list(structures), format=name)

    return Format(write, single=ioformats[name].single)


_PACKED = ("", *COMPRESSED)
_EXTXYZ = Format(_as_text(extxyz.write), _concatenate)
_CIF = Format(_as_text(cif.write), _join_cif, part=_as_text(cif.write_part))
_CSV = Format(_as_text(tables.write_csv), _join_csv)
_JSON = Format(_as_text(pymatgen_json.write))
_POSCAR = Format(_as_text(poscar.write), single=True)

FORMATS: dict[str, Format] = {
    **{f"{ending}{packed}": _EXTXYZ for ending in (".extxyz", ".xyz") for packed in _PACKED},
    **{f".cif{packed}": _CIF for packed in _PACKED},
    **{f".csv{packed}": _CSV for packed in _PACKED},
    **{f".json{packed}": _JSON for packed in _PACKED},
    ".parquet": Format(tables.write_parquet, tables.join_parquet),
    ".feather": Format(tables.write_feather, tables.join_feather),
    ".arrow": Format(tables.write_feather, tables.join_feather),
    ".db": Format(ase_files.write_database),
    ".traj": Format(ase_files.write_trajectory),
}
"""Formats that hold all there is of a structure, by ending."""

BARE_FORMATS: dict[str, Format] = {
    **{f"{ending}{packed}": _POSCAR for ending in (".vasp", ".poscar") for packed in _PACKED},
    ".xsf": _by_ase("xsf"),
    ".gen": _by_ase("gen"),
}
"""Formats that hold a cell and atoms, and little else."""
