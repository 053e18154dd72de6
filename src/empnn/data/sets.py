"""Benchmark data sets in folders, and the development set carved from their training split."""

from __future__ import annotations

import os
from itertools import pairwise
from pathlib import Path

import numpy as np

from empnn.crystals import Crystals
from empnn.data.cache import CrystalSet, load_file
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
    folder = Path(folder)
    for ending in _ENDINGS:
        candidate = folder / f"{split}{ending}"
        if candidate.is_file():
            return candidate
    raise ConfigError(f"{folder}: no {split}.csv, {split}.csv.gz, {split}.parquet or {split}.extxyz in it")


def locate(path: str | None, name: str | None) -> Path:
    """The folder or file that `data.path` and `data.name` (or `EMPNN_DATA`) point to.

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
    root = path or os.environ.get("EMPNN_DATA")
    if root is None:
        raise ConfigError(f"data.name={name} needs data.path or the variable EMPNN_DATA: the folder that holds {name}")
    folder = Path(root)
    if folder.name != name or not folder.is_dir():
        folder = folder / name
    if not folder.is_dir():
        raise ConfigError(f"{folder} does not exist; data.path or EMPNN_DATA must name the folder that holds {name}")
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
