"""Benchmark data sets in folders, and the development set carved from their training split."""

from __future__ import annotations

import os
from itertools import pairwise
from pathlib import Path

import numpy as np

from empnn.crystals import Crystals
from empnn.data.cache import CrystalSet, load_file
from empnn.data.folders import data_folder
from empnn.errors import ConfigError

NAMES = ("carbon_24", "perov_5", "mp_20")
SPLITS = ("train", "val", "test")

_CHUNK = 4096
_ENDINGS = (".csv", ".csv.gz", ".parquet", ".extxyz")


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

    A name is looked for under `path`, else under `EMPNN_DATA`, else where `empnn data fetch` puts it.

    Raises:
        ConfigError: If it cannot be found; the message says what to set.
    """
    if path is None and name is None:
        raise ConfigError("no data: give data=NAME or data.path=FOLDER_OR_FILE")
    if name is None:
        found = Path(str(path))
        if not found.exists():
            raise ConfigError(f"data.path={path} does not exist")
        return found
    root = Path(path) if path else data_folder()
    folder = root if root.name == name and root.is_dir() else root / name
    if path or os.environ.get("EMPNN_DATA"):
        if not folder.is_dir():
            advice = f"; `empnn data fetch {name} --out {root}` puts it there" if name in NAMES else ""
            raise ConfigError(
                f"{folder} does not exist; data.path or EMPNN_DATA must name the folder that holds {name}{advice}"
            )
    elif not all(_split_files(folder, split) for split in SPLITS):
        raise ConfigError(
            f"data.name={name}: not in {folder} or incomplete; run `empnn data fetch {name}`, "
            f"or let data.path or the variable EMPNN_DATA name the folder that holds {name}"
        )
    return folder


def load_split(location: str | Path, split: str) -> CrystalSet:
    """A split of a data folder; a single file is its own (training) split.

    Raises:
        ConfigError: If the split does not exist or holds no usable crystal.
    """
    location = Path(location)
    return load_file(location if location.is_file() else split_file(location, split))


def carve_development(crystals: Crystals, fraction: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the remaining training structures and of a development set.

    Structures of one composition go to the same side, so that the development set holds unseen compositions. If
    everything has the same composition (carbon), structures are drawn singly. If the first composition drawn is
    already more than `fraction`, the rarest one is held out.

    Raises:
        ConfigError: If a side would be empty.
    """
    groups = _composition_groups(crystals)
    if groups.max(initial=0) == 0:
        groups = np.arange(len(crystals))
    order = np.random.default_rng([seed, len(crystals)]).permutation(groups.max(initial=-1) + 1)
    sizes = np.bincount(groups)[order]
    chosen = order[np.cumsum(sizes) <= max(1, round(fraction * len(crystals)))]
    if len(chosen) == 0:
        chosen = order[[sizes.argmin()]] if len(order) else order
    held_out = np.isin(groups, chosen)
    if held_out.all() or not held_out.any():
        raise ConfigError(f"{len(crystals)} structures are too few for data.dev_fraction={fraction}; add structures")
    return np.flatnonzero(~held_out), np.flatnonzero(held_out)


def _composition_groups(crystals: Crystals) -> np.ndarray:
    keys: dict[tuple[bytes, bytes], int] = {}
    groups: list[int] = []
    for chosen in np.array_split(np.arange(len(crystals)), len(crystals) // _CHUNK + 1):
        part = crystals.select(chosen)
        numbers = part.numbers.numpy()
        for start, stop in pairwise(part.starts.tolist()):
            elements, counts = np.unique(numbers[start:stop], return_counts=True)
            reduced = counts // np.gcd.reduce(counts)
            groups.append(keys.setdefault((elements.tobytes(), reduced.tobytes()), len(keys)))
    return np.array(groups, dtype=np.int64)
