"""Arrays in one safetensors file that is written from disk to disk, verified, and memory-mapped."""

from __future__ import annotations

import json
import tempfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from math import prod
from pathlib import Path
from typing import IO, Any, overload

import numpy as np

from empnn.files import replacing

Layout = dict[str, tuple[str, Any, tuple[int, ...]]]
"""The arrays of a file: their safetensors and numpy types and the shape of one item."""


class Spool:
    """Arrays that grow on disk, item by item, with their checksums; they vanish when the context is left."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self._opened = ExitStack()
        self._files = {name: self._opened.enter_context(tempfile.TemporaryFile()) for name in layout}  # noqa: SIM115
        self._checksums = dict.fromkeys(layout, 0)
        self._lengths = dict.fromkeys(layout, 0)

    def __enter__(self) -> Spool:
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()

    def append(self, name: str, items: np.ndarray) -> None:
        """Add items to an array."""
        data = np.ascontiguousarray(items, dtype=self.layout[name][1])
        self._files[name].write(data.tobytes())
        self._checksums[name] = zlib.crc32(data.tobytes(), self._checksums[name])
        self._lengths[name] += len(data)

    def append_lines(self, name: str, lines: Sequence[str]) -> None:
        """Add lines of text to an array of bytes."""
        text = "".join(line.replace("\n", " ") + "\n" for line in lines)
        self.append(name, np.frombuffer(text.encode("utf-8", "replace"), dtype=np.uint8))

    def arrays(self) -> dict[str, np.ndarray]:
        """The arrays in memory."""
        for file in self._files.values():
            file.seek(0)
        return {
            name: np.fromfile(file, dtype=self.layout[name][1]).reshape(-1, *self.layout[name][2])
            for name, file in self._files.items()
        }

    def mapped(self) -> dict[str, np.ndarray]:
        """The arrays, memory-mapped; they are there until nobody needs them, also when the context has been left."""
        arrays: dict[str, np.ndarray] = {}
        for name, file in self._files.items():
            _, dtype, item = self.layout[name]
            shape = (self._lengths[name], *item)
            file.flush()
            arrays[name] = np.memmap(file, dtype, "r", 0, shape) if shape[0] else np.empty(shape, dtype)
        return arrays

    def stored(self, path: Path) -> dict[str, np.ndarray]:
        """The arrays in a file, or in memory where it cannot be written: that costs time, not the run."""
        return (load_arrays(path, self.layout) if self._store(path) else None) or self.arrays()

    def _store(self, path: Path) -> bool:
        sums = {f"crc32_{name}": str(value) for name, value in self._checksums.items()}
        header: dict[str, Any] = {"__metadata__": sums}
        end = 0
        for name, (kind, dtype, item) in self.layout.items():
            begin, end = end, end + self._lengths[name] * _bytes_per_item(dtype, item)
            header[name] = {"dtype": kind, "shape": [self._lengths[name], *item], "data_offsets": [begin, end]}
        text = json.dumps(header).encode()
        text += b" " * (-len(text) % 8)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with replacing(path) as temporary, temporary.open("wb") as out:
                out.write(len(text).to_bytes(8, "little") + text)
                for file in self._files.values():
                    file.seek(0)
                    out.writelines(_blocks(file))
        except OSError:
            return False
        return True


class Lines(Sequence[str]):
    """The lines of an array of bytes as `Spool.append_lines` made it, each decoded when it is asked for."""

    def __init__(self, text: np.ndarray) -> None:
        self._text = text
        self._ends = np.flatnonzero(text == ord("\n"))

    def __len__(self) -> int:
        return len(self._ends)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        place = range(len(self))[index]
        start = int(self._ends[place - 1]) + 1 if place else 0
        return bytes(self._text[start : self._ends[place]]).decode()


def load_arrays(path: Path, layout: Layout) -> dict[str, np.ndarray] | None:
    """The arrays of a file, memory-mapped; None if there is none or a byte of it is wrong."""
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(length))
            for name, (_, dtype, item) in layout.items():
                begin, end = header[name]["data_offsets"]
                if end - begin != header[name]["shape"][0] * _bytes_per_item(dtype, item):
                    return None
                checksum, read = 0, 0
                for block in _blocks(file, end - begin):
                    checksum, read = zlib.crc32(block, checksum), read + len(block)
                if read != end - begin or str(checksum) != header["__metadata__"][f"crc32_{name}"]:
                    return None
            # Mapped from the open file: another process may put a new one in its place.
            arrays: dict[str, np.ndarray] = {}
            for name, (_, dtype, item) in layout.items():
                shape = (header[name]["shape"][0], *item)
                offset = 8 + length + header[name]["data_offsets"][0]
                arrays[name] = np.memmap(file, dtype, "r", offset, shape) if shape[0] else np.empty(shape, dtype)
        return arrays
    except (OSError, KeyError, TypeError, ValueError, OverflowError, MemoryError):
        return None


def _bytes_per_item(dtype: Any, item: tuple[int, ...]) -> int:
    return prod(item) * int(np.dtype(dtype).itemsize)


def _blocks(file: IO[bytes], size: int | None = None) -> Iterator[bytes]:
    """The next bytes of a file, a mebibyte at a time."""
    left = size
    while block := file.read(1 << 20 if left is None else min(left, 1 << 20)):
        left = None if left is None else left - len(block)
        yield block
