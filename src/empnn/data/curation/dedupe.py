"""Duplicates among crystals, found by pymatgen's StructureMatcher in one or several processes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from empnn import processes
from empnn.crystals import CrystalBatch, Crystals, to_structures, wrap
from empnn.data.array_files import Layout, Spool
from empnn.data.curation.composition import composition_groups
from empnn.data.curation.matching import Cells, Tolerances, first_matches, reduce_all
from empnn.graph.reduction import reduce_cells
from empnn.ragged import within

if TYPE_CHECKING:
    from pymatgen.core import Structure

ALONE = 256
"""Up to so many structures no further process is started."""

_CHUNK = 64
_LAYOUT: Layout = {
    "matrices": ("F64", np.float64, (3, 3)),
    "frac": ("F64", np.float64, (3,)),
    "numbers": ("U8", np.uint8, ()),
}
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
    cells = _reduced(crystals, workers, report)
    order, ends = _classes(composition_groups(crystals), cells.sizes)
    report(len(crystals) - int(ends[:, 1].sum() - ends[:, 0].sum()))
    tasks = ((number, (cells.at(order[begin:end]), tolerances)) for number, (begin, end) in enumerate(ends.tolist()))
    first = np.arange(len(crystals))
    with closing(processes.finished(first_matches, tasks, workers, report)) as finished:
        for number, found in finished:
            members = order[slice(*ends[number])]
            first[members] = members[found]
    return first


@dataclass(frozen=True)
class _Stored:
    """Cells on disk in the order in which they came.

    Attributes:
        arrays: `matrices`, `frac` and `numbers`.
        places: Where in that order each structure is (structures,).
        starts: Where its atoms begin (structures,).
        sizes: How many it has (structures,).
    """

    arrays: dict[str, np.ndarray]
    places: np.ndarray
    starts: np.ndarray
    sizes: np.ndarray

    def at(self, members: np.ndarray) -> Cells:
        """Some of them."""
        sizes = self.sizes[members]
        atoms = np.repeat(self.starts[members], sizes) + within(sizes)
        arrays = self.arrays
        return Cells(arrays["matrices"][self.places[members]], arrays["frac"][atoms], arrays["numbers"][atoms], sizes)


def _reduced(crystals: Crystals, workers: int, report: processes.Report) -> _Stored:
    """The primitive Niggli cells of crystals."""
    places, starts, sizes = (np.zeros(len(crystals), dtype=np.int64) for _ in range(3))
    cells = atoms = 0
    with Spool(_LAYOUT) as spool:
        with closing(processes.finished(reduce_all, _structures(crystals), workers, report)) as finished:
            for begin, found in finished:
                chosen = slice(begin, begin + len(found.sizes))
                places[chosen] = np.arange(cells, cells + len(found.sizes))
                starts[chosen] = atoms + np.cumsum(found.sizes) - found.sizes
                sizes[chosen] = found.sizes
                for name in _LAYOUT:
                    spool.append(name, getattr(found, name))
                cells, atoms = cells + len(found.sizes), atoms + len(found.numbers)
        return _Stored(spool.mapped(), places, starts, sizes)


def _structures(crystals: Crystals) -> Iterator[tuple[int, tuple[list[Structure]]]]:
    for start in range(0, len(crystals), _CHUNK):
        chosen = np.arange(start, min(start + _CHUNK, len(crystals)))
        yield start, (to_structures(_compact(crystals.select(chosen))),)


def _compact(batch: CrystalBatch) -> CrystalBatch:
    """The same crystals, those of strongly skewed cells in compact ones: pymatgen takes minutes to reduce them."""
    cell = batch.cell.numpy()
    compact, change = reduce_cells(cell)
    skewed = np.linalg.norm(cell, axis=2).max(1) > _SKEWED * np.linalg.norm(compact, axis=2).max(1)
    change[~skewed] = np.eye(3, dtype=change.dtype)
    inverse = np.rint(np.linalg.inv(change))
    frac = np.einsum("ni,nij->nj", batch.frac.numpy(), inverse[batch.batch.numpy()])
    return replace(batch, cell=torch.from_numpy(change @ cell), frac=wrap(torch.from_numpy(frac)))


def _classes(compositions: np.ndarray, sizes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Structures that may be duplicates of each other: equal in composition and atoms per primitive cell, large first.

    Those that are alone or have no primitive cell are in none.

    Returns:
        The structures, class by class, and where among them each begins and ends (classes, 2).
    """
    key = compositions * (sizes.max(initial=0) + 1) + sizes
    order = np.argsort(key, kind="stable")
    order = order[sizes[order] > 0]
    cuts = np.flatnonzero(np.diff(key[order])) + 1
    ends = np.stack([np.append(0, cuts), np.append(cuts, len(order))], axis=1)
    counts = ends[:, 1] - ends[:, 0]
    ends = ends[counts > 1]
    work = (ends[:, 1] - ends[:, 0]) * sizes[order[ends[:, 0]]]
    return order, ends[np.argsort(-work, kind="stable")]


def _ignore(count: int) -> None:
    """Progress that nobody asked for."""
