"""Periodic neighbour graphs whose shells are never split (Definition 6; design, section 3).

Everything that decides which edges exist is done in float64. A rule keeps every edge up to its distance times
(1 + SHELL_TOLERANCE), so that symmetry-equivalent edges come and go together and the edge set is invariant under
Euc(3), SL3(Z) and S_n. What remains is the jump at that limit itself: an edge just inside and one just outside it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from ase.data import atomic_numbers, covalent_radii
from jaxtyping import Float64
from pymatgen.optimization.neighbors import find_points_in_spheres
from torch import Tensor

from empnn.crystals import CrystalBatch
from empnn.errors import ConfigError
from empnn.graph.graph import Graph, make_graph
from empnn.graph.reduction import reduce_cells

SHELL_TOLERANCE = 1e-3

_MARGIN = 1e-6
_PBC = np.ones(3, dtype=np.int64)
_GROWTH = 1.5
_FIRST_GUESS = 1.8
_ZERO_SHELL = 1e-8


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

        def within(search: _Search) -> _Edges:
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

        def bonded(search: _Search) -> _Edges:
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


@dataclass(frozen=True)
class _Edges:
    """Edges of crystals in their reduced bases."""

    source: np.ndarray
    target: np.ndarray
    image: np.ndarray
    length: np.ndarray

    def keep(self, mask: np.ndarray) -> _Edges:
        return _Edges(self.source[mask], self.target[mask], self.image[mask], self.length[mask])

    @staticmethod
    def cat(parts: Sequence[_Edges]) -> _Edges:
        """All of them; none if there are no parts."""
        columns = zip(*((e.source, e.target, e.image, e.length) for e in parts), strict=True)
        empty = np.empty(0, np.int64), np.empty(0, np.int64), np.empty((0, 3)), np.empty(0)
        return _Edges(*(np.concatenate(c) for c in columns)) if parts else _Edges(*empty)


@dataclass(frozen=True)
class _Search:
    """Crystals in reduced bases, ready to be searched.

    Attributes:
        cell: Reduced cells, (structures, 3, 3).
        frac: Fractional coordinates in them, in [0, 1), (atoms, 3).
        starts: First atom of each structure, and the number of atoms at the end.
    """

    cell: np.ndarray
    frac: np.ndarray
    starts: np.ndarray

    @property
    def owner(self) -> np.ndarray:
        """Structure of each atom."""
        return np.repeat(np.arange(len(self.cell)), np.diff(self.starts))

    def largest(self, values: np.ndarray) -> np.ndarray:
        """Largest value of an atom in each structure."""
        return np.maximum.reduceat(values, self.starts[:-1]) if len(self.cell) else np.empty(0)

    def within(self, radii: np.ndarray, which: np.ndarray | None = None) -> _Edges:
        """All edges of the structures `which`, or all, no longer than the radius of their structure.

        They come ordered by source. An atom is not its own neighbour: that edge comes with infinite length.
        """
        points = np.einsum("ni,nij->nj", self.frac, self.cell[self.owner])
        parts = []
        for index in range(len(self.cell)) if which is None else which:
            start, stop = self.starts[index : index + 2]
            own = points[start:stop]
            source, target, image, length = find_points_in_spheres(
                own, own, radii[index] * (1 + _MARGIN), _PBC, self.cell[index], tol=_ZERO_SHELL
            )
            parts.append(_Edges(source + start, target + start, image, length))
        edges = _Edges.cat(parts)
        edges.length[(edges.source == edges.target) & (edges.length <= _ZERO_SHELL)] = np.inf
        return edges


def _nearest(search: _Search, k: int) -> _Edges:
    """The k nearest neighbours of each atom and their last shell; structures with too small a sphere come again."""
    owner, sizes = search.owner, np.diff(search.starts)
    per_atom = np.abs(np.linalg.det(search.cell)) / sizes
    radii = (_FIRST_GUESS * k * per_atom * 3 / (4 * np.pi)) ** (1 / 3)
    pending, found = np.arange(len(search.cell)), []
    while len(pending):
        edges = search.within(radii, pending)
        limits = _kth_length(edges, len(owner), k) * (1 + SHELL_TOLERANCE)
        needed = search.largest(limits)
        done = needed <= radii
        found.append(edges.keep((edges.length <= limits[edges.source]) & done[owner[edges.source]]))
        pending = pending[~done[pending]]
        radii = np.where(np.isfinite(needed), np.maximum(needed, radii), radii * _GROWTH)
    return _Edges.cat(found)


def _kth_length(edges: _Edges, n_atoms: int, k: int) -> np.ndarray:
    """Length of the k-th shortest edge of each atom, infinite if it has fewer; edges are ordered by source."""
    counts = np.bincount(edges.source, minlength=n_atoms)
    rank = np.arange(len(edges.source)) - (counts.cumsum() - counts)[edges.source]
    table = np.full((n_atoms, max(k, counts.max(initial=0))), np.inf)
    table[edges.source, rank] = edges.length
    kth: np.ndarray = np.partition(table, k - 1, axis=1)[:, k - 1]
    return kth


def _build(crystals: CrystalBatch, select: Callable[[_Search], _Edges]) -> Graph:
    """Search the crystals in their reduced bases and write the edges in the caller's."""
    cell = crystals.cell.numpy()
    reduced, change = reduce_cells(cell)
    batch = crystals.batch.numpy()
    inverse = np.rint(np.linalg.inv(change)).astype(np.int64)
    frac = np.einsum("ni,nij->nj", crystals.frac.numpy(), inverse[batch])
    shift = np.floor(frac).astype(np.int64)
    edges = select(_Search(reduced, frac - shift, crystals.starts.numpy()))
    order = np.argsort(edges.source, kind="stable")
    source, target = edges.source[order], edges.target[order]
    image = np.rint(edges.image[order]).astype(np.int64) - shift[target] + shift[source]
    edge_batch = batch[source]
    image = np.einsum("ei,eij->ej", image, change[edge_batch])
    original = crystals.frac.numpy()
    vectors = np.einsum("ei,eij->ej", original[target] - original[source] + image, cell[edge_batch])
    return make_graph(source, target, image, vectors, edge_batch, crystals)
