"""Parsed data sets on disk: ragged arrays in one memory-mapped file, keyed by the content they came from."""

from __future__ import annotations

import hashlib
import json
import tempfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, islice
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from torch import Tensor

from empnn import crystals
from empnn.checks.refusals import refusals
from empnn.crystals import CrystalBatch
from empnn.data import reading
from empnn.data.formats.cif.plain import PlainCrystals
from empnn.data.records import Entry
from empnn.errors import ConfigError, CrystalError
from empnn.files import cache_folder, replacing
from empnn.ragged import within

CACHE_VERSION = "6"
"""To be raised when readers read anything otherwise, too."""

_CHUNK = 4096
"""Structures that are parsed and checked together."""
_LAYOUT: dict[str, tuple[str, Any, tuple[int, ...]]] = {
    "cell": ("F64", np.float64, (3, 3)),
    "frac": ("F64", np.float64, (3,)),
    "starts": ("I64", np.int64, ()),
    "numbers": ("U8", np.uint8, ()),
    "ids": ("U8", np.uint8, ()),
    "refused": ("U8", np.uint8, ()),
}
"""The arrays of a cache file: their safetensors and numpy types and the shape of one item."""


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
    def elements(self) -> list[int]:
        """Atomic numbers that occur, ascending; looked for once."""
        parts = np.array_split(np.arange(len(self)), len(self) // _CHUNK + 1)
        return sorted({number for part in parts for number in np.unique(self.select(part).numbers).tolist()})

    def subset(self, index: Sequence[int] | np.ndarray) -> StoredCrystals:
        """Some of the structures, without copying them."""
        return StoredCrystals(self.arrays, np.asarray(self._positions(np.asarray(index, dtype=np.int64))))

    def select(self, index: Sequence[int] | np.ndarray) -> CrystalBatch:
        """The structures at the given positions, in that order; a position may occur more than once."""
        chosen = self._positions(np.asarray(index, dtype=np.int64))
        starts = self.arrays["starts"]
        sizes = starts[chosen + 1] - starts[chosen]
        batch = np.repeat(np.arange(len(chosen)), sizes)
        atoms = starts[chosen][batch] + within(sizes)
        return CrystalBatch(
            cell=torch.from_numpy(self.arrays["cell"][chosen]),
            frac=torch.from_numpy(self.arrays["frac"][atoms]),
            numbers=torch.from_numpy(self.arrays["numbers"][atoms].astype(np.int64)),
            batch=torch.from_numpy(batch),
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
        return _lines(self.id_lines)

    @cached_property
    def crystals(self) -> CrystalBatch:
        """The structures in memory."""
        return self.stored.select(np.arange(len(self.stored)))


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
    for file in files:
        if (file.exists() and not file.is_dir() and not file.is_file()) or str(file) == reading.STREAM:
            raise ConfigError(f"{file}: a stream can be read once only; save it to a file and name that")
        if not file.is_file():
            raise ConfigError(f"{file}: no such file; check the path")
    cached = cache_folder() / f"{_content_key(files)}-v{CACHE_VERSION}.safetensors"
    arrays = _load(cached)
    if arrays is None:
        with ExitStack() as opened:
            spool = _Spool({name: opened.enter_context(tempfile.TemporaryFile()) for name in _LAYOUT})
            _parse(files, spool)
            arrays = (_load(cached) if _store(spool, cached) else None) or spool.arrays()
    refused = tuple(_line_with_file(line, files) for line in _lines(arrays["refused"]))
    return CrystalSet(StoredCrystals(arrays), refused, bytes(arrays["ids"]))


def _content_key(files: Sequence[Path]) -> str:
    """Digest of the contents and of the suffixes, which decide how they are parsed."""
    digest = hashlib.sha256()
    for file in files:
        try:
            with file.open("rb") as handle:
                digest.update(hashlib.file_digest(handle, "sha256").digest())
        except OSError as error:
            raise ConfigError(f"{file}: cannot be read ({error.strerror})") from None
        digest.update("".join(file.suffixes).lower().encode())
    return digest.hexdigest()[:32]


class _Spool:
    """Arrays that grow on disk, item by item, with their checksums."""

    def __init__(self, files: dict[str, IO[bytes]]) -> None:
        self.files = files
        self.checksums = dict.fromkeys(files, 0)
        self.lengths = dict.fromkeys(files, 0)

    def append(self, name: str, items: np.ndarray) -> None:
        data = np.ascontiguousarray(items, dtype=_LAYOUT[name][1])
        self.files[name].write(data.tobytes())
        self.checksums[name] = zlib.crc32(data.tobytes(), self.checksums[name])
        self.lengths[name] += len(data)

    def append_lines(self, name: str, lines: Sequence[str]) -> None:
        text = "".join(line.replace("\n", " ") + "\n" for line in lines)
        self.append(name, np.frombuffer(text.encode("utf-8", "replace"), dtype=np.uint8))

    def arrays(self) -> dict[str, np.ndarray]:
        """The arrays in memory."""
        for file in self.files.values():
            file.seek(0)
        return {
            name: np.fromfile(file, dtype=_LAYOUT[name][1]).reshape(-1, *_LAYOUT[name][2])
            for name, file in self.files.items()
        }


def _parse(files: Sequence[Path], spool: _Spool) -> None:
    """Read files; a line about a refused structure names its file by number, for the same content may lie elsewhere."""
    entries = (
        (number, index, entry) for number, file in enumerate(files) for index, entry in enumerate(reading.entries(file))
    )
    kept, atoms = 0, 0
    first_refusals: list[str] = []
    spool.append("starts", np.zeros(1))
    for first in entries:
        batch, ids, lines = _parsed(chain([first], islice(entries, _CHUNK - 1)), files)
        kept += len(batch)
        spool.append("cell", batch.cell.numpy())
        spool.append("frac", batch.frac.numpy())
        spool.append("numbers", batch.numbers.numpy())
        spool.append("starts", batch.starts.numpy()[1:] + atoms)
        atoms += batch.n_atoms
        spool.append_lines("ids", ids)
        spool.append_lines("refused", lines)
        first_refusals += lines[: 1 - len(first_refusals)]
    if not kept:
        refused = bytes(spool.arrays()["refused"]).count(b"\n")
        more = f" (and {refused - 1} more)" if refused > 1 else ""
        raise ConfigError(_line_with_file(first_refusals[0], files) + more)


def _parsed(
    chunk: Iterable[tuple[int, int, Entry]], files: Sequence[Path]
) -> tuple[CrystalBatch, list[str], list[str]]:
    """The usable crystals of some entries, their identifiers, and the lines about the others."""
    plain, others = PlainCrystals(), []
    origins: list[tuple[int, int]] = []
    ids: list[str] = []
    readable: list[int] = []
    place: list[int] = []
    reasons: dict[int, str] = {}
    for position, (number, index, entry) in enumerate(chunk):
        if entry.cif is not None and plain.add(entry.cif):
            identifier = entry.id
            place.append(-len(plain.sizes))
        else:
            record = entry.record(str(files[number]), index)
            identifier = record.id
            try:
                if record.atoms is None:
                    raise CrystalError(str(record.error))
                others.append(crystals.from_atoms(record.atoms))
                place.append(len(others) - 1)
            except CrystalError as error:
                reasons[position] = str(error)
        origins.append((number, index))
        ids.append(identifier or "")
        if position not in reasons:
            readable.append(position)
    n_plain = len(plain.sizes)
    order = [-p - 1 if p < 0 else n_plain + p for p in place]
    batch = CrystalBatch.cat([crystals.from_ragged(*plain.arrays()), *others]).select(order)
    for position, reason in zip(readable, refusals(batch), strict=True):
        if reason is not None:
            reasons[position] = reason
    kept = [row for row, position in enumerate(readable) if position not in reasons]
    names = [ids[readable[row]] for row in kept]
    lines = []
    for position in sorted(reasons):
        number, index = origins[position]
        label = f"[{index}] ({ids[position]})" if ids[position] else f"[{index}]"
        lines.append(f"{number}\t{label}: {reasons[position]}")
    return batch.select(kept), names, lines


def _lines(text: np.ndarray | bytes) -> tuple[str, ...]:
    return tuple(bytes(text).decode().split("\n")[:-1])


def _line_with_file(line: str, files: Sequence[Path]) -> str:
    number, _, rest = line.partition("\t")
    return f"{files[int(number)]}{rest}"


def _store(spool: _Spool, path: Path) -> bool:
    """Write the cache file; one that cannot be written costs time, not the run."""
    header: dict[str, Any] = {"__metadata__": {f"crc32_{name}": str(value) for name, value in spool.checksums.items()}}
    end = 0
    for name, (kind, dtype, item) in _LAYOUT.items():
        begin, end = end, end + spool.lengths[name] * np.dtype(dtype).itemsize * _per_item(name)
        header[name] = {"dtype": kind, "shape": [spool.lengths[name], *item], "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary, temporary.open("wb") as out:
            out.write(len(text).to_bytes(8, "little") + text)
            for name in _LAYOUT:
                spool.files[name].seek(0)
                out.writelines(_blocks(spool.files[name]))
    except OSError:
        return False
    return True


def _load(path: Path) -> dict[str, np.ndarray] | None:
    """The arrays of a cache file, memory-mapped; None if there is none or a byte of it is wrong."""
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(length))
            for name in _LAYOUT:
                begin, end = header[name]["data_offsets"]
                if end - begin != header[name]["shape"][0] * np.dtype(_LAYOUT[name][1]).itemsize * _per_item(name):
                    return None
                checksum, read = 0, 0
                for block in _blocks(file, end - begin):
                    checksum, read = zlib.crc32(block, checksum), read + len(block)
                if read != end - begin or str(checksum) != header["__metadata__"][f"crc32_{name}"]:
                    return None
            # Mapped from the open file: another process may put a new one in its place.
            arrays: dict[str, np.ndarray] = {}
            for name, (_, dtype, item) in _LAYOUT.items():
                shape = (header[name]["shape"][0], *item)
                offset = 8 + length + header[name]["data_offsets"][0]
                arrays[name] = np.memmap(file, dtype, "r", offset, shape) if shape[0] else np.empty(shape, dtype)
        return arrays
    except (OSError, KeyError, TypeError, ValueError, OverflowError, MemoryError):
        return None


def _per_item(name: str) -> int:
    return int(np.prod(_LAYOUT[name][2]))


def _blocks(file: IO[bytes], size: int | None = None) -> Iterator[bytes]:
    """The next bytes of a file, a mebibyte at a time."""
    left = size
    while block := file.read(1 << 20 if left is None else min(left, 1 << 20)):
        left = None if left is None else left - len(block)
        yield block
