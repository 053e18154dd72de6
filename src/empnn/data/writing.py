"""Crystals to files: written beside the target, then renamed, so that nothing is ever half-written."""

from __future__ import annotations

import csv
import gzip
import io
import os
import sqlite3
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import ase.db
import ase.io
import pyarrow
import pyarrow.parquet
from ase import Atoms
from ase.db.core import check
from ase.io.formats import UnknownFileTypeError, filetype, ioformats

from empnn.data.cif import text_from_atoms
from empnn.errors import ConfigError

_STANDARD_ARRAYS = ("numbers", "positions", "tags", "momenta", "masses", "initial_magmoms", "initial_charges")


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
class Writer:
    """Writes structures to one file, in the format its name tells.

    Attributes:
        path: The file.
        single: Whether the format holds one structure only.
    """

    path: Path
    single: bool
    _write: Callable[[Path, Sequence[Atoms]], None]

    def check(self, count: int) -> None:
        """Refuse more structures than the format holds.

        Raises:
            ConfigError: If `count` is more than that.
        """
        if self.single and count > 1:
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
        try:
            with replacing(self.path) as temporary:
                self._write(temporary, structures)
        except (ValueError, TypeError, KeyError, RuntimeError, AttributeError) as error:
            if isinstance(error, ConfigError):
                raise
            detail = " ".join(f"{type(error).__name__} {error}".split())[:160]
            raise ConfigError(
                f"{self.path}: this format cannot hold the structures ({detail}); write .extxyz"
            ) from None
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
    ending = "".join(target.suffixes[-2:] if target.suffix.lower() == ".gz" else target.suffixes[-1:]).lower()
    own = _WRITERS.get(ending)
    if own is not None:
        return Writer(target, False, own)
    try:
        form = ioformats[filetype(target.name, read=False)]
    except (UnknownFileTypeError, KeyError):
        form = None
    if form is None or not form.can_write or target.suffix.lower() == ".gz":
        raise ConfigError(f"{target}: the name tells no format to write; use .extxyz, .cif, .vasp, .traj, .json or .db")
    options = {"direct": True} if form.name == "vasp" else {}

    def write(temporary: Path, structures: Sequence[Atoms]) -> None:
        ase.io.write(temporary, list(structures), format=form.name, **options)

    return Writer(target, form.single, write)


def _open(path: Path) -> io.TextIOWrapper:
    if path.suffix.lower() == ".gz":
        return io.TextIOWrapper(gzip.open(path, "wb"), encoding="utf-8", newline="")
    return path.open("w", encoding="utf-8", newline="")


def _write_extxyz(path: Path, structures: Sequence[Atoms]) -> None:
    """ASE's extxyz with all digits: its eight decimals are too few for the coordinates of a skewed cell."""
    with _open(path) as handle:
        for atoms in structures:
            buffer = io.StringIO()
            ase.io.write(buffer, atoms, format="extxyz")
            count, comment, *lines = buffer.getvalue().rstrip("\n").split("\n")
            handle.write(f"{count}\n{comment}\n")
            for line, position in zip(lines, atoms.positions.tolist(), strict=True):
                symbol, _, _, _, *rest = line.split(maxsplit=4)
                handle.write(" ".join([f"{symbol:<2}", *(f"{x:22.16g}" for x in position), *rest]) + "\n")


def _write_cif(path: Path, structures: Sequence[Atoms]) -> None:
    with _open(path) as handle:
        handle.writelines(text_from_atoms(a, n) + "\n" for a, n in zip(structures, _names(structures), strict=True))


def _names(structures: Sequence[Atoms]) -> list[str]:
    """Identifiers as names of CIF blocks, which must differ."""
    names: dict[str, None] = {}
    for index, atoms in enumerate(structures):
        name = str(atoms.info.get("material_id", f"structure_{index}"))
        names[name if name not in names else f"{name}_{index}"] = None
    return list(names)


def _rows(structures: Sequence[Atoms]) -> list[dict[str, str]]:
    keys = ("empnn_status", "empnn_source", "empnn_warnings")
    return [
        {"material_id": n, "cif": text_from_atoms(a, n), **{key: str(a.info.get(key, "")) for key in keys}}
        for a, n in zip(structures, _names(structures), strict=True)
    ]


def _write_csv(path: Path, structures: Sequence[Atoms]) -> None:
    rows = _rows(structures)
    with _open(path) as handle:
        table = csv.DictWriter(handle, fieldnames=list(rows[0]))
        table.writeheader()
        table.writerows(rows)


def _write_parquet(path: Path, structures: Sequence[Atoms]) -> None:
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(_rows(structures)), path)


def _write_database(path: Path, structures: Sequence[Atoms]) -> None:
    """An ASE database; info goes to key-value pairs where it can, so that it can be selected by, else to data."""
    with ase.db.connect(path, append=False, serial=True) as database:
        for atoms in structures:
            pairs = {key: value for key, value in atoms.info.items() if _is_pair(key, value)}
            data = {key: value for key, value in atoms.info.items() if key not in pairs}
            arrays = {name: array for name, array in atoms.arrays.items() if name not in _STANDARD_ARRAYS}
            database.write(atoms, key_value_pairs=pairs, data={**data, **({"arrays": arrays} if arrays else {})})


def _is_pair(key: str, value: object) -> bool:
    try:
        check({key: value})
    except ValueError:
        return False
    return True


_TEXT_WRITERS: dict[str, Callable[[Path, Sequence[Atoms]], None]] = {
    ".extxyz": _write_extxyz,
    ".xyz": _write_extxyz,
    ".cif": _write_cif,
    ".csv": _write_csv,
}
_WRITERS: dict[str, Callable[[Path, Sequence[Atoms]], None]] = {
    **_TEXT_WRITERS,
    **{f"{suffix}.gz": write for suffix, write in _TEXT_WRITERS.items()},
    ".parquet": _write_parquet,
    ".json": _write_database,
    ".db": _write_database,
}
