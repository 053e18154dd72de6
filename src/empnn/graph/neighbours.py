"""Periodic neighbour graphs whose shells are never split (Definition 6; design, section 3).

Everything that decides which edges exist is done in float64. A rule keeps every edge up to its distance times
(1 + SHELL_TOLERANCE), so that symmetry-equivalent edges come and go together and the edge set is invariant under
Euc(3), SL3(Z) and S_n. What remains is the jump at that limit itself: an edge just inside and one just outside it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from ase.data import atomic_numbers, covalent_radii
from jaxtyping import Float64
from torch import Tensor

from empnn.crystals import CrystalBatch
from empnn.errors import ConfigError
from empnn.graph.graph import Graph, make_graph
from empnn.graph.reduction import reduce_cells
from empnn.graph.search import Edges, Search

SHELL_TOLERANCE = 1e-3

_GROWTH = 1.5
_FIRST_GUESS = 1.8
_EDGES = 4096
"""Edges that are written together; what is made of them stays in the caches."""


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
        limits = np.asarray(self.radius, dtype=np.float64) * (1 + SHELL_TOLERANCE)
        if limits.ndim and len(limits) != crystals.n_atoms:
            raise ValueError(f"{len(limits)} cutoff radii for {crystals.n_atoms} atoms; give one for each")
        own = np.broadcast_to(limits, (crystals.n_atoms,))

        def within(search: Search) -> Edges:
            edges = search.within(search.largest(own))
            return edges.keep(edges.length <= own[edges.source])

        return _build(crystals, within)


@dataclass(frozen=True)
class ElementCutoff:
    """The rule of `element_cutoff`.

    Attributes:
        radius: Longest edge of an atom of any other element, in angstrom.
        radii: The same by atomic number.
    """

    radius: float
    radii: Mapping[int, float]

    def __call__(self, crystals: CrystalBatch) -> Graph:
        """The graph of the crystals."""
        own = torch.full((crystals.n_atoms,), self.radius, dtype=torch.float64)
        for number, radius in self.radii.items():
            own[crystals.numbers == number] = radius
        return Cutoff(own)(crystals)


@dataclass(frozen=True)
class Covalent:
    """The rule of `covalent`.

    Attributes:
        scale: Longest edge as a multiple of the sum of the covalent radii of its ends.
    """

    scale: float

    def __call__(self, crystals: CrystalBatch) -> Graph:
        """The graph of the crystals."""
        own = self.scale * covalent_radii[crystals.numbers.numpy()] * (1 + SHELL_TOLERANCE)

        def bonded(search: Search) -> Edges:
            edges = search.within(2 * search.largest(own))
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


def element_cutoff(radius: float, radii: Mapping[str, float]) -> ElementCutoff:
    """`cutoff` with one radius per atom, c_i of Definition 6, given by the element: `{"O": 4.0}`, and one for the rest.

    Raises:
        ConfigError: If a symbol is no element or a radius is not positive.
    """
    unknown = [symbol for symbol in radii if symbol not in atomic_numbers or symbol == "X"]
    if unknown:
        raise ConfigError(f"model.graph.radii: {', '.join(unknown)} is no element")
    if not all(value > 0 for value in (radius, *radii.values())):
        raise ConfigError("model.graph.radii: a radius must be positive")
    return ElementCutoff(radius, {atomic_numbers[symbol]: value for symbol, value in radii.items()})


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


def _nearest(search: Search, k: int) -> Edges:
    """The k nearest neighbours of each atom and their last shell; structures with too small a sphere come again."""
    per_atom = np.abs(np.linalg.det(search.cell)) / search.sizes
    radii = (_FIRST_GUESS * k * per_atom * 3 / (4 * np.pi)) ** (1 / 3)
    pending, found = np.arange(len(search.cell)), []
    while len(pending):
        limits = np.full(len(search.owner), np.inf)
        nearest = []
        for edges in search.parts(radii, pending):
            atoms, lengths = _kth_lengths(edges, k)
            limits[atoms] = lengths * (1 + SHELL_TOLERANCE)
            nearest.append(edges.keep(edges.length <= limits.take(edges.source)))
        needed = search.largest(limits)
        done = needed <= radii
        edges = Edges.cat(nearest)
        found.append(edges if done[pending].all() else edges.keep(done.take(search.owner.take(edges.source))))
        pending = pending[~done[pending]]
        radii = np.where(np.isfinite(needed), np.maximum(needed, radii), radii * _GROWTH)
    return Edges.cat(found)


def _kth_lengths(edges: Edges, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The atoms that have edges, ordered by them, and the length of the k-th shortest of each; infinite without one."""
    first = np.flatnonzero(np.concatenate([[True], edges.source[1:] != edges.source[:-1]])[: len(edges.source)])
    counts = np.diff(first, append=len(edges.source))
    width = max(k, int(counts.max(initial=0)))
    table = np.full((len(first), width), np.inf)
    table.reshape(-1)[np.arange(len(edges.source)) + np.repeat(np.arange(len(first)) * width - first, counts)] = (
        edges.length
    )
    kth: np.ndarray = np.partition(table, k - 1, axis=1)[:, k - 1]
    return edges.source.take(first), kth


def _build(crystals: CrystalBatch, select: Callable[[Search], Edges]) -> Graph:
    """Search the crystals in their reduced bases and write the edges in the caller's.

    Raises:
        ValueError: If a cell is so degenerate that it has no reduced basis.
    """
    batch = crystals.batch.numpy()
    reduced, change = reduce_cells(crystals.cell.numpy())
    inverse = np.rint(np.linalg.inv(change)).astype(np.int64)
    frac = np.einsum("ni,nij->nj", crystals.frac.numpy(), inverse[batch])
    # Whole cells that atoms are moved by into the reduced one.
    shift = np.floor(frac).astype(np.int64)
    inside = frac - shift
    edges = select(Search(reduced, inside, crystals.starts.numpy()))
    if (np.diff(edges.source) < 0).any():
        edges = edges.keep(np.argsort(edges.source, kind="stable"))
    edge_batch = batch.take(edges.source)
    # An edge is whole vectors of the reduced cell, and what its ends, moved into that cell, differ by: written in the
    # caller's basis and in angstrom, side by side, and column by column, which is how numpy is fast.
    ends = [np.einsum("ni,nij->nj", some, basis[batch]) for some, basis in ((-shift, change), (inside, reduced))]
    of_atoms = np.ascontiguousarray(np.concatenate(ends, axis=1).T)
    of_cells = np.ascontiguousarray(np.concatenate([change, reduced], axis=2).reshape(-1, 18).T)
    image, vectors = np.empty((len(edge_batch), 3), dtype=np.int64), np.empty((len(edge_batch), 3))
    for start in range(0, len(edge_batch), _EDGES):
        part = slice(start, start + _EDGES)
        found = of_atoms.take(edges.target[part], axis=1) - of_atoms.take(edges.source[part], axis=1)
        lattice = of_cells.take(edge_batch[part], axis=1).reshape(3, 6, -1)
        for count, vector in zip(edges.translations(part), lattice, strict=True):
            found += count * vector
        image[part], vectors[part] = found[:3].T, found[3:].T
    return make_graph(edges.source, edges.target, image, vectors, edge_batch, crystals)
