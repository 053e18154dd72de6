"""All usable crystals of some files in memory, with all that the files say about them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from ase import Atoms

from empnn.checks.refusals import refusals
from empnn.crystals import CrystalBatch, from_atoms
from empnn.data.reading import files_of, read
from empnn.data.records import Record, named
from empnn.data.sets import parts_of
from empnn.errors import ConfigError, CrystalError

_CHUNK = 1024


@dataclass(frozen=True)
class Collection:
    """Usable crystals.

    Attributes:
        records: Where each comes from; its `atoms` hold what the file says about it.
        crystals: The same crystals as tensors.
        refused: `file[index] (id): what; what to do` for each of the others.
    """

    records: tuple[Record, ...]
    crystals: CrystalBatch
    refused: tuple[str, ...]

    def atoms(self, positions: Sequence[int]) -> list[Atoms]:
        """Some of the crystals to be written, with their identifiers in info."""
        found = (named(self.records[position]) for position in positions)
        return [atoms for atoms in found if atoms is not None]


def files_in(inputs: Sequence[str | Path]) -> list[Path]:
    """The files of files, folders, patterns, and of all splits of data folders and named sets.

    Raises:
        ConfigError: If the name of a set is given that is not there.
    """
    return [file for name in inputs for part in parts_of(name) for file in files_of(part)]


def collect(files: Sequence[Path]) -> Collection:
    """The usable crystals of files, in order.

    Raises:
        ConfigError: If there is none.
    """
    kept: list[Record] = []
    batches: list[CrystalBatch] = []
    refused: list[str] = []
    stream = read(*files)
    while chunk := list(islice(stream, _CHUNK)):
        readable: list[tuple[Record, CrystalBatch]] = []
        for record in chunk:
            try:
                readable.append((record, _crystal(record)))
            except CrystalError as error:
                refused.append(f"{record.label}: {error}")
        for (record, crystal), reason in zip(
            readable, refusals(CrystalBatch.cat([crystal for _, crystal in readable])), strict=True
        ):
            if reason is None:
                kept.append(record)
                batches.append(crystal)
            else:
                refused.append(f"{record.label}: {reason}")
    if not kept:
        more = f" (and {len(refused) - 1} more)" if len(refused) > 1 else ""
        raise ConfigError(refused[0] + more if refused else "no input; name files or folders of crystals")
    return Collection(tuple(kept), CrystalBatch.cat(batches), tuple(refused))


def _crystal(record: Record) -> CrystalBatch:
    if record.atoms is None:
        raise CrystalError(str(record.error))
    return from_atoms(record.atoms)
