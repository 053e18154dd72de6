"""Crystals of one composition, which belong together, and how such groups are drawn for splits."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np

from empnn.crystals import Crystals
from empnn.data.store import StoredCrystals
from empnn.errors import ConfigError

CHUNK = 4096
"""Structures that are looked at together."""


_DIGEST = 16
"""Bytes by which compositions are told apart: of 10^9, two have the same with a probability of 10^-21."""

Composition = tuple[bytes, bytes]
"""The elements and the reduced numbers of their atoms."""


def compositions(crystals: Crystals) -> list[Composition]:
    """The reduced composition of each structure. Invariant under Euc(3), SL3(Z), S_n and the choice of a supercell."""
    return list(_compositions(crystals))


def _compositions(crystals: Crystals) -> Iterator[Composition]:
    for chosen in chunks(len(crystals)):
        part = crystals.select(chosen)
        numbers = part.numbers.numpy()
        for start, stop in pairwise(part.starts.tolist()):
            elements, counts = np.unique(numbers[start:stop], return_counts=True)
            yield elements.tobytes(), (counts // np.gcd.reduce(counts)).tobytes()


def composition_groups(crystals: Crystals) -> np.ndarray:
    """A number per structure (structures,), the same for the same reduced composition; 0, 1, ... as they come.

    Invariant under Euc(3), SL3(Z), S_n and the choice of a supercell.
    """
    digests = bytearray()
    for elements, counts in _compositions(crystals):
        digests += hashlib.blake2b(elements + counts, digest_size=_DIGEST).digest()
    _, first, groups = np.unique(np.frombuffer(digests, f"S{_DIGEST}"), return_index=True, return_inverse=True)
    rank = np.empty(len(first), dtype=np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return np.asarray(rank[groups])


def draw_groups(groups: np.ndarray, fractions: Sequence[float], seed: int) -> np.ndarray:
    """Draw whole groups for splits of the given sizes.

    Groups come in random order, each to the split that lacks most. A split that would stay empty gets the smallest
    group of a split that has several.

    Args:
        groups: Number of the group of each structure (structures,), from 0.
        fractions: Part of the structures that each split should get.
        seed: Seed of the order.

    Returns:
        The split of each structure (structures,).

    Raises:
        ConfigError: If there are fewer groups than splits that should not be empty.
    """
    sizes = np.bincount(groups)
    wanted = [split for split, fraction in enumerate(fractions) if fraction > 0]
    if len(sizes) < len(wanted):
        raise ConfigError(
            f"{len(groups)} structures in {len(sizes)} groups cannot be divided into {len(wanted)} splits; "
            "add structures, ask for fewer splits, or divide by something else"
        )
    lacking = np.array(fractions) * len(groups)
    split_of = np.empty(len(sizes), dtype=np.int64)
    for group in np.random.default_rng([seed, len(groups)]).permutation(len(sizes)):
        split_of[group] = max(wanted, key=lambda split: lacking[split])
        lacking[split_of[group]] -= sizes[group]
    for split in wanted:
        if not (split_of == split).any():
            spare = np.bincount(split_of, minlength=len(fractions))[split_of] > 1
            split_of[np.where(spare, sizes, len(groups) + 1).argmin()] = split
    return np.asarray(split_of[groups])


def chunks(count: int) -> list[np.ndarray]:
    """The positions 0 ... count - 1, some thousands at a time."""
    return np.array_split(np.arange(count), count // CHUNK + 1)


def carve_development(crystals: Crystals, fraction: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the remaining training structures and of a development set.

    Structures of one composition go to the same side, so that the development set holds unseen compositions. If
    everything has the same composition (carbon), structures are drawn singly. If the first composition drawn is
    already more than `fraction`, the rarest one is held out.

    Raises:
        ConfigError: If a side would be empty.
    """
    groups = composition_groups(crystals)
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


def carve_alike(
    others: StoredCrystals, crystals: Crystals, rest: np.ndarray, held_out: np.ndarray, fraction: float, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Carve a development set from other crystals, so that no composition is held out here and trained on there.

    What is composed as the crystals that are held out is held out, too. If that is less than `fraction`, more is carved
    as `carve_development` does, and the crystals composed like that are trained on no more. A composition that is on
    both sides already, because there is no other, keeps nothing away.

    Args:
        others: Crystals to divide.
        crystals: Crystals that are divided.
        rest: Indices of those to train on.
        held_out: Indices of those held out.
        fraction: Part of the others to hold out.
        seed: Seed of what is drawn.

    Returns:
        Indices of the other crystals to train on and of those held out, and what is left of `rest`.

    Raises:
        ConfigError: If a side would be empty.
    """
    here, there = compositions(crystals), compositions(others)
    held = {here[index] for index in held_out} - {here[index] for index in rest}
    apart = np.array([key in held for key in there], dtype=bool)
    missing = max(1, round(fraction * len(others))) - apart.sum()
    left = np.flatnonzero(~apart)
    if missing > 0 and len(left):
        kept, more = carve_development(others.subset(left), missing / len(left), seed)
        held = {there[index] for index in left[more]} - {there[index] for index in left[kept]}
        apart[left[more]] = True
        rest = rest[[here[index] not in held for index in rest]]
    if apart.all() or not len(rest):
        raise ConfigError(
            "nothing is left to train on: crystals and pairs have the compositions of the development set"
        )
    return np.flatnonzero(~apart), np.flatnonzero(apart), rest
