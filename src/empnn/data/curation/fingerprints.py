"""A cheap description of crystals that does not depend on how they are written, and the duplicates it shows.

Of each structure: how many neighbours an atom has at each distance, smeared, for each pair of elements, in units of the
cube root of the volume per atom; and the logarithm of that volume. Distances are smeared and fade out towards a limit,
so that a small change of the crystal changes the description a little, and never by a jump.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import torch
from scipy.spatial import KDTree

from empnn.crystals import CrystalBatch, Crystals
from empnn.data.array_files import Layout, Spool
from empnn.data.curation.composition import composition_groups
from empnn.geometry import volume
from empnn.graph import Graph, cutoff
from empnn.ragged import equal_runs, runs, within

TOLERANCE = 0.005
"""Fingerprints no farther apart count as the same."""

_LAYOUT: Layout = {"values": ("F64", np.float64, ())}
_LIMIT = 2.2
_CENTRES = np.linspace(0.4, _LIMIT, 13)
_WIDTH = 0.15
_TOGETHER = 512


def fingerprints(crystals: Crystals) -> Iterator[np.ndarray]:
    """One vector per structure; those of one composition have the same length and can be compared.

    The first part is the smeared number of neighbours by distance and pair of elements, of norm 1; the last entry is
    the logarithm of the volume per atom. Invariant under Euc(3), SL3(Z), S_n and the choice of a supercell.
    """
    for chosen in np.array_split(np.arange(len(crystals)), len(crystals) // _TOGETHER + 1):
        yield from _of_batch(crystals.select(chosen))


def fingerprint_groups(crystals: Crystals, tolerance: float = TOLERANCE) -> np.ndarray:
    """For each structure (structures,) the first one with nearly its fingerprint, and its composition.

    Each structure joins the first that is no farther than `tolerance` from it and has joined no other. The fingerprints
    of one composition are in memory, those of the others on disk.
    """
    compositions = composition_groups(crystals)
    first = np.arange(len(crystals))
    order = np.argsort(compositions, kind="stable")
    starts = np.zeros(len(crystals) + 1, dtype=np.int64)
    with Spool(_LAYOUT) as spool:
        for index, vector in enumerate(fingerprints(crystals)):
            spool.append("values", vector)
            starts[index + 1] = starts[index] + len(vector)
        values = spool.mapped()["values"]
    for begin, end in equal_runs(compositions[order]):
        members = order[begin:end]
        if len(members) > 1:
            places, _ = runs(starts, members)
            first[members] = members[_leaders(values[places].reshape(len(members), -1), tolerance)]
    return first


def _leaders(points: np.ndarray, tolerance: float) -> np.ndarray:
    tree = KDTree(points)
    leader = np.full(len(points), -1)
    for index in range(len(points)):
        if leader[index] < 0:
            near = np.array(tree.query_ball_point(points[index], tolerance))
            leader[near[leader[near] < 0]] = index
    return leader


def _of_batch(batch: CrystalBatch) -> list[np.ndarray]:
    if len(batch) == 0:
        return []
    per_atom = volume(batch.cell) / batch.sizes
    length = per_atom ** (1 / 3)
    graph = cutoff(_LIMIT * length[batch.batch])(batch)
    distances = torch.linalg.vector_norm(graph.vectors, dim=-1) / length[graph.batch]
    pair, starts = _pairs_of_elements(batch, graph)
    counts = np.stack([np.bincount(pair, w, minlength=starts[-1]) for w in _smeared(distances.numpy())], axis=1)
    found = []
    for (start, stop), size, each in zip(pairwise(starts), batch.sizes.tolist(), per_atom.tolist(), strict=True):
        shape = counts[start:stop].ravel() / size
        found.append(np.append(shape / max(float(np.linalg.norm(shape)), 1e-12), np.log(each)))
    return found


def _smeared(distances: np.ndarray) -> Iterator[np.ndarray]:
    """The weight of each distance around each centre, which vanishes smoothly at the limit."""
    fading = np.cos(np.pi / 2 * np.minimum(distances / _LIMIT, 1)) ** 2
    for centre in _CENTRES:
        yield fading * np.exp(-0.5 * ((distances - centre) / _WIDTH) ** 2)


def _pairs_of_elements(batch: CrystalBatch, graph: Graph) -> tuple[np.ndarray, np.ndarray]:
    """The row of each edge in a table of all ordered pairs of elements of all structures, and where structures start.

    The elements of a structure count by atomic number.
    """
    owner = batch.batch.numpy()
    present, kind = np.unique(owner * 256 + batch.numbers.numpy(), return_inverse=True)
    elements = np.bincount(present // 256, minlength=len(batch))
    rank = within(elements)[kind]
    starts = np.concatenate([[0], np.cumsum(elements**2)])
    source, target = graph.pairs.left.numpy(), graph.pairs.right.numpy()
    structure = owner[source]
    return starts[structure] + rank[source] * elements[structure] + rank[target], starts
