"""Files and folders: where they are kept, written whole or not at all, as bytes, text and JSON."""

from __future__ import annotations

import bz2
import codecs
import gzip
import io
import json
import lzma
import math
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from empnn.errors import ConfigError, CrystalError, printable

COMPRESSED: dict[str, Callable[..., Any]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
"""What opens a compressed file, by suffix."""
_BUFFER = 1 << 20
_NO_TEXT = "not a text file; check its format"


def cache_folder() -> Path:
    """Where parsed files are kept: `EMPNN_CACHE`, or `empnn` in the user's cache directory."""
    if "EMPNN_CACHE" in os.environ:
        return Path(os.environ["EMPNN_CACHE"])
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "empnn"


def data_folder() -> Path:
    """The folder that holds the benchmark sets: `EMPNN_DATA`, or `data` in the cache folder."""
    return Path(os.environ.get("EMPNN_DATA") or cache_folder() / "data")


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


def check_outputs(outputs: Iterable[Path | None], inputs: Iterable[Path]) -> None:
    """Make sure, before anything is read, that files can be written, and replace neither an input nor each other.

    Args:
        outputs: Files to write; None is passed over.
        inputs: Files to read.

    Raises:
        ConfigError: If one of them cannot be what it is asked to be.
    """
    read_from = {os.path.realpath(path): path for path in inputs}
    same_file = [path for path in read_from.values() if path.exists()]
    taken: set[str] = set()
    for output in outputs:
        if output is None:
            continue
        check_place(output)
        place = os.path.realpath(output)
        if place in read_from or (output.exists() and any(output.samefile(path) for path in same_file)):
            raise ConfigError(f"{output} is also an input; choose another output")
        if place in taken:
            raise ConfigError(f"{output} is named as two outputs; choose another for one")
        taken.add(place)


def check_place(target: Path) -> None:
    """Make sure that a file can be written where it is asked to be.

    Raises:
        ConfigError: If it is a folder, there is no folder to write to, or no permission, or its name cannot be one.
    """
    if target.is_dir():
        raise ConfigError(f"{target}: it is a folder; name a file in it")
    check_parent(target)


def check_parent(target: Path) -> None:
    """Make sure that something can be made in the folder where it is asked to be.

    Raises:
        ConfigError: If there is no such folder, or no permission to write to it, or the name cannot be one.
    """
    if "\0" in str(target):
        raise ConfigError(f"{printable(str(target))}: a name cannot hold a null character; choose another")
    if not target.parent.is_dir():
        raise ConfigError(f"{target}: the folder {target.parent} does not exist; create it")
    if not os.access(target.parent, os.W_OK):
        raise ConfigError(f"{target}: no permission to write to the folder {target.parent}; choose another")


class BytesReader(io.BufferedReader):
    """A file as bytes, decompressed by its suffix, that knows how much of it was read."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb", buffering=0)
        self._size = os.fstat(self._file.fileno()).st_size
        compressed = COMPRESSED.get(path.suffix.lower())
        self._packed = None if compressed is None else io.BufferedReader(self._file)
        super().__init__(self._file if compressed is None else compressed(self._packed), _BUFFER)

    @property
    def share(self) -> float:
        """The part of the file, compressed as it is, that was read, from 0 to 1; 0 of what is no regular file."""
        return (self if self.raw is self._file else self._file).tell() / self._size if self._size else 0.0

    def close(self) -> None:
        """Close it, and the file below it, which bz2 and lzma leave open."""
        super().close()
        if self._packed is not None:
            self._packed.close()


def open_bytes(path: Path) -> BytesReader:
    """A file as bytes, decompressed by its suffix."""
    return BytesReader(path)


def read_text(path: Path) -> str:
    """The text of a file with Unix line ends; Latin-1 if it is not UTF-8, as in many a CIF with an author's name.

    Raises:
        CrystalError: If it is no text.
    """
    with open_bytes(path) as handle:
        return "".join(text_chunks(handle))


def text_chunks(handle: io.BufferedIOBase) -> Iterator[str]:
    """The same of an open file, about a mebibyte at a time; Latin-1 from the mebibyte on in which it is not UTF-8.

    Raises:
        CrystalError: If it is no text.
    """
    decoder: codecs.IncrementalDecoder = codecs.getincrementaldecoder("utf-8-sig")()
    lines = io.IncrementalNewlineDecoder(None, translate=True)
    last = False
    while not last:
        data = handle.read(_BUFFER)
        last = not data
        if b"\0" in data:
            raise CrystalError(_NO_TEXT)
        unread = decoder.getstate()[0]
        try:
            text = decoder.decode(data, last)
        except UnicodeDecodeError:
            decoder = codecs.getincrementaldecoder("latin-1")()
            text = decoder.decode(unread + data)
        yield lines.decode(text, last)


def with_unix_lines(text: str) -> str:
    """A text with Unix line ends and without the mark that some programs begin one with.

    Raises:
        CrystalError: If it is no text.
    """
    if "\0" in text:
        raise CrystalError(_NO_TEXT)
    return text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")


def json_text(value: object, allow_nan: bool = True) -> str:
    """A value in JSON, arrays as lists, objects of ASE and pymatgen as the dictionaries that they make of themselves.

    Raises:
        TypeError: If it is of a kind that JSON does not know.
        ValueError: If it is a number that JSON does not know, and `allow_nan` is not set.
    """
    return json.dumps(value, default=listed, allow_nan=allow_nan)


def listed(value: object) -> Any:
    """An array as lists, an object of ASE or pymatgen as a dictionary.

    Raises:
        TypeError: If it is neither.
    """
    for name in ("tolist", "todict", "as_dict"):
        if hasattr(value, name) and not isinstance(value, type):
            return getattr(value, name)()
    raise TypeError(f"JSON knows no {type(value).__name__}")


def with_nulls(content: Any) -> Any:
    """Content of a JSON document in which NaN and infinity, which JSON has no words for, have become null."""
    if isinstance(content, dict):
        return {key: with_nulls(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [with_nulls(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content
