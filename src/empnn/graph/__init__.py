"""Neighbour graphs of periodic crystals."""

from empnn.graph.neighbours import SHELL_TOLERANCE, Graph, GraphRule, cutoff, knn

__all__ = ["SHELL_TOLERANCE", "Graph", "GraphRule", "cutoff", "knn"]
