"""Neighbour graphs of periodic crystals and their triplets."""

from empnn.graph.connectivity import dimensions
from empnn.graph.graph import Graph, GraphRule, TripletRule, Triplets, WithTriplets
from empnn.graph.grouping import Pairs
from empnn.graph.neighbours import SHELL_TOLERANCE, covalent, cutoff, element_cutoff, knn
from empnn.graph.triplets import TRIPLETS, chain, fan

__all__ = [
    "SHELL_TOLERANCE",
    "TRIPLETS",
    "Graph",
    "GraphRule",
    "Pairs",
    "TripletRule",
    "Triplets",
    "WithTriplets",
    "chain",
    "covalent",
    "cutoff",
    "dimensions",
    "element_cutoff",
    "fan",
    "knn",
]
