"""Duplicates among crystals, found by pymatgen's StructureMatcher in one or several processes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np
import torch

from empnn import processes
from empnn.crystals import CrystalBatch, Crystals, to_structures, wrap
from empnn.data.curation.composition import composition_groups
from empnn.data.curation.matching import Tolerances, first_matches, reduce_all
from empnn.graph.reduction import reduce_cells

if TYPE_CHECKING:
    from pymatgen.core import Structure

ALONE = 256
"""Up to so many structures no further process is started."""

_CHUNK = 64
_SKEWED = 4.0
"""A cell is strongly skewed if its longest vector is so many times as long as that of a compact cell."""


def duplicate_groups(
    crystals: Crystals,
    tolerances: Tolerances | None = None,
    workers: int = 1,
    on_progress: processes.Report | None = None,
) -> np.ndarray:
    """For each structure (structures,) the first one it is a duplicate of; itself if there is none.

    Each structure is compared, in file order, with those before it that are no duplicates themselves, and joins the
    first that the matcher takes for the same: the grouping of `StructureMatcher.group_structures`. Only elements count,
    not oxidation states. Comparisons that cannot succeed are left out, see `empnn.data.curation.matching`.

    Args:
        crystals: The structures.
        tolerances: What counts as the same.
        workers: Processes to use.
        on_progress: Called with the number of structures reduced or compared since the last call, 2 for each in all.

    Raises:
        ConfigError: If a process is killed.
    """
    tolerances = tolerances or Tolerances()
    report = on_progress or _ignore
    workers = workers if len(crystals) > ALONE else 1
    cells = list(chain.from_iterable(processes.run(reduce_all, _structures(crystals), workers, report)))
    classes = _classes(composition_groups(crystals), cells)
    report(len(crystals) - sum(map(len, classes)))
    tasks = (([cells[i] for i in members], tolerances) for members in classes)
    first = np.arange(len(crystals))
    for members, found in zip(classes, processes.run(first_matches, tasks, workers, report), strict=True):
        first[members] = members[found]
    return first


def _structures(crystals: Crystals) -> Iterator[tuple[list[Structure]]]:
    for start in range(0, len(crystals), _CHUNK):
        yield (to_structures(_compact(crystals.select(np.arange(start, min(start + _CHUNK, len(crystals)))))),)


def _compact(batch: CrystalBatch) -> CrystalBatch:
    """The same crystals, those of strongly skewed cells in compact ones: pymatgen takes minutes to reduce them."""
    cell = batch.cell.numpy()
    compact, change = reduce_cells(cell)
    skewed = np.linalg.norm(cell, axis=2).max(1) > _SKEWED * np.linalg.norm(compact, axis=2).max(1)
    change[~skewed] = np.eye(3, dtype=change.dtype)
    inverse = np.rint(np.linalg.inv(change))
    frac = np.einsum("ni,nij->nj", batch.frac.numpy(), inverse[batch.batch.numpy()])
    return replace(batch, cell=torch.from_numpy(change @ cell), frac=wrap(torch.from_numpy(frac)))


def _classes(compositions: np.ndarray, cells: Sequence[Structure | None]) -> list[np.ndarray]:
    """Structures that may be duplicates of each other: equal in composition and atoms per primitive cell, large first.

    Those that are alone or have no primitive cell are in none.
    """
    sizes = np.array([0 if cell is None else len(cell) for cell in cells], dtype=np.int64)
    key = compositions * (sizes.max(initial=0) + 1) + sizes
    order = np.argsort(key, kind="stable")
    order = order[sizes[order] > 0]
    parts = np.split(order, np.flatnonzero(np.diff(key[order])) + 1)
    return sorted((part for part in parts if len(part) > 1), key=lambda part: -len(part) * int(sizes[part[0]]))


def _ignore(count: int) -> None:
    """Progress that nobody asked for."""
