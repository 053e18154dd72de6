"""From the configuration to the crystals and pairs of a run: what is trained on, and what selects the best weights."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from empnn.corruption.source import BeforeAfter
from empnn.data.curation.composition import carve_alike, carve_development
from empnn.data.pair_files import pair_files
from empnn.data.pairs import PairSet, load_pairs
from empnn.data.sets import is_data_folder, load_split, locate_all
from empnn.data.store import StoredCrystals, content_digest
from empnn.errors import ConfigError
from empnn.training.options import Config
from empnn.training.sources import Corruptions, Watch, unwatched, validated_kinds

_WHOLE = "whole:"
"""What the digest of the crystals of a run begins with if it is not one of their cells only."""

LEAST_CALIBRATION = 100
"""Crystals or pairs below which nothing is said of bounds."""

RARE, RARE_PART = 20, 1e-3
"""An element is rare that fewer crystals hold, and a smaller part of all."""

Part = tuple[StoredCrystals, PairSet | None]
Some = TypeVar("Some", StoredCrystals, PairSet)


@dataclass(frozen=True)
class RunData:
    """Crystals of a run.

    Attributes:
        corruptions: What the weights are fitted to, and what is done to it.
        select: What the best weights are chosen by.
        select_pairs: The pairs that do so, too.
        name: The data in words, for the card.
        refused: Messages about structures and pairs that could not be used.
        held_out: What the weights are not fitted to, and predicted errors are.
        calibration: What the bounds on predicted errors are calibrated by and nothing else uses; None if there are
            fewer than `LEAST_CALIBRATION` such crystals or pairs.
    """

    corruptions: Corruptions
    select: StoredCrystals
    select_pairs: PairSet | None
    name: str
    refused: tuple[str, ...]
    held_out: Part
    calibration: Part | None

    @property
    def train(self) -> StoredCrystals:
        """What the weights are fitted to."""
        return self.corruptions.crystals

    @property
    def train_pairs(self) -> PairSet | None:
        """The pairs that the weights are fitted to."""
        return self.corruptions.pairs

    @property
    def elements(self) -> list[int]:
        """Atomic numbers that occur in what the weights are fitted to, ascending."""
        found = set(self.train.elements)
        return sorted(found if self.train_pairs is None else found | set(self.train_pairs.before.elements))

    @property
    def rare_elements(self) -> dict[int, int]:
        """Elements that next to none of what the weights are fitted to holds, and how many do."""
        counts = dict(self.train.structures_with)
        total = len(self.train)
        if self.train_pairs is not None and self.train_pairs.relaxed.arrays is not self.train.arrays:
            total += len(self.train_pairs)
            for number, count in self.train_pairs.before.structures_with.items():
                counts[number] = counts.get(number, 0) + count
        return {number: n for number, n in sorted(counts.items()) if n < RARE and n < RARE_PART * total}

    @property
    def sizes(self) -> str:
        """How many crystals and pairs there are, in words."""
        train, select = [f"{len(self.train):,} crystals"], [f"{len(self.select):,}"]
        if self.train_pairs is not None and self.select_pairs is not None:
            train.append(f"{len(self.train_pairs):,} pairs")
            select.append(f"{len(self.select_pairs):,}")
            if self.train.arrays is self.train_pairs.relaxed.arrays:
                train, select = train[1:], select[1:]
        return f"{' and '.join(train)} to train on, {' and '.join(select)} to select by"

    def validation(self) -> dict[str, BeforeAfter]:
        """What the best weights are chosen by, for each kind of corruption."""
        kinds = validated_kinds(self.corruptions.config)
        return self.corruptions.validation(self.select, self.select_pairs, kinds=kinds)


def prepare(config: Config, watch: Watch = unwatched) -> RunData:
    """The training and selection crystals that a configuration names.

    Args:
        config: The configuration.
        watch: Who is told of long work on them, now and later.

    Raises:
        ConfigError: If they cannot be found or used.
    """
    crystals, pairs, refused = _load(config, "train")
    if config.data.select_on == "val":
        select, select_pairs, more = _load(config, "val")
        refused += more
    else:
        alone, seed = _pairs_only(config), config.train.seed
        (crystals, pairs), (select, select_pairs) = carved(crystals, pairs, config.data.dev_fraction, seed, alone)
    calibration = None
    if config.data.calibration_fraction * len(crystals) >= LEAST_CALIBRATION:
        rest, apart = carved(crystals, pairs, config.data.calibration_fraction, config.train.seed, _pairs_only(config))
        if len(apart[0]) >= LEAST_CALIBRATION:
            (crystals, pairs), calibration = rest, apart
    return RunData(
        Corruptions(config, crystals, pairs, watch),
        _first(select, config.train.validate_structures),
        None if select_pairs is None else _first(select_pairs, config.train.validate_structures),
        _name(config),
        refused,
        (select, select_pairs),
        calibration,
    )


def digest(crystals: StoredCrystals, pairs: PairSet | None = None, whole: bool = True) -> str:
    """What tells these training crystals and pairs from others; of their cells only for a run that noted no more."""
    if not whole:
        return content_digest(crystals, ["cell"])[:16]
    sets = [crystals] if pairs is None else [crystals, pairs.before, pairs.relaxed]
    return _WHOLE + "+".join(content_digest(part)[:16] for part in sets)


def is_whole(found: str) -> bool:
    """Whether a digest is one of whole crystals, not of their cells only."""
    return found.startswith(_WHOLE)


def _load(config: Config, split: str) -> tuple[StoredCrystals, PairSet | None, tuple[str, ...]]:
    """The crystals and pairs of a split, and what is said of those that cannot be used."""
    data = config.data
    pairs = None if data.pairs is None else load_pairs(pair_files(data.pairs, split))
    if pairs is not None and _pairs_only(config):
        return pairs.relaxed, pairs, pairs.refused
    places = locate_all(data.path, data.name)
    for place in places:
        if split != "train" and not is_data_folder(place):
            raise ConfigError(f"data.select_on={split} needs a data folder with a {split} split; {place} is none")
    loaded = load_split(places, split)
    return loaded.stored, pairs, loaded.refused + (() if pairs is None else pairs.refused)


def carved(
    crystals: StoredCrystals, pairs: PairSet | None, fraction: float, seed: int, pairs_only: bool = False
) -> tuple[Part, Part]:
    """What is left, and a part of compositions of its own.

    Args:
        crystals: The crystals.
        pairs: The pairs, if there are any.
        fraction: About how much becomes the part.
        seed: Of the draw.
        pairs_only: Whether the crystals are those of the pairs.
    """
    rest, held_out = carve_development(crystals, fraction, seed)
    if pairs is None:
        return (crystals.subset(rest), None), (crystals.subset(held_out), None)
    if pairs_only:
        return (crystals.subset(rest), pairs.subset(rest)), (crystals.subset(held_out), pairs.subset(held_out))
    kept, apart, rest = carve_alike(pairs.relaxed, crystals, rest, held_out, fraction, seed)
    return (crystals.subset(rest), pairs.subset(kept)), (crystals.subset(held_out), pairs.subset(apart))


def _pairs_only(config: Config) -> bool:
    return config.data.path is None and config.data.name is None


def _first(items: Some, limit: int) -> Some:
    return items.subset(np.arange(min(len(items), limit)))


def _name(config: Config) -> str:
    data = config.data
    names = [data.name] if data.name is not None else []
    if data.path is not None and not names:
        names = [place.name for place in locate_all(data.path, None)]
    if data.pairs is not None:
        files = pair_files(data.pairs)
        given = data.pairs if isinstance(data.pairs, list) else data.pairs.split(",")
        sides = dict.fromkeys(files[0] if len(files) == 1 else map(Path, given))
        names.append(f"pairs of {' and '.join(side.name.strip() for side in sides)}")
    return " + ".join(names)
