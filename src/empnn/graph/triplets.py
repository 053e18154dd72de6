"""Enumeration of triplets Gamma_2: ordered pairs of edges with a common point (Definition 6; design, section 3)."""

import numpy as np

from empnn.graph.graph import Graph, TripletRule, Triplets, make_triplets
from empnn.ragged import within


def fan(graph: Graph) -> Triplets:
    """Pairs of different edges that share their source: v_ij and v_ik (equations 17, 18 and 21)."""
    first, second = _edges_from(graph, graph.source.numpy())
    keep = first != second
    return make_triplets(graph, first[keep], second[keep], flip_first=False)


def chain(graph: Graph) -> Triplets:
    """Pairs of edges i -> j and j -> k, without the way back: -v_ij and v_jk (Definition 6).

    The angle is measured at j between the vectors away from it, so it is pi minus that of Definition 7.
    """
    source, target, image = graph.source.numpy(), graph.target.numpy(), graph.image.numpy()
    first, second = _edges_from(graph, target)
    returns = (target[second] == source[first]) & (image[second] == -image[first]).all(-1)
    return make_triplets(graph, first[~returns], second[~returns], flip_first=True)


TRIPLETS: dict[str, TripletRule] = {"fan": fan, "chain": chain}
"""Triplet rules by the names used in `model.graph.triplets`."""


def _edges_from(graph: Graph, atoms: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pair each edge with all edges that start from its atom in `atoms`."""
    starts = graph.pairs.left_starts.numpy()
    count = np.diff(starts)[atoms]
    first = np.repeat(np.arange(len(graph)), count)
    return first, starts[atoms][first] + within(count)
