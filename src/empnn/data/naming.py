"""What crystals are called after their files: the stem, or the folder where programs give files always one name."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from empnn.files import COMPRESSED

STREAM = "-"
"""Standard input or output instead of a file."""
_OF_VASP = ("POSCAR", "CONTCAR")
_OF_A_FOLDER = (*_OF_VASP, "OUTCAR", "XDATCAR", "vasprun.xml")
"""Names that say nothing but what VASP made the file for."""
_STREAM_NAME = "stdin"


def is_poscar(path: Path) -> bool:
    """Whether VASP, or who named a file after its files, would take this for one: POSCAR_2, Si_CONTCAR.gz."""
    name = _uncompressed(path).name
    return name.startswith(_OF_VASP) or name.endswith(_OF_VASP)


def names_of(files: Sequence[Path]) -> list[str]:
    """A name for each file: its path below the folder that all have in common, without endings.

    `a.cif` is `a`; `run1/POSCAR` and `run2/POSCAR` are `run1` and `run2`; `x/a.cif` and `y/a.cif` are `x/a` and `y/a`.
    Where two would be called alike (`a.cif` and `a.vasp`, POSCAR and CONTCAR of a folder), whole names tell them apart.
    """
    bare = [None if str(file) == STREAM else _bare(file) for file in files]
    if not any(bare):
        return [_STREAM_NAME] * len(files)
    folder = os.path.commonpath([path.parent for path in bare if path is not None])
    counts = Counter(_bare(file) for file in set(map(_absolute, files)))
    named = [
        path if path is None or counts[path] == 1 else _absolute(file) for file, path in zip(files, bare, strict=True)
    ]
    return [_STREAM_NAME if path is None else path.relative_to(folder).as_posix() for path in named]


def numbered(name: str, index: int) -> str:
    """The name of one of several structures of a file, by its place there."""
    return f"{name}-{index:04d}"


def is_called(file: str, name: str) -> bool:
    """Whether the path of a file ends in a name, with or without its endings."""
    return f"/{_bare(Path(file)).as_posix()}".endswith(f"/{name}") or f"/{file}".endswith(f"/{name}")


def _bare(file: Path) -> Path:
    """The absolute path without endings; that of the folder where the name says nothing."""
    path = _uncompressed(_absolute(file))
    if path.name in _OF_A_FOLDER:
        return path.parent if path.parent.name else path
    ends_otherwise = is_poscar(path) and path.suffix.lower() not in (".vasp", ".poscar")
    return path if ends_otherwise else path.with_suffix("")


def _absolute(file: Path) -> Path:
    return Path(os.path.abspath(file))  # noqa: PTH100 - links keep their names


def _uncompressed(path: Path) -> Path:
    return path.with_suffix("") if path.suffix.lower() in COMPRESSED else path
