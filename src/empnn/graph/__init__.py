"""Neighbour graphs of periodic crystals and their triplets."""

from empnn.graph.neighbours import SHELL_TOLERANCE, Graph, GraphRule, covalent, cutoff, knn
from empnn.graph.triplets import TRIPLETS, TripletRule, Triplets, chain, fan

__all__ = [
    "SHELL_TOLERANCE",
    "TRIPLETS",
    "Graph",
    "GraphRule",
    "TripletRule",
    "Triplets",
    "chain",
    "covalent",
    "cutoff",
    "fan",
    "knn",
]
