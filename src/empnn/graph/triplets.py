"""Triplets Gamma_2: ordered pairs of edges with a common point (Definition 6; design, section 3)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from empnn.graph.neighbours import Graph


@dataclass(frozen=True, kw_only=True)
class Triplets:
    """Ordered pairs of edges (gamma, gamma') of a graph, both vectors pointing away from their common point.

    Attributes:
        first: Edge gamma. Per triplet.
        second: Edge gamma'. Per triplet.
        batch: Structure the triplet belongs to. Per triplet.
        flip_first: Whether the vector away from the common point is -v of gamma (`chain`) or v (`fan`).
    """

    first: Int64[Tensor, " triplets"]
    second: Int64[Tensor, " triplets"]
    batch: Int64[Tensor, " triplets"]
    flip_first: bool

    def __len__(self) -> int:
        return self.first.shape[0]

    def vectors(self, edges: Float[Tensor, "edges 3"]) -> tuple[Tensor, Tensor]:
        """Vectors of both legs, away from the common point, from the edge vectors: (triplets, 3) each."""
        first = edges.index_select(0, self.first)
        return (-first if self.flip_first else first), edges.index_select(0, self.second)


TripletRule = Callable[[Graph], Triplets]
"""From a graph to its triplets."""


def fan(graph: Graph) -> Triplets:
    """Pairs of different edges that share their source: v_ij and v_ik (equations 17, 18 and 21)."""
    starts = _starts(graph)
    degree = starts.diff()
    count = degree[graph.source]
    first, second = _pairs(count, starts[graph.source])
    keep = first != second
    return Triplets(first=first[keep], second=second[keep], batch=graph.batch[first[keep]], flip_first=False)


def chain(graph: Graph) -> Triplets:
    """Pairs of edges i -> j and j -> k, without the way back: -v_ij and v_jk (Definition 6).

    The angle is measured at j between the vectors away from it, so it is pi minus that of Definition 7.
    """
    starts = _starts(graph)
    count = starts.diff()[graph.target]
    first, second = _pairs(count, starts[graph.target])
    returns = (graph.target[second] == graph.source[first]) & (graph.image[second] == -graph.image[first]).all(-1)
    first, second = first[~returns], second[~returns]
    return Triplets(first=first, second=second, batch=graph.batch[first], flip_first=True)


TRIPLETS: dict[str, TripletRule] = {"fan": fan, "chain": chain}
"""Triplet rules by the names used in `model.graph.triplets`."""


def _starts(graph: Graph) -> Tensor:
    """Index of the first edge of each atom, and the number of edges at the end; edges are ordered by source."""
    degree = torch.bincount(graph.source, minlength=graph.n_atoms)
    return torch.cat([degree.new_zeros(1), degree.cumsum(0)])


def _pairs(count: Tensor, start: Tensor) -> tuple[Tensor, Tensor]:
    """Pair each edge with the `count` edges from `start` on."""
    first = torch.repeat_interleave(torch.arange(len(count), device=count.device), count)
    offset = torch.arange(len(first), device=count.device) - (count.cumsum(0) - count)[first]
    return first, start[first] + offset
