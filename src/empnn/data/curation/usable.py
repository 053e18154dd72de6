"""All usable crystals of some files: the crystals in arrays on disk, what the files say about them read again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from ase import Atoms

from empnn.checks.refusals import refusals
from empnn.crystals import CrystalBatch, from_atoms
from empnn.data.array_files import Lines, Spool
from empnn.data.naming import names_of
from empnn.data.reading import files_of, located_in
from empnn.data.records import Record, named
from empnn.data.sets import parts_of
from empnn.data.store import CRYSTALS, StoredCrystals
from empnn.errors import ConfigError, CrystalError
from empnn.ragged import equal_runs

_CHUNK = 1024
_LAYOUT = {**CRYSTALS, "file": ("I64", np.int64, ()), "place": ("I64", np.int64, ())}


@dataclass(frozen=True)
class Source:
    """Where a crystal comes from: its file, the position in it, and its identifier, where it has one."""

    file: str
    index: int
    id: str | None


@dataclass(frozen=True)
class Collection:
    """Usable crystals. In memory are their identifiers, and where each comes from; what comes from streams, all of it.

    Attributes:
        files: The files they come from.
        crystals: The crystals.
        origins: For each (structures, 2), the number of its file and its position there; ascending.
        ids: The identifier of each, empty where it has none.
        refused: `file[index] (id): what; what to do` for each of the others.
        held: What came from streams, which can be read once only, by position.
    """

    files: tuple[Path, ...]
    crystals: StoredCrystals
    origins: np.ndarray
    ids: Lines
    refused: Lines
    held: dict[int, Atoms]

    def __len__(self) -> int:
        return len(self.crystals)

    def source(self, position: int) -> Source:
        """Where a crystal comes from."""
        file, index = self.origins[position].tolist()
        return Source(str(self.files[file]), index, self.ids[position] or None)

    def atoms(self, positions: Sequence[int] | np.ndarray) -> Iterator[Atoms]:
        """Some of the crystals to be written, with their identifiers in info and all that the files say; read again.

        Args:
            positions: Which ones, ascending.

        Raises:
            ConfigError: If a file has changed meanwhile.
        """
        chosen = np.asarray(positions, dtype=np.int64)
        names = names_of(self.files)
        files = self.origins[chosen, 0]
        for start, stop in equal_runs(files):
            number = int(files[start])
            if int(chosen[start]) in self.held:
                yield from (self.held[position] for position in chosen[start:stop].tolist())
            else:
                places = self.origins[chosen[start:stop], 1]
                yield from _read_again(self.files[number], names[number], places)


def _read_again(file: Path, name: str, places: np.ndarray) -> Iterator[Atoms]:
    """The crystals at some places of a file, ascending."""
    wanted = iter(places.tolist())
    place = next(wanted, None)
    for located in located_in([file], [name]):
        if place is None:
            return
        if located.index == place:
            atoms = named(located.record())
            if atoms is None:
                break
            yield atoms
            place = next(wanted, None)
    if place is not None:
        raise ConfigError(f"{file}: it has changed since it was read; begin again")


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
    held: dict[int, Atoms] = {}
    kept = atoms = 0
    records = _numbered(files)
    with Spool(_LAYOUT) as spool:
        spool.append("starts", np.zeros(1))
        while chunk := list(islice(records, _CHUNK)):
            usable, crystals, lines = _usable(chunk)
            for position, (number, record) in enumerate(usable, start=kept):
                if record.atoms is not None and not files[number].is_file():
                    held[position] = named(record) or record.atoms
            spool.append("cell", crystals.cell.numpy())
            spool.append("frac", crystals.frac.numpy())
            spool.append("numbers", crystals.numbers.numpy())
            spool.append("starts", crystals.starts.numpy()[1:] + atoms)
            spool.append("file", np.array([number for number, _ in usable]))
            spool.append("place", np.array([record.index for _, record in usable]))
            spool.append_lines("ids", [record.id or "" for _, record in usable])
            spool.append_lines("refused", lines)
            kept, atoms = kept + len(usable), atoms + crystals.n_atoms
        arrays = spool.mapped()
    refused = Lines(arrays["refused"])
    if not kept:
        more = f" (and {len(refused) - 1} more)" if len(refused) > 1 else ""
        raise ConfigError(refused[0] + more if refused else "no input; name files or folders of crystals")
    origins = np.stack([arrays["file"], arrays["place"]], axis=1)
    return Collection(tuple(files), StoredCrystals(arrays), origins, Lines(arrays["ids"]), refused, held)


def _numbered(files: Sequence[Path]) -> Iterator[tuple[int, Record]]:
    """All structures of files, each with the number of its file."""
    for number, (file, name) in enumerate(zip(files, names_of(files), strict=True)):
        for located in located_in([file], [name]):
            yield number, located.record()


def _usable(
    records: Sequence[tuple[int, Record]],
) -> tuple[list[tuple[int, Record]], CrystalBatch, list[str]]:
    """Those of some records that are usable, as crystals too, and a line about each of the others."""
    readable: list[tuple[int, Record]] = []
    batches: list[CrystalBatch] = []
    lines: list[str] = []
    for number, record in records:
        try:
            batches.append(_crystal(record))
            readable.append((number, record))
        except CrystalError as error:
            lines.append(f"{record.label}: {error}")
    batch = CrystalBatch.cat(batches)
    reasons = refusals(batch)
    lines += [f"{record.label}: {reason}" for (_, record), reason in zip(readable, reasons, strict=True) if reason]
    kept = [place for place, reason in enumerate(reasons) if not reason]
    return [readable[place] for place in kept], batch.select(kept), lines


def _crystal(record: Record) -> CrystalBatch:
    if record.atoms is None:
        raise CrystalError(str(record.error))
    return from_atoms(record.atoms)
