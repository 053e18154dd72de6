"""Where structures go, with a note on each: a file, a folder of files, or a stream."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from ase import Atoms

from empnn.bulk.folder import Folder, FolderOutput
from empnn.bulk.resumable import PartedOutput
from empnn.data.naming import STREAM
from empnn.data.writing import FORMATS, Copy, Writer


@runtime_checkable
class Sink(Protocol):
    """What takes structures in the order of the input.

    Attributes:
        complete: Whether an earlier run has done everything.
        written: Structures in the output so far.
        discarded: Records that a run that was stopped had done, and that are done again.
        replaced: Files that were there before.
    """

    complete: bool
    written: int
    discarded: int
    replaced: int

    def journal(self) -> Iterator[dict[str, Any]]:
        """What earlier runs noted of each input record, in order."""
        ...

    def losses(self, atoms: Atoms | Copy, name: str) -> list[str]:
        """Notes on what the format has no place for."""
        ...

    def add(self, note: dict[str, Any], atoms: Atoms | Copy | None, name: str) -> None:
        """Take what became of the next input record: a note, and the structure of this name unless there is none.

        Raises:
            CrystalError: If the structure cannot be written; nothing is taken then.
        """
        ...


class Stream:
    """Extxyz on standard output, as it comes."""

    def __init__(self) -> None:
        self._write = Writer(Path(STREAM), FORMATS[".extxyz"])
        self.complete = False
        self.written = 0
        self.discarded = 0
        self.replaced = 0

    def journal(self) -> Iterator[dict[str, Any]]:
        """Nothing: what is gone is gone."""
        yield from ()

    def losses(self, atoms: Atoms | Copy, name: str) -> list[str]:
        """Notes on what the format has no place for."""
        return self._write.losses(atoms)

    def add(self, note: dict[str, Any], atoms: Atoms | Copy | None, name: str) -> None:
        """Print the structure.

        Raises:
            CrystalError: If the format cannot hold it.
        """
        if atoms is not None:
            sys.stdout.write(self._write.prepared(atoms))
            self.written += 1


def opened(
    output: Path | Folder, inputs: Sequence[Path], settings: dict[str, Any], resume: bool, records: int | None
) -> AbstractContextManager[Sink]:
    """What takes the structures of some files, and keeps so many of a single file together; see `process`."""
    if isinstance(output, Folder):
        return FolderOutput(output, inputs, settings, resume)
    return nullcontext(Stream()) if str(output) == STREAM else PartedOutput(output, settings, resume, records)
