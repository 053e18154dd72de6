"""Parsed data sets on disk: ragged arrays in one memory-mapped file, keyed by the content they came from."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from empnn.crystals import MAX_NUMBER, CrystalBatch, Crystals
from empnn.data import reading
from empnn.data.array_files import Layout, Spool, load_arrays
from empnn.data.naming import STREAM
from empnn.data.parsing import CHUNK, parsed, with_file
from empnn.errors import ConfigError
from empnn.files import cache_folder
from empnn.ragged import runs

CACHE_VERSION = "6"
"""To be raised when readers read anything otherwise, too."""
CRYSTALS: Layout = {
    "cell": ("F64", np.float64, (3, 3)),
    "frac": ("F64", np.float64, (3,)),
    "starts": ("I64", np.int64, ()),
    "numbers": ("U8", np.uint8, ()),
    "ids": ("U8", np.uint8, ()),
    "refused": ("U8", np.uint8, ()),
}
"""The arrays of crystals, their identifiers and those that were refused, a line each."""


@dataclass(frozen=True)
class StoredCrystals:
    """Crystals in ragged arrays that may lie on disk; nothing is in memory but what is selected.

    Attributes:
        arrays: `cell` (structures, 3, 3), `frac` (atoms, 3), `numbers` (atoms,), `starts` (structures + 1,).
        index: Positions of the structures that belong to this set; all if None.
    """

    arrays: dict[str, np.ndarray]
    index: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.arrays["cell"]) if self.index is None else len(self.index)

    @property
    def cell(self) -> Tensor:
        """Cells of all structures (structures, 3, 3), in memory."""
        return torch.from_numpy(np.array(self.arrays["cell"][self._positions(slice(None))]))

    @cached_property
    def structures_with(self) -> dict[int, int]:
        """In how many structures each atomic number occurs, ascending; looked for once."""
        counts = np.zeros(MAX_NUMBER + 1, dtype=np.int64)
        for part in np.array_split(np.arange(len(self)), len(self) // CHUNK + 1):
            crystals = self.select(part)
            once = np.unique((MAX_NUMBER + 1) * crystals.batch.numpy() + crystals.numbers.numpy())
            counts += np.bincount(once % (MAX_NUMBER + 1), minlength=len(counts))
        return {number: int(counts[number]) for number in np.flatnonzero(counts).tolist()}

    @property
    def elements(self) -> list[int]:
        """Atomic numbers that occur, ascending."""
        return list(self.structures_with)

    @property
    def whole(self) -> StoredCrystals:
        """The set that this one was taken from."""
        return StoredCrystals(self.arrays)

    @property
    def positions(self) -> np.ndarray:
        """Positions of the structures in the whole set."""
        return np.asarray(self._positions(slice(None)))

    def subset(self, index: Sequence[int] | np.ndarray) -> StoredCrystals:
        """Some of the structures, without copying them."""
        return StoredCrystals(self.arrays, np.asarray(self._positions(np.asarray(index, dtype=np.int64))))

    def select(self, index: Sequence[int] | np.ndarray) -> CrystalBatch:
        """The structures at the given positions, in that order; a position may occur more than once."""
        chosen = self._positions(np.asarray(index, dtype=np.int64))
        atoms, sizes = runs(self.arrays["starts"], chosen)
        return CrystalBatch(
            cell=torch.from_numpy(self.arrays["cell"][chosen]),
            frac=torch.from_numpy(self.arrays["frac"][atoms]),
            numbers=torch.from_numpy(self.arrays["numbers"][atoms].astype(np.int64)),
            batch=torch.from_numpy(np.repeat(np.arange(len(chosen)), sizes)),
        )

    def _positions(self, index: Any) -> Any:
        if self.index is not None:
            return self.index[index]
        return np.arange(len(self.arrays["cell"]))[index] if isinstance(index, slice) else index


@dataclass(frozen=True)
class CrystalSet:
    """Crystals with their identifiers and the records that were refused.

    Attributes:
        stored: The structures that could be read, in file order, wherever they lie.
        refused: `file[index] (id): what; what to do` for each of the others.
        id_lines: The identifiers, a line each.
    """

    stored: StoredCrystals
    refused: tuple[str, ...]
    id_lines: bytes

    @cached_property
    def ids(self) -> tuple[str, ...]:
        """The identifier of each structure, empty where it has none."""
        return lines_in(self.id_lines)

    @cached_property
    def crystals(self) -> CrystalBatch:
        """The structures in memory."""
        return self.stored.select(np.arange(len(self.stored)))


def content_digest(crystals: Crystals, names: Sequence[str] = ("sizes", "cell", "frac", "numbers")) -> str:
    """What tells crystals from others: a digest of these attributes of theirs, bit for bit and in order."""
    digest = hashlib.sha256()
    for start in range(0, len(crystals), CHUNK):
        part = crystals.select(np.arange(start, min(start + CHUNK, len(crystals))))
        for name in names:
            digest.update(np.ascontiguousarray(getattr(part, name).numpy()).data)
    return digest.hexdigest()[:32]


def load_file(path: str | Path) -> CrystalSet:
    """All crystals of a file, folder or pattern, parsed once and then taken from the cache.

    Raises:
        ConfigError: If it does not exist or holds no usable crystal.
    """
    return load_files([path])


def load_files(paths: Sequence[str | Path]) -> CrystalSet:
    """All crystals of several files, folders or patterns, parsed once and then taken from the cache.

    Raises:
        ConfigError: If one does not exist or holds no usable crystal.
    """
    files = [file for path in paths for file in reading.files_of(path)]
    check_files(files)
    cached = cache_folder() / f"{content_key(files)}-v{CACHE_VERSION}.safetensors"
    arrays = load_arrays(cached, CRYSTALS)
    if arrays is None:
        with Spool(CRYSTALS) as spool:
            _parse(files, spool)
            arrays = spool.stored(cached)
    refused = tuple(with_file(line, files) for line in lines_in(arrays["refused"]))
    return CrystalSet(StoredCrystals(arrays), refused, bytes(arrays["ids"]))


def check_files(files: Sequence[Path]) -> None:
    """Make sure that there are such files, which can be read more than once.

    Raises:
        ConfigError: If one does not exist or is a stream.
    """
    for file in files:
        if (file.exists() and not file.is_dir() and not file.is_file()) or str(file) == STREAM:
            raise ConfigError(f"{file}: a stream can be read once only; save it to a file and name that")
        if not file.is_file():
            raise ConfigError(f"{file}: no such file; check the path")


def content_key(files: Sequence[Path]) -> str:
    """Digest of the contents and of the suffixes, which decide how they are parsed.

    Raises:
        ConfigError: If one cannot be read.
    """
    digest = hashlib.sha256()
    for file in files:
        try:
            with file.open("rb") as handle:
                digest.update(hashlib.file_digest(handle, "sha256").digest())
        except OSError as error:
            raise ConfigError(f"{file}: cannot be read ({error.strerror})") from None
        digest.update("".join(file.suffixes).lower().encode())
    return digest.hexdigest()[:32]


def _parse(files: Sequence[Path], spool: Spool) -> None:
    """Read files, parse and check what is in them, and put it into arrays."""
    entries = (
        ((number, index), entry)
        for number, file in enumerate(files)
        for index, entry in enumerate(reading.entries(file))
    )
    kept, atoms = 0, 0
    first_refusals: list[str] = []
    spool.append("starts", np.zeros(1))
    for first in entries:
        found = parsed(chain([first], islice(entries, CHUNK - 1)), files)
        batch = found.crystals
        kept += len(batch)
        spool.append("cell", batch.cell.numpy())
        spool.append("frac", batch.frac.numpy())
        spool.append("numbers", batch.numbers.numpy())
        spool.append("starts", batch.starts.numpy()[1:] + atoms)
        atoms += batch.n_atoms
        lines = found.lines()
        spool.append_lines("ids", [found.ids[place] for place in found.kept])
        spool.append_lines("refused", lines)
        first_refusals += lines[: 1 - len(first_refusals)]
    if not kept:
        refused = bytes(spool.arrays()["refused"]).count(b"\n")
        more = f" (and {refused - 1} more)" if refused > 1 else ""
        raise ConfigError(with_file(first_refusals[0], files) + more)


def lines_in(text: np.ndarray | bytes) -> tuple[str, ...]:
    """The lines of a text in bytes."""
    return tuple(bytes(text).decode().split("\n")[:-1])
