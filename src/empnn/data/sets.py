"""Data sets by name, in folders, files or lists of them, and the development set carved from a training split."""

from __future__ import annotations

import csv
import gzip
import os
from collections.abc import Sequence
from pathlib import Path

from empnn.data.reading import files_of
from empnn.data.store import CrystalSet, load_files
from empnn.errors import ConfigError
from empnn.files import data_folder
from empnn.names import suggestion

BENCHMARKS = ("carbon_24", "perov_5", "mp_20")
"""Sets that `empnn data fetch` downloads."""
SAMPLE = "sample"
"""The set that comes with the package: 200 crystals of the train split of each benchmark set."""
NAMES = (*BENCHMARKS, SAMPLE)
SPLITS = ("train", "val", "test")

_ENDINGS = (".csv", ".csv.gz", ".parquet", ".extxyz")
_SAMPLE_FOLDER = Path(__file__).parent / "sample_set"


def split_file(folder: str | Path, split: str) -> Path:
    """The file of a split in a data folder.

    Raises:
        ConfigError: If there is none.
    """
    found = _split_files(Path(folder), split)
    if not found:
        raise ConfigError(f"{folder}: no {split}.csv, {split}.csv.gz, {split}.parquet or {split}.extxyz in it")
    return found[0]


def _split_files(folder: Path, split: str) -> list[Path]:
    return [path for path in (folder / f"{split}{ending}" for ending in _ENDINGS) if path.is_file()]


def locate(path: str | None, name: str | None) -> Path:
    """The folder or file that `data.path` and `data.name` point to.

    A name is looked for under `path`, else under `EMPNN_DATA`, else where `empnn data fetch` puts it; without a path
    `sample` is what comes with the package.

    Raises:
        ConfigError: If it cannot be found; the message says what to set.
    """
    if path is None and name is None:
        raise ConfigError("no data: give data=NAME or data.path=FOLDER_OR_FILE")
    if name is None:
        found = Path(str(path))
        if not found.exists() and files_of(found) == [found]:
            raise ConfigError(f"data.path={path} does not exist{suggestion(str(path), NAMES)}")
        return found
    if path is None and name == SAMPLE:
        return _SAMPLE_FOLDER
    root = Path(path) if path else data_folder()
    folder = root if root.name == name and root.is_dir() else root / name
    if path or os.environ.get("EMPNN_DATA"):
        if not folder.is_dir():
            there = f"; `EMPNN_DATA={root} empnn data fetch {name}` puts it there"
            advice = there if name in BENCHMARKS else suggestion(name, NAMES)
            raise ConfigError(
                f"{folder} does not exist; data.path or EMPNN_DATA must name the folder that holds {name}{advice}"
            )
    elif name not in BENCHMARKS and not folder.is_dir():
        raise ConfigError(f"data.name={name}: there is no set of this name{suggestion(name, NAMES)}")
    elif not all(_split_files(folder, split) for split in SPLITS):
        raise ConfigError(
            f"data.name={name}: not in {folder} or incomplete; run `empnn data fetch {name}`, "
            f"or let data.path or the variable EMPNN_DATA name the folder that holds {name}"
        )
    return folder


def locate_all(path: str | Sequence[str] | None, name: str | None) -> list[Path]:
    """The folders, files and patterns that `data.path` and `data.name` point to, if there may be several.

    A path may be a list, also written with commas, of folders, files, patterns and names of sets.

    Raises:
        ConfigError: If one cannot be found, or a list is given together with a name.
    """
    if isinstance(path, str):
        path = [path] if "," not in path or Path(path).exists() else path.split(",")
    if path is None or (len(path) == 1 and (name is not None or path[0] not in NAMES)):
        return [locate(path[0] if path else None, name)]
    if name is not None:
        raise ConfigError(
            f"data.name={name} needs one data.path, the folder that holds {name}; put the name in the list"
        )
    if not path:
        raise ConfigError("data.path is an empty list; name folders or files")
    found = [resolve(item.strip()) for item in path]
    return [place if place.exists() else locate(str(place), None) for place in found]


def resolve(name: str | Path) -> Path:
    """The path that a word stands for: an existing file or folder of that name, else the set of that name.

    Raises:
        ConfigError: If it is the name of a set that is not there, or there is nothing of this name but a set of nearly
            the same.
    """
    path = Path(name)
    if path.exists() or files_of(path) != [path]:
        return path
    if str(name) in NAMES:
        return locate(None, str(name))
    if meant := suggestion(str(name), NAMES):
        raise ConfigError(f"{name}: no such file or folder{meant}")
    return path


def is_data_folder(path: Path) -> bool:
    """Whether a folder holds splits."""
    return any(_split_files(path, split) for split in SPLITS)


def parts_of(name: str | Path) -> list[Path]:
    """The splits of a data folder or named set that are there, or the path itself where it is something else.

    Raises:
        ConfigError: If it is the name of a set that is not there.
    """
    path = resolve(name)
    splits = [files[0] for split in SPLITS if (files := _split_files(path, split))]
    return splits or [path]


def load_split(location: str | Path | Sequence[Path], split: str) -> CrystalSet:
    """A split of a data folder, or of several one after the other.

    A file, pattern, or folder without splits is its own (training) split.

    Raises:
        ConfigError: If the split does not exist or holds no usable crystal.
    """
    places = [Path(location)] if isinstance(location, str | Path) else location
    return load_files([_split_of(place, split) for place in places])


def origins(location: str | Path, split: str) -> list[str]:
    """The set that each crystal of the sample set comes from; nothing where the location is something else.

    Raises:
        ConfigError: If it has no such split.
    """
    if resolve(location) != _SAMPLE_FOLDER:
        return []
    with gzip.open(split_file(_SAMPLE_FOLDER, split), "rt", encoding="utf-8") as table:
        return [row["set"] for row in csv.DictReader(table)]


def _split_of(place: Path, split: str) -> Path:
    plain = not place.is_dir() or (not is_data_folder(place) and files_of(place) != [place])
    return place if plain else split_file(place, split)
