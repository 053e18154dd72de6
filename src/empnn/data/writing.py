"""Crystals to files: written beside the target, then renamed, so that nothing is ever half-written."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import ase.io
from ase import Atoms
from ase.io.formats import filetype

from empnn.errors import ConfigError

_SINGLE = ("vasp", "espresso-in", "aims", "castep-cell")


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """A temporary path of the same suffix in the same folder that takes the name `path` when the block succeeds.

    Raises:
        OSError: If the folder does not exist or cannot be written to, or the disk is full; `path` is untouched then.
    """
    target = Path(path)
    if not target.parent.is_dir():
        raise FileNotFoundError(f"{target}: the folder {target.parent} does not exist; create it")
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=f".{target.name}")
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        mask = os.umask(0)
        os.umask(mask)
        temporary.chmod(0o666 & ~mask)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def writer(path: str | Path) -> Callable[[Sequence[Atoms]], None]:
    """A function that writes structures to a file in the format its name tells.

    Raises:
        ConfigError: If the name tells no format that can be written.
    """
    target = Path(path)
    try:
        form = filetype(target.name, read=False)
    except ase.io.formats.UnknownFileTypeError:
        raise ConfigError(f"{target}: the name tells no format; use .extxyz, .cif, .vasp, .traj or .json") from None

    def write(structures: Sequence[Atoms]) -> None:
        if form in _SINGLE and len(structures) > 1:
            raise ConfigError(f"{target}: {form} holds one structure, not {len(structures)}; write .extxyz instead")
        with replacing(target) as temporary:
            if structures:
                ase.io.write(temporary, list(structures), format=form)

    return write
