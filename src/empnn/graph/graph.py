"""Neighbour graphs of periodic crystals: edges between atoms and triplets of edges."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from empnn.crystals import CrystalBatch
from empnn.graph.grouping import Pairs, make_pairs


@dataclass(frozen=True, kw_only=True)
class Triplets:
    """Ordered pairs of edges (gamma, gamma') of a graph, both vectors pointing away from their common point.

    Attributes:
        pairs: Edge gamma on the left, edge gamma' on the right.
        batch: Structure the triplet belongs to. Per triplet.
        flip_first: Whether the vector away from the common point is -v of gamma (`chain`) or v (`fan`).
    """

    pairs: Pairs
    batch: Int64[Tensor, " triplets"]
    flip_first: bool

    def __len__(self) -> int:
        return len(self.pairs)

    @property
    def first(self) -> Int64[Tensor, " triplets"]:
        """Edge gamma. Per triplet."""
        return self.pairs.left

    @property
    def second(self) -> Int64[Tensor, " triplets"]:
        """Edge gamma'. Per triplet."""
        return self.pairs.right

    def vectors(self, edges: Float[Tensor, "edges 3"]) -> tuple[Tensor, Tensor]:
        """Vectors of both legs, away from the common point, from the edge vectors: (triplets, 3) each."""
        first = edges.index_select(0, self.first)
        return (-first if self.flip_first else first), edges.index_select(0, self.second)

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Triplets:
        """The same triplets on another device."""
        pairs = self.pairs.to(device, non_blocking=non_blocking)
        return replace(self, pairs=pairs, batch=self.batch.to(device, non_blocking=non_blocking))

    def part(self, first: int, last: int) -> Triplets:
        """The triplets of the structures from one to another (excluded), on a CPU."""
        _, triplets = self.pairs.span(first, last)
        return replace(self, pairs=self.pairs.part(first, last), batch=self.batch[triplets] - first)


@dataclass(frozen=True, kw_only=True)
class Graph:
    """Directed edges (i, j, image) of a batch, ordered by source atom.

    Attributes:
        pairs: The atom i an edge starts from on the left, the atom j it ends at on the right.
        image: Lattice translation of the target, in the basis of the cell. Per edge.
        vectors: v = (frac[j] - frac[i] + image) @ cell, angstrom. Per edge.
        batch: Structure the edge belongs to, ascending. Per edge.
        atom_batch: Structure an atom belongs to, ascending. Per atom.
        n_structures: Structures in the batch.
        triplets: Triplets of edges, if they were asked for.
    """

    pairs: Pairs
    image: Int64[Tensor, "edges 3"]
    vectors: Float64[Tensor, "edges 3"]
    batch: Int64[Tensor, " edges"]
    atom_batch: Int64[Tensor, " atoms"]
    n_structures: int
    triplets: Triplets | None = None

    def __len__(self) -> int:
        return len(self.pairs)

    @property
    def source(self) -> Int64[Tensor, " edges"]:
        """Atom i the edge starts from, ascending. Per edge."""
        return self.pairs.left

    @property
    def target(self) -> Int64[Tensor, " edges"]:
        """Atom j the edge ends at. Per edge."""
        return self.pairs.right

    @property
    def n_atoms(self) -> int:
        """Atoms in the batch."""
        return self.atom_batch.shape[0]

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Graph:
        """The same graph on another device; dtypes stay as they are."""
        names = ("pairs", "image", "vectors", "batch", "atom_batch")
        moved: dict[str, Any] = {name: getattr(self, name).to(device, non_blocking=non_blocking) for name in names}
        triplets = self.triplets.to(device, non_blocking=non_blocking) if self.triplets is not None else None
        return replace(self, triplets=triplets, **moved)

    def part(self, first: int, last: int) -> Graph:
        """The graph of the structures from one to another (excluded), on a CPU."""
        atoms, edges = self.pairs.span(first, last)
        return Graph(
            pairs=self.pairs.part(first, last),
            image=self.image[edges],
            vectors=self.vectors[edges],
            batch=self.batch[edges] - first,
            atom_batch=self.atom_batch[atoms] - first,
            n_structures=last - first,
            triplets=self.triplets.part(first, last) if self.triplets is not None else None,
        )


GraphRule = Callable[[CrystalBatch], Graph]
"""A neighbour rule: from crystals to their graph."""

TripletRule = Callable[[Graph], Triplets]
"""From a graph to its triplets."""


@dataclass(frozen=True)
class WithTriplets:
    """A neighbour rule whose graphs hold their triplets.

    Attributes:
        edges: The rule for the edges.
        triplets: The rule for the triplets.
    """

    edges: GraphRule
    triplets: TripletRule

    def __call__(self, crystals: CrystalBatch) -> Graph:
        """The graph of the crystals."""
        graph = self.edges(crystals)
        return replace(graph, triplets=self.triplets(graph))


def make_graph(
    source: np.ndarray,
    target: np.ndarray,
    image: np.ndarray,
    vectors: np.ndarray,
    batch: np.ndarray,
    crystals: CrystalBatch,
) -> Graph:
    """A graph from its edges, ordered by source atom; arrays as the attributes of `Graph`."""
    return Graph(
        pairs=make_pairs(source, target, crystals.starts.numpy()),
        image=torch.from_numpy(image),
        vectors=torch.from_numpy(vectors),
        batch=torch.from_numpy(batch),
        atom_batch=crystals.batch,
        n_structures=len(crystals),
    )


def make_triplets(graph: Graph, first: np.ndarray, second: np.ndarray, flip_first: bool) -> Triplets:
    """Triplets of a graph from pairs of its edges, ordered by the first."""
    edges = np.searchsorted(graph.batch.numpy(), np.arange(graph.n_structures + 1))
    pairs = make_pairs(first, second, edges)
    return Triplets(pairs=pairs, batch=graph.batch[pairs.left], flip_first=flip_first)
