"""Periodic neighbour graphs whose shells are never split (Definition 6; design, section 3).

Everything that decides which edges exist is done in float64. A rule keeps every edge up to its distance times
(1 + SHELL_TOLERANCE), so that symmetry-equivalent edges come and go together and the edge set is invariant under
Euc(3), SL3(Z) and S_n. What remains is the jump at that limit itself: an edge just inside and one just outside it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from ase.data import covalent_radii
from jaxtyping import Float64, Int64
from pymatgen.optimization.neighbors import find_points_in_spheres
from torch import Tensor

from empnn.crystals import CrystalBatch
from empnn.graph.reduction import reduce_cells

SHELL_TOLERANCE = 1e-3

_MARGIN = 1e-6
_PBC = np.ones(3, dtype=np.int64)
_GROWTH = 1.5
_FIRST_GUESS = 2.5
_ZERO_SHELL = 1e-8


@dataclass(frozen=True, kw_only=True)
class Graph:
    """Directed edges (i, j, image) of a batch, ordered by source atom.

    Attributes:
        source: Atom i the edge starts from, ascending. Per edge.
        target: Atom j the edge ends at. Per edge.
        image: Lattice translation of the target, in the basis of the cell. Per edge.
        vectors: v = (frac[j] - frac[i] + image) @ cell, angstrom. Per edge.
        batch: Structure the edge belongs to, ascending. Per edge.
        atom_batch: Structure an atom belongs to, ascending. Per atom.
        n_structures: Structures in the batch.
    """

    source: Int64[Tensor, " edges"]
    target: Int64[Tensor, " edges"]
    image: Int64[Tensor, "edges 3"]
    vectors: Float64[Tensor, "edges 3"]
    batch: Int64[Tensor, " edges"]
    atom_batch: Int64[Tensor, " atoms"]
    n_structures: int

    def __len__(self) -> int:
        return self.source.shape[0]

    @property
    def n_atoms(self) -> int:
        """Atoms in the batch."""
        return self.atom_batch.shape[0]

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Graph:
        """The same graph on another device; dtypes stay as they are."""
        names = ("source", "target", "image", "vectors", "batch", "atom_batch")
        moved: dict[str, Any] = {name: getattr(self, name).to(device, non_blocking=non_blocking) for name in names}
        return replace(self, **moved)


GraphRule = Callable[[CrystalBatch], Graph]
"""A neighbour rule: from crystals to their graph."""


@dataclass(frozen=True)
class Knn:
    """The rule of `knn`.

    Attributes:
        k: Neighbours of each atom.
    """

    k: int

    def __call__(self, crystals: CrystalBatch) -> Graph:
        """The graph of the crystals."""
        return _build(crystals, lambda search: _nearest(search, self.k))


@dataclass(frozen=True)
class Cutoff:
    """The rule of `cutoff`.

    Attributes:
        radius: Longest edge, in angstrom; one for all or one per (source) atom.
    """

    radius: float | Float64[Tensor, " atoms"]

    def __call__(self, crystals: CrystalBatch) -> Graph:
        """The graph of the crystals."""
        limits = np.broadcast_to(np.asarray(self.radius, dtype=np.float64), (crystals.n_atoms,))
        starts = crystals.starts.numpy()

        def within(search: _Search) -> _Edges:
            own = limits[starts[search.index] : starts[search.index + 1]] * (1 + SHELL_TOLERANCE)
            edges = search.within(float(own.max()))
            return edges.keep(edges.length <= own[edges.source])

        return _build(crystals, within)


@dataclass(frozen=True)
class Covalent:
    """The rule of `covalent`.

    Attributes:
        scale: Longest edge as a multiple of the sum of the covalent radii of its ends.
    """

    scale: float

    def __call__(self, crystals: CrystalBatch) -> Graph:
        """The graph of the crystals."""
        radii = self.scale * covalent_radii[crystals.numbers.numpy()] * (1 + SHELL_TOLERANCE)
        starts = crystals.starts.numpy()

        def bonded(search: _Search) -> _Edges:
            own = radii[starts[search.index] : starts[search.index + 1]]
            edges = search.within(2 * float(own.max()))
            return edges.keep(edges.length <= own[edges.source] + own[edges.target])

        return _build(crystals, bonded)


def knn(k: int) -> Knn:
    """The k nearest neighbours of each atom with their whole last shell: all edges with r <= r_k (1 + tolerance).

    Invariant under Euc(3), SL3(Z) and S_n, and under the choice of a supercell.

    Raises:
        ValueError: If k < 1.
    """
    if k < 1:
        raise ValueError(f"knn needs k >= 1, got {k}")
    return Knn(k)


def cutoff(radius: float | Float64[Tensor, " atoms"]) -> Cutoff:
    """All edges of length r <= radius (1 + tolerance), in angstrom; one radius for all or one per (source) atom.

    Invariant under Euc(3), SL3(Z) and S_n. An atom may have no neighbour.

    Raises:
        ValueError: If a radius is not positive.
    """
    if not bool(torch.all(torch.as_tensor(radius) > 0)):
        raise ValueError("cutoff needs a positive radius")
    return Cutoff(radius)


def covalent(scale: float) -> Covalent:
    """All edges no longer than `scale` times the sum of the covalent radii of their ends (1 + tolerance).

    Radii are those of Cordero et al. (doi:10.1039/b801115j), in angstrom, as in ASE. Definition 6 with a limit per pair
    of species. Invariant under Euc(3), SL3(Z) and S_n.

    Raises:
        ValueError: If the scale is not positive.
    """
    if not scale > 0:
        raise ValueError(f"covalent needs a positive scale, got {scale}")
    return Covalent(scale)


@dataclass(frozen=True)
class _Edges:
    """Edges of one crystal, in its reduced basis."""

    source: np.ndarray
    target: np.ndarray
    image: np.ndarray
    length: np.ndarray

    def keep(self, mask: np.ndarray) -> _Edges:
        return _Edges(self.source[mask], self.target[mask], self.image[mask], self.length[mask])


@dataclass(frozen=True)
class _Search:
    """One crystal in a reduced basis, ready to be searched."""

    index: int
    cell: np.ndarray
    frac: np.ndarray

    def within(self, radius: float) -> _Edges:
        """All edges no longer than the radius; an atom is not its own neighbour, its images are."""
        points = np.ascontiguousarray(self.frac @ self.cell)
        source, target, image, length = find_points_in_spheres(
            points, points, radius * (1 + _MARGIN), _PBC, self.cell, tol=_ZERO_SHELL
        )
        image = np.rint(image).astype(np.int64)
        edges = _Edges(source, target, image, length)
        return edges.keep((source != target) | image.any(axis=1))


def _nearest(search: _Search, k: int) -> _Edges:
    n_atoms = len(search.frac)
    per_atom = abs(np.linalg.det(search.cell)) / n_atoms
    radius = float((_FIRST_GUESS * k * per_atom * 3 / (4 * np.pi)) ** (1 / 3))
    while True:
        edges = search.within(radius)
        counts = np.bincount(edges.source, minlength=n_atoms)
        if counts.min() < k:
            radius *= _GROWTH
            continue
        order = np.lexsort((edges.length, edges.source))
        kth = order[np.cumsum(counts) - counts + k - 1]
        limit = edges.length[kth] * (1 + SHELL_TOLERANCE)
        if limit.max() > radius:
            radius = float(limit.max())
            continue
        return edges.keep(edges.length <= limit[edges.source])


def _build(crystals: CrystalBatch, select: Callable[[_Search], _Edges]) -> Graph:
    """Search each crystal in its reduced basis and write the edges in the caller's basis."""
    cell = crystals.cell.numpy()
    reduced, change = reduce_cells(cell)
    batch, starts = crystals.batch.numpy(), crystals.starts.tolist()
    inverse = np.rint(np.linalg.inv(change)).astype(np.int64)
    frac = np.einsum("ni,nij->nj", crystals.frac.numpy(), inverse[batch])
    shift = np.floor(frac).astype(np.int64)
    frac -= shift
    found = [
        select(_Search(index, reduced[index], frac[start:stop])) for index, (start, stop) in enumerate(pairwise(starts))
    ]
    counts = [len(edges.source) for edges in found]
    edge_batch = np.repeat(np.arange(len(crystals)), counts)
    offset = np.asarray(starts[:-1], dtype=np.int64)[edge_batch]
    source = _concatenate([e.source for e in found]) + offset
    target = _concatenate([e.target for e in found]) + offset
    image = _concatenate([e.image for e in found]).reshape(-1, 3) - shift[target] + shift[source]
    order = np.argsort(source, kind="stable")
    source, target, image = source[order], target[order], image[order]
    image = np.einsum("ei,eij->ej", image, change[edge_batch])
    original = crystals.frac.numpy()
    vectors = np.einsum("ei,eij->ej", original[target] - original[source] + image, cell[edge_batch])
    return Graph(
        source=torch.from_numpy(source),
        target=torch.from_numpy(target),
        image=torch.from_numpy(image),
        vectors=torch.from_numpy(vectors),
        batch=torch.from_numpy(edge_batch),
        atom_batch=crystals.batch,
        n_structures=len(crystals),
    )


def _concatenate(parts: list[np.ndarray]) -> np.ndarray:
    return np.concatenate(parts).astype(np.int64) if parts else np.empty(0, dtype=np.int64)
