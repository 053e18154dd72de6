"""Crystals divided into the files of a data folder, whole groups at a time."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from empnn.crystals import Crystals
from empnn.data.curation.composition import composition_groups
from empnn.data.curation.dedupe import duplicate_groups
from empnn.data.curation.usable import Collection
from empnn.data.sets import SPLITS, is_data_folder
from empnn.data.writing import writer
from empnn.errors import ConfigError
from empnn.processes import Report

KINDS = ("random", "composition", "duplicates")
"""What must not be divided between splits: nothing, a composition, or duplicates of one crystal."""
FORMATS = ("csv.gz", "csv", "extxyz", "parquet")


def parse_fractions(text: str) -> tuple[float, float, float]:
    """Fractions of train, val and test, of which the last may be left out: `0.8,0.1,0.1`.

    Raises:
        ConfigError: If they are no fractions, do not add up to 1, or leave nothing for training.
    """
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        values = []
    values += [0.0] * (len(values) == 2)
    if len(values) != 3 or not all(0 <= value <= 1 for value in values) or abs(sum(values) - 1) > 1e-6:
        raise ConfigError(f"`fractions` {text}: must be two or three numbers that add up to 1, such as 0.8,0.1,0.1")
    if not values[0]:
        raise ConfigError(f"`fractions` {text}: the first one, for train, must be more than 0")
    return values[0], values[1], values[2]


def check_kind(by: str) -> None:
    """Make sure that there is such a kind of groups.

    Raises:
        ConfigError: If it is none of `KINDS`.
    """
    if by not in KINDS:
        raise ConfigError(f"`by` {by}: must be one of {', '.join(KINDS)}")


def groups_by(by: str, crystals: Crystals, workers: int = 1, on_progress: Report | None = None) -> np.ndarray:
    """The number of the group of each structure (structures,), 0, 1, ...; see `KINDS`.

    Raises:
        ConfigError: If there is no such kind.
    """
    check_kind(by)
    if by == "random":
        return np.arange(len(crystals))
    if by == "composition":
        return composition_groups(crystals)
    first = duplicate_groups(crystals, None, workers, on_progress)
    return np.unique(first, return_inverse=True)[1].reshape(-1)


def check_target(folder: Path, ending: str) -> None:
    """Make sure that splits can be written to a folder.

    Raises:
        ConfigError: If it holds splits, is a file, cannot be made, or the format is none of `FORMATS`.
    """
    if ending not in FORMATS:
        raise ConfigError(f"`ending` {ending}: must be one of {', '.join(FORMATS)}")
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder}: it is a file; name a folder")
    if is_data_folder(folder):
        raise ConfigError(f"{folder}: it holds splits already; choose another folder or move them away")
    if not folder.is_dir() and not folder.absolute().parent.is_dir():
        raise ConfigError(f"{folder}: the folder {folder.absolute().parent} does not exist; create it")


def write_splits(
    collection: Collection, split_of: Sequence[int] | np.ndarray, folder: Path, ending: str
) -> dict[str, Path]:
    """Write the files of a data folder; each appears when all are complete, `train`, which makes it one, last.

    Args:
        collection: The crystals; those of a split stay in order and keep their identifiers and info.
        split_of: The split of each, as a position in `SPLITS`.
        folder: Where to; it is made if it does not exist.
        ending: One of `FORMATS`.

    Returns:
        The files that were written, by split.

    Raises:
        ConfigError: See `check_target`.
        OSError: If something cannot be written.
    """
    check_target(folder, ending)
    made = not folder.is_dir()
    if made:
        folder.mkdir()
    written: dict[str, Path] = {}
    try:
        with tempfile.TemporaryDirectory(dir=folder, prefix=".split-") as temporary:
            for number, split in enumerate(SPLITS):
                positions = np.flatnonzero(np.asarray(split_of) == number)
                if len(positions):
                    with writer(Path(temporary) / f"{split}.{ending}").growing() as growing:
                        for atoms in collection.atoms(positions):
                            growing.add(atoms)
                    written[split] = folder / f"{split}.{ending}"
            for split in reversed(written):
                (Path(temporary) / f"{split}.{ending}").replace(written[split])
    except OSError as error:
        raise OSError(error.errno, error.strerror or str(error), str(folder)) from None
    finally:
        if made and not any(folder.iterdir()):
            folder.rmdir()
    return written
