"""Isostructural crystals, each laid onto one of its group, and partners among them (design, section 11).

Crystals are isostructural if they have the same space group and Wyckoff letters by species, modulo the normaliser, and
one can be laid onto the other without straining it or moving its atoms beyond all likeness. Each crystal is laid onto
the first of its group only: N crystals need N mappings, and two of a group are compared through the first.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from empnn import processes as crew
from empnn.crystals import Crystals
from empnn.data.array_files import Spool, load_arrays
from empnn.data.curation import laying
from empnn.data.curation.standard_form import StandardForm
from empnn.data.store import content_digest
from empnn.files import cache_folder

VERSION = "3"
"""To be raised when crystals are laid onto each other otherwise."""

_CHUNK = 256
_ROUNDS = 16
"""How often those of a key that are not alike are gathered about a crystal of their own."""

_SIDES: tuple[Literal["left"], Literal["right"]] = ("left", "right")

Rows = dict[str, np.ndarray]


@dataclass(frozen=True)
class Isostructural:
    """Crystals laid onto the first of their group.

    Attributes:
        arrays: By name, a row per crystal or, of `slot` and `frac`, per atom:
            `group`: the first crystal of the group it belongs to, as counted in the set that the groups are of;
            `key`: equal within a group, see `Standardised`; 0 if the space group is unknown;
            `formula`: equal for the same reduced composition;
            `basis` (3, 3): integer g of `frac @ g.T + shift`, `inv(g).T @ cell` that leads from the crystal's own basis
            to the group's, which is primitive; its determinant is negative if the crystal is laid mirrored;
            `cell` (3, 3): in the group's basis, exactly symmetric, turned somehow;
            `slot`: the site of the group's crystal that an atom is laid onto;
            `frac` (3,): places in the group's basis, exactly symmetric, in the image next to the site;
            `hall`, `numbers`: number of the Hall symbol, atomic numbers;
            `starts` (crystals + 1,): first atom of each crystal.
        index: The crystals of this table, as rows of the arrays.
    """

    arrays: Rows
    index: np.ndarray
    _order: np.ndarray = field(init=False, repr=False)
    _runs: np.ndarray = field(init=False, repr=False)
    _ends: np.ndarray = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_order", np.lexsort((self.formula, self.group)))
        object.__setattr__(self, "_runs", self._runs_of(self))
        weights = np.where(self.partners() > 0, 1 / np.sqrt(np.maximum(self._runs[1] - self._runs[0], 1)), 0.0)
        object.__setattr__(self, "_ends", np.cumsum(weights))

    def __len__(self) -> int:
        return len(self.index)

    @property
    def group(self) -> np.ndarray:
        """The group of each crystal (crystals,)."""
        return np.asarray(self.arrays["group"][self.index])

    @property
    def formula(self) -> np.ndarray:
        """A number for the reduced composition of each crystal (crystals,)."""
        return np.asarray(self.arrays["formula"][self.index])

    def subset(self, index: Sequence[int] | np.ndarray) -> Isostructural:
        """Some of the crystals; only they are partners."""
        return Isostructural(self.arrays, self.index[np.asarray(index, dtype=np.int64)])

    def partners(self, of: Isostructural | None = None) -> np.ndarray:
        """How many crystals of its group and of another reduced composition there are in this table for each crystal.

        Args:
            of: The table that has the crystals (crystals,); this one if None. See `attach`.
        """
        first, last, alike_first, alike_last = self._runs if of is None else self._runs_of(of)
        return np.asarray((last - first) - (alike_last - alike_first))

    def partner(self, crystals: np.ndarray, uniform: np.ndarray, of: Isostructural | None = None) -> np.ndarray:
        """One of the partners in this table of each crystal, all with the same probability; -1 if it has none.

        Args:
            crystals: Positions of the crystals in their table.
            uniform: Numbers drawn uniformly from [0, 1), one for each.
            of: Their table; this one if None. See `attach`.
        """
        first, last, alike_first, alike_last = (
            self._runs[:, crystals] if of is None else self._runs_of(of.subset(crystals))
        )
        alike = alike_last - alike_first
        count = last - first - alike
        place = first + np.minimum((uniform * count).astype(np.int64), count - 1)
        place += alike * (place >= alike_first)
        return np.where(count > 0, np.append(self._order, -1)[np.where(count > 0, place, -1)], -1)

    def draw(self, generator: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Pairs of crystals (count,), (count,) of one group and of different reduced compositions.

        The first is drawn with weight 1 / sqrt(size of its group) among those that have partners: a group of a hundred
        times as many crystals is drawn ten times as often, so that a few common structures do not drown the others, nor
        count as one. The second is drawn uniformly among its partners.

        Raises:
            ValueError: If no crystal has a partner.
        """
        if not self._ends.any():
            raise ValueError("no crystal has an isostructural partner of another composition")
        first = np.searchsorted(self._ends, generator.uniform(size=count) * self._ends[-1], side="right")
        return first, self.partner(first, generator.uniform(size=count))

    def _runs_of(self, others: Isostructural) -> np.ndarray:
        """Where in this table's order the group of each crystal of another one is, and there its composition.

        Returns:
            First and last + 1 of the group, and of the composition (4, crystals of the other table).
        """
        groups, formulas = np.unique(self.group), np.unique(self.formula)

        def codes(table: Isostructural) -> tuple[np.ndarray, np.ndarray]:
            group, formula = np.searchsorted(groups, table.group), np.searchsorted(formulas, table.formula)
            formula[~np.isin(table.formula, formulas)] = len(formulas)
            return group, group * (len(formulas) + 1) + formula

        own = [code[self._order] for code in codes(self)]
        pairs = zip(own, codes(others), strict=True)
        runs = np.stack([np.searchsorted(own, sought, side) for own, sought in pairs for side in _SIDES])
        runs[:, ~np.isin(others.group, groups)] = 0
        return runs


def isostructural(crystals: Crystals, workers: int = 1, on_progress: crew.Report | None = None) -> Isostructural:
    """Find the isostructural groups of a set and lay each crystal onto the first of its group; kept in the cache.

    Args:
        crystals: The crystals.
        workers: Processes to use.
        on_progress: Called with the number of crystals brought to standard form, or laid onto another, since the last
            call: at most 2 for each in all.

    Raises:
        ConfigError: If a process is killed.
    """
    report = on_progress or _ignore
    cached = cache_folder() / f"{content_digest(crystals)}-isostructural-v{VERSION}.safetensors"
    arrays = load_arrays(cached, laying.LAYOUT)
    if arrays is None:
        with tempfile.TemporaryDirectory() as name:
            rows = _standardised(crystals, Path(name), workers, report)
            pending = _by_key(rows, np.arange(len(crystals)))
            for _ in range(_ROUNDS):
                targets = [(int(members[0]), members[1:]) for members in pending if len(members) > 1]
                apart = _laid(Path(name), rows, targets, workers, report)
                pending = _by_key(rows, apart)
            arrays = _kept(rows, cached)
    return Isostructural(arrays, np.arange(len(arrays["key"])))


def attach(
    others: Crystals, onto: Isostructural, workers: int = 1, on_progress: crew.Report | None = None
) -> Isostructural:
    """Lay the crystals of another set onto the first ones of the groups of a table; kept in the cache.

    Those that fit no group have a negative one.

    Args:
        others: The crystals of the other set.
        onto: The table, which must hold all crystals that its groups were made from.
        workers: Processes to use.
        on_progress: See `isostructural`.

    Raises:
        ConfigError: If a process is killed.
    """
    report = on_progress or _ignore
    content = hashlib.sha256(content_digest(others).encode())
    for name in ("key", "group", "cell", "frac"):
        content.update(np.ascontiguousarray(onto.arrays[name]).data)
    cached = cache_folder() / f"{content.hexdigest()[:32]}-attached-v{VERSION}.safetensors"
    arrays = load_arrays(cached, laying.LAYOUT)
    if arrays is None:
        with tempfile.TemporaryDirectory() as name:
            rows = _standardised(others, Path(name), workers, report)
            rows["group"][:] = -1
            leaders = _leaders(onto.arrays)
            pending = np.arange(len(others))
            for attempt in range(_ROUNDS):
                targets = [
                    (found[attempt], members)
                    for members in _by_key(rows, pending)
                    if len(found := leaders.get(int(rows["key"][members[0]]), [])) > attempt
                ]
                pending = _laid(Path(name), rows, targets, workers, report, onto.arrays)
            arrays = _kept(rows, cached)
    return Isostructural(arrays, np.arange(len(arrays["key"])))


def _standardised(crystals: Crystals, folder: Path, workers: int, report: crew.Report) -> Rows:
    chunks = [np.arange(i, min(i + _CHUNK, len(crystals))) for i in range(0, len(crystals), _CHUNK)]
    laying.create(folder, np.concatenate([crystals.select(chunk).sizes.numpy() for chunk in chunks]))
    rows = laying.open_rows(folder)

    def tasks() -> Iterator[tuple[Path, int, np.ndarray, np.ndarray]]:
        for chunk in chunks:
            batch = crystals.select(chunk)
            rows["numbers"][rows["starts"][chunk[0]] : rows["starts"][chunk[-1] + 1]] = batch.numbers.numpy()
            yield folder, int(chunk[0]), batch.cell.numpy(), batch.frac.numpy()

    crew.run(laying.standardise, tasks(), workers if len(crystals) > _CHUNK else 1, report)
    return rows


def _laid(
    folder: Path,
    rows: Rows,
    targets: list[tuple[int, np.ndarray]],
    workers: int,
    report: crew.Report,
    of: Rows | None = None,
) -> np.ndarray:
    """Lay crystals onto others, which are rows of `of`; those that are not alike come back."""

    def tasks() -> Iterator[tuple[Path, list[tuple[StandardForm, int, np.ndarray]]]]:
        jobs: list[tuple[StandardForm, int, np.ndarray]] = []
        for leader, members in targets:
            form = laying.form_of(rows if of is None else of, leader)
            for part in np.array_split(members, len(members) // _CHUNK + 1):
                jobs.append((form, leader, part))
                if sum(len(part) for *_, part in jobs) >= _CHUNK:
                    yield folder, jobs
                    jobs = []
        if jobs:
            yield folder, jobs

    apart = crew.run(laying.lay, tasks(), workers if sum(len(m) for _, m in targets) > _CHUNK else 1, report)
    return np.sort(np.concatenate([np.empty(0, dtype=np.int64), *apart]))


def _by_key(rows: Rows, index: np.ndarray) -> list[np.ndarray]:
    """The crystals of each key, in order; those of unknown key are left out."""
    keys = rows["key"][index]
    order = np.argsort(keys, kind="stable")
    parts = np.split(index[order], np.flatnonzero(np.diff(keys[order])) + 1)
    return [part for part in parts if len(part) and rows["key"][part[0]]]


def _leaders(rows: Rows) -> dict[int, list[int]]:
    """The first crystals of the groups of each key, large groups first."""
    first, sizes = np.unique(rows["group"], return_counts=True)
    found: dict[int, list[int]] = {}
    for leader in first[np.argsort(-sizes, kind="stable")]:
        found.setdefault(int(rows["key"][leader]), []).append(int(leader))
    return found


def _kept(rows: Rows, path: Path) -> Rows:
    with Spool(laying.LAYOUT) as spool:
        for name, array in rows.items():
            for start in range(0, len(array), 65_536):
                spool.append(name, array[start : start + 65_536])
        return spool.stored(path)


def _ignore(count: int) -> None:
    """Progress that nobody asked for."""
